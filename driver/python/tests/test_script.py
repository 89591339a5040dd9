"""Whole runs of nestbox_main.py: symbols, tracebacks, exit status."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest
from typing import Any

from test_driver.driver import pythonize_name

from .fakedriver import PYTHON_SIDE, FakeDriver, Failure, Output, machine

SYMBOLS = """
start_all test_script machines machines_qemu machines_nspawn vlans driver log os create_machine
subtest run_tests join_all retry serial_stdout_off serial_stdout_on polling_condition BaseMachine
QemuMachine NspawnMachine t debug vlan1 vlan20 one two_b _x
""".split()


class ScriptCase(unittest.TestCase):
    hello: dict[str, Any] = {}

    def setUp(self) -> None:
        self.fake = FakeDriver(**self.hello)
        self.addCleanup(self.fake.close)
        self.fake.handlers["machine.execute"] = lambda params: Output({"status": 0}, b"hello")

    def passes(self, script: str, **more: Any) -> str:
        """Runs script, which is to pass, and returns its standard output
        after the list of symbols."""
        done = self.fake.run_script(script, **more)
        self.assertEqual((done.stderr, self.fake.lines("test_error")), ("", []))
        self.assertEqual(done.returncode, 0)
        self.assertEqual(self.fake.params("finished"), [{"status": "passed", "error": None}])
        self.assertEqual(self.fake.methods()[-1], "finished")
        self.assertRegex(self.fake.lines("info")[-1], r"^test script finished in \d+\.\d\ds$")
        head, _, rest = done.stdout.partition("dump_machine_ssh\n")
        self.assertTrue(head.startswith("additionally exposed symbols:\n    "), head)
        return rest

    def fails(self, script: str, **more: Any) -> list[str]:
        """Runs script, which is to fail, and returns the lines logged."""
        done = self.fake.run_script(script, **more)
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.returncode, 1)
        (finished,) = self.fake.params("finished")
        self.assertEqual(finished["status"], "failed")
        self.error = finished["error"]
        lines = self.fake.lines("test_error")
        self.assertNotIn(PYTHON_SIDE, "\n".join(lines), "no frames of the driver's own")
        return lines


class SymbolsTest(ScriptCase):
    hello = {
        "machines": [machine("3x"), machine("one"), machine("two-b", "vm")],
        "vlans": [1, 20],
    }

    def test_all(self) -> None:
        self.passes("\n".join(SYMBOLS) + "\nmissing = 'machine' in globals()\nassert not missing")

    def test_meaning(self) -> None:
        out = self.passes(
            "print([m.name for m in machines], machines_qemu, machines_nspawn, vlans, vlan20.nr)\n"
            "print(isinstance(one, BaseMachine), type(two_b) is QemuMachine, one is machines[1])\n"
            "print(os.getpid() > 1, driver.machines == machines, debug.breakpoint())"
        )
        self.assertEqual(
            out,
            "['3x', 'one', 'two-b'] [<QemuMachine 'two-b'>] [<NspawnMachine '3x'>, "
            "<NspawnMachine 'one'>] [<Vlan Nr. 1>, <Vlan Nr. 20>] 20\n"
            "True True True\nTrue True None\n",
        )

    def test_the_line_that_tells(self) -> None:
        done = self.fake.run_script("")
        lines = done.stdout.splitlines()
        self.assertEqual(lines[:3], ["additionally exposed symbols:", "    3x, one, two-b,", "    vlan1, vlan20,"])
        self.assertTrue(lines[3].startswith("    start_all, test_script, machines, "))
        self.assertEqual(len(lines), 4)

    def test_names(self) -> None:
        for given, want in [
            ("web", "web"), ("web-1", "web_1"), ("1web", "_web"), ("a.b c", "a_b_c"), ("_x", "_x"),
            ("\u00e4b", "_b"), ("-", "_"), ("", ""), ("a\u0663", "a_"),
        ]:
            self.assertEqual(pythonize_name(given), want)


class OneMachineTest(ScriptCase):
    hello = {"machines": [machine("web")], "log_level": "debug", "vlans": None}

    def test_machine(self) -> None:
        self.assertEqual(self.passes("assert machine is web\nprint(machine.succeed('x'))"), "hello\n")
        self.assertEqual(self.fake.lines("info")[0], "Test will time out and terminate in 3600 seconds")

    def test_driver_calls(self) -> None:
        self.passes(
            "start_all()\njoin_all()\nserial_stdout_off()\nserial_stdout_on()\n"
            "extra = create_machine('/run-x-vm', name='x')\n"
            "assert extra.name == 'x' and extra not in machines and extra.callbacks == []\n"
            "log.debug('seen')\ndump_machine_ssh()\n"
            "with subtest('part'):\n    web.succeed('y')",
            **self.with_create(),
        )
        headings = [params["message"] for params in self.fake.params("nest.begin")]
        self.assertEqual(
            headings,
            ["run the VM test script", "start all VMs", "wait for all VMs to finish",
             "waiting for the container to power off", "part", "must succeed: y"],
        )
        self.assertEqual(self.fake.lines("debug"), ["seen"])
        self.assertEqual(self.fake.params("serial_stdout"), [{"on": False}, {"on": True}])
        want = {"start_command": "/run-x-vm", "name": "x", "keep_machine_state": False}
        self.assertEqual(self.fake.params("create_machine"), [want])

    def with_create(self) -> dict[str, Any]:
        self.fake.handlers["create_machine"] = lambda params: machine("x", "vm")
        return {}

    def test_script_surroundings(self) -> None:
        out = self.passes(
            "import test_driver.errors, test_driver.machine, test_driver.driver\n"
            "from test_driver.driver import Driver, AssertionTester\n"
            "from test_driver.logger import AbstractLogger\n"
            "from dataclasses import dataclass\n"
            "@dataclass\nclass D:\n    a: int = 1\n"
            "def f(x: int) -> int: return x\n"
            "print(f.__annotations__['x'] is int, '__name__' in globals(), D())\n"
            "print(isinstance(driver, Driver), isinstance(t, AssertionTester))\n"
            "t.assertTrue(True); print(isinstance(t, AssertionTester))\n"
            "print('\\udcff\\u20ac')"
        )
        self.assertEqual(out, "True False D(a=1)\nTrue False\nTrue\n\\udcff\u20ac\n")

    def test_output_of_the_script_comes_line_by_line(self) -> None:
        with open(self.fake.hello["test_script"], "w") as file:
            file.write("print('before', 1)\nmachine.succeed('x')\nprint('after', 2)\n")
        seen: list[bytes] = []
        for flags in ([], ["-u"]):
            # A datagram for each write: none may hold half a line, and what
            # is printed must have come when the next command is run.
            reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

            def execute(params: Any, reading: socket.socket = reading) -> Output:
                seen.append(reading.recv(4096, socket.MSG_DONTWAIT))
                seen.append(reading.recv(4096, socket.MSG_DONTWAIT))
                return Output({"status": 0}, b"")

            self.fake.handlers["machine.execute"] = execute
            with self.subTest(flags=flags), reading, writing:
                done = subprocess.run(
                    [sys.executable, "-B", *flags, os.path.join(PYTHON_SIDE, "nestbox_main.py")],
                    env={**os.environ, "NESTBOX_SOCKET": self.fake.path}, stdout=writing.fileno(), timeout=60,
                )
                self.assertEqual(done.returncode, 0)
                self.assertEqual(seen[-1], b"before 1\n")
                self.assertEqual(reading.recv(4096, socket.MSG_DONTWAIT), b"after 2\n")

    def test_nothing_heavy_is_imported(self) -> None:
        out = self.passes(
            "import sys\n"
            "heavy = 'unittest tempfile subprocess shutil re inspect typing datetime traceback json '\\\n"
            "    'socket threading contextlib pathlib functools collections enum base64'.split()\n"
            "print([m for m in heavy if m in sys.modules])\n"
            "print([m for m in sys.modules if m.startswith('test_driver.') and m.count('.') == 1\n"
            "       and m.endswith(('report', 'polling_condition', 'interactive'))])",
            python_flags=["-S"],
        )
        self.assertEqual(out, "[]\n[]\n")

    def passes(self, script: str, python_flags: Any = (), **more: Any) -> str:
        if python_flags:  # without site, which may import what it likes
            with tempfile.TemporaryDirectory() as directory:
                wrapper = os.path.join(directory, "python")
                with open(wrapper, "w") as file:
                    file.write(f'#!/bin/sh\nexec {sys.executable} {" ".join(python_flags)} "$@"\n')
                os.chmod(wrapper, 0o755)
                return super().passes(script, python=wrapper, **more)
        return super().passes(script, **more)


class FailureTest(ScriptCase):
    def test_assertion(self) -> None:
        self.fake.handlers["machine.execute"] = lambda params: Output({"status": 1}, b"")
        lines = self.fails(
            "def check(m):\n"
            "    # a comment\n"
            "    m.succeed(  'false'  )\n"
            "\n"
            "check(one)\n"
        )
        self.assertEqual(
            lines,
            [
                "Traceback (most recent call last):",
                '  File "<string>", line 5, in <module>',
                "    check(one)",
                '  File "<string>", line 3, in check',
                "    m.succeed(  'false'  )",
                "",
                "RequestedAssertionFailed: command `false` failed (exit code 1)",
            ],
        )
        self.assertEqual(self.error, "RequestedAssertionFailed: command `false` failed (exit code 1)")

    def test_t(self) -> None:
        lines = self.fails("t.assertEqual([1], [2], 'they differ')")
        self.assertEqual(
            lines[:4],
            ["Traceback (most recent call last):", '  File "<string>", line 1, in <module>',
             "    t.assertEqual([1], [2], 'they differ')", ""],
        )
        self.assertEqual(lines[4], "RequestedAssertionFailed: Lists differ: [1] != [2]")
        self.assertEqual(lines[-1], "- [1]\n+ [2] : they differ".splitlines()[-1])

    def test_t_is_a_test_case(self) -> None:
        self.passes(
            "t.maxDiff = None\n"
            "with t.assertRaises(ZeroDivisionError): 1 / 0\n"
            "assert t.maxDiff is None\n"
            "import unittest, test_driver.errors\n"
            "assert isinstance(t, unittest.TestCase)\n"
            "try: t.fail('x')\n"
            "except test_driver.errors.RequestedAssertionFailed as e: assert str(e) == 'x'"
        )

    def test_machine_error(self) -> None:
        def fail(params: Any) -> None:
            raise Failure("machine", "line one\nline two")

        self.fake.handlers["machine.start"] = fail
        self.assertEqual(
            self.fails("one.start()"),
            ["Traceback (most recent call last):", '  File "<string>", line 1, in <module>',
             "    one.start()", "", "MachineError: line one", "line two"],
        )
        self.assertEqual(self.error, "MachineError: line one")

    def test_other_errors(self) -> None:
        for script, want in [
            ("import json\njson.loads('x')",
             ['  File "<string>", line 2, in <module>', "    json.loads('x')", "",
              "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"]),
            ("assert 1 == 2", ['  File "<string>", line 1, in <module>', "    assert 1 == 2", "", "AssertionError"]),
            ("class E(Exception): pass\nraise E('a\\nb')",
             ['  File "<string>", line 2, in <module>', "    raise E('a\\nb')", "", "E: a", "b"]),
            ("one.succeed('x', timeout=True)",
             ['  File "<string>", line 1, in <module>', "    one.succeed('x', timeout=True)", "",
              "TypeError: a duration is a timedelta or a number of seconds, not True of type bool"]),
            ("one.succeed_not()",
             ['  File "<string>", line 1, in <module>', "    one.succeed_not()", "",
              "AttributeError: 'NspawnMachine' object has no attribute 'succeed_not'"]),
        ]:
            with self.subTest(script=script):
                self.fake.requests.clear()
                lines = self.fails(script)
                self.assertEqual(lines, ["Traceback (most recent call last):", *want])

    def test_helpers_of_the_author_are_shown(self) -> None:
        helper = os.path.join(self.fake.directory.name, "helper.py")
        with open(helper, "w") as file:
            file.write("def helps(m):\n    m.succeed(5 / 0)\n")
        lines = self.fails("import helper\nhelper.helps(one)", env={"PYTHONPATH": self.fake.directory.name})
        self.assertEqual(
            lines,
            ["Traceback (most recent call last):", '  File "<string>", line 2, in <module>',
             "    helper.helps(one)", f'  File "{helper}", line 2, in helps', "    m.succeed(5 / 0)",
             "", "ZeroDivisionError: division by zero"],
        )

    def test_syntax_error(self) -> None:
        lines = self.fails("x = 1\nif x\n    pass\n")
        self.assertEqual(lines[:2], ['  File "<string>", line 2', "    if x"])
        self.assertRegex(lines[2], r"^ +\^$")
        self.assertRegex(lines[3], "^SyntaxError: ")
        self.assertEqual(len(lines), 4)

    def test_chained(self) -> None:
        lines = self.fails(
            "try:\n    one.execute('x', timeout='soon')\n"
            "except TypeError as e:\n    raise ValueError('outer') from e\n"
        )
        self.assertEqual(
            lines,
            ["Traceback (most recent call last):", '  File "<string>", line 2, in <module>',
             "    one.execute('x', timeout='soon')", "",
             "TypeError: a duration is a timedelta or a number of seconds, not 'soon' of type str",
             "", "The above exception was the direct cause of the following:", "",
             "Traceback (most recent call last):", '  File "<string>", line 4, in <module>',
             "    raise ValueError('outer') from e", "", "ValueError: outer"],
        )

    def test_context(self) -> None:
        lines = self.fails("try:\n    1 / 0\nexcept ZeroDivisionError:\n    t.fail('x')\n")
        self.assertIn("While that was handled, this went wrong:", lines)
        self.fake.requests.clear()
        lines = self.fails("try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise KeyError(1) from None\n")
        self.assertEqual(lines[-1], "KeyError: 1")
        self.assertEqual(lines.count("Traceback (most recent call last):"), 1)

    def test_recursion(self) -> None:
        lines = self.fails("def f():\n    f()\nf()")
        self.assertLess(len(lines), 20, lines)
        self.assertRegex("\n".join(lines), r"\[and \d\d\d times more\]")
        self.assertRegex(lines[-1], "^RecursionError: ")

    @unittest.skipIf(sys.version_info < (3, 11), "exception groups came with Python 3.11")
    def test_group_and_notes(self) -> None:
        lines = self.fails(
            "e = ValueError('a')\ne.add_note('noted')\nraise ExceptionGroup('several', [e, KeyError(2)])"
        )
        self.assertEqual(
            lines[4:],
            ["ExceptionGroup: several (2 sub-exceptions)", "  1. of the exceptions in it:",
             "  ValueError: a", "  noted", "  2. of the exceptions in it:", "  KeyError: 2"],
        )

    def test_error_with_a_broken_str(self) -> None:
        lines = self.fails(
            "class E(Exception):\n    def __str__(self): raise KeyError\nraise E"
        )
        self.assertRegex(lines[-1], "^E: <.+>$")

    def test_missing_script(self) -> None:
        self.fake.hello["test_script"] = "/nonexistent/script"
        environment = {**os.environ, "NESTBOX_SOCKET": self.fake.path}
        main = os.path.join(PYTHON_SIDE, "nestbox_main.py")
        done = subprocess.run([sys.executable, "-B", main], env=environment, stdout=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/script", self.fake.lines("test_error")[-1])

    def test_subtest(self) -> None:
        lines = self.fails("with subtest('part'):\n    assert False, 'no'")
        self.assertEqual(lines[0], 'Test "part" failed with error: "no"')
        self.assertEqual(lines[-1], "AssertionError: no")

    def test_polling_condition(self) -> None:
        lines = self.fails(
            "@polling_condition(seconds_interval=0)\ndef never():\n    return False\n"
            "with never:\n    one.succeed('x')"
        )
        self.assertEqual(
            lines,
            ["Traceback (most recent call last):", '  File "<string>", line 5, in <module>',
             "    one.succeed('x')", "", "PollingConditionError: Polling condition failed: never"],
        )


class EndTest(ScriptCase):
    def test_exit_status(self) -> None:
        for code in ("", "0", "None", "False"):
            with self.subTest(code=code):
                self.fake.requests.clear()
                done = self.fake.run_script(f"import sys\nsys.exit({code})")
                self.assertEqual(done.returncode, 0)
                self.assertEqual(self.fake.params("finished")[0]["status"], "passed")
        for code, want in [
            ("3", "test script exited with status 3"),
            ("-1", "test script exited with status -1"),
            ("'a word'", "a word"),
        ]:
            with self.subTest(code=code):
                self.fake.requests.clear()
                self.assertEqual(self.fails(f"raise SystemExit({code})"), [want])
                self.assertEqual(self.error, want)

    def test_log_error_ends_the_test(self) -> None:
        self.fails("log.error('bad')\nlog.info('not reached')")
        self.assertEqual(self.fake.lines("error"), ["bad"])
        self.assertNotIn("not reached", self.fake.lines("info"))

    def test_interrupt(self) -> None:
        self.fake.handlers["machine.execute"] = lambda params: os.kill(self.child(), signal.SIGINT)
        lines = self.fails("log.info(f'pid {os.getpid()}')\none.succeed('x')")
        self.assertEqual((lines, self.error), ([], "interrupted"))

    def child(self) -> int:
        (line,) = [line for line in self.fake.lines("info") if line.startswith("pid ")]
        return int(line[4:])

    def test_threads_of_the_script(self) -> None:
        self.fake.handlers["machine.execute"] = lambda params: Output({"status": 1}, b"")
        done = self.fake.run_script(
            "import threading\n"
            "def work():\n    one.succeed('x')\n"
            "def leave():\n    raise SystemExit\n"
            "for each in (work, leave):\n"
            "    thread = threading.Thread(target=each, name='worker')\n"
            "    thread.start(); thread.join()\n"
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(
            self.fake.lines("test_error"),
            ["Exception in thread worker:", "Traceback (most recent call last):",
             '  File "<string>", line 3, in work', "    one.succeed('x')", "",
             "RequestedAssertionFailed: command `x` failed (exit code 1)"],
        )

    def test_many_threads(self) -> None:
        def execute(params: Any) -> Output:
            return Output({"status": 0}, params["command"].encode())

        self.fake.handlers["machine.execute"] = execute
        done = self.fake.run_script(
            "from concurrent.futures import ThreadPoolExecutor\n"
            "def work(n): return all(one.succeed(f'{n}.{i}') == f'{n}.{i}' for i in range(20))\n"
            "with ThreadPoolExecutor(10) as pool:\n    assert all(pool.map(work, range(10)))\n"
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_thread_that_never_ends(self) -> None:
        done = self.fake.run_script(
            "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n"
            "import atexit\natexit.register(print, 'at exit')\nprint('end')",
            timeout=20,
        )
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.endswith("end\nat exit\n"), done.stdout)

    def test_no_driver(self) -> None:
        main = os.path.join(PYTHON_SIDE, "nestbox_main.py")
        for path, want in [("", "NESTBOX_SOCKET is not set"), ("/nonexistent", "connecting to the driver")]:
            with self.subTest(path=path):
                done = subprocess.run(
                    [sys.executable, "-B", main], env={**os.environ, "NESTBOX_SOCKET": path},
                    stderr=subprocess.PIPE, encoding="utf-8",
                )
                self.assertEqual(done.returncode, 1)
                self.assertIn(want, done.stderr)
                self.assertNotIn("Traceback", done.stderr)

    def test_the_driver_dies(self) -> None:
        def die(params: Any) -> None:
            self.fake.stop_listening()
            raise ConnectionResetError

        self.fake.handlers["machine.execute"] = die
        done = self.fake.run_script("log.info('before')\none.succeed('x')")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(
            done.stderr.splitlines(),
            ["Traceback (most recent call last):", '  File "<string>", line 2, in <module>',
             "    one.succeed('x')", "", "ConnectionLost: the driver closed the connection"],
        )

    def test_finished_is_last_of_its_connection(self) -> None:
        self.passes("log.info('a')")
        self.assertEqual(self.fake.connections[0][-1]["method"], "finished")

    def test_closed_stdout(self) -> None:
        with open(self.fake.hello["test_script"], "w") as file:
            file.write("one.succeed('x')")
        main = os.path.join(PYTHON_SIDE, "nestbox_main.py")
        done = subprocess.run(
            ["sh", "-c", f"exec {sys.executable} -B {main} >&-"],
            env={**os.environ, "NESTBOX_SOCKET": self.fake.path}, stderr=subprocess.PIPE,
        )
        self.assertEqual((done.returncode, done.stderr), (0, b""))


class InteractiveTest(ScriptCase):
    hello = {"interactive": True, "machines": [machine("web")]}

    def session(self, script: str, *lines: str) -> "subprocess.CompletedProcess[str]":
        done = self.fake.run_script(
            script, input="\n".join(lines) + "\n", cwd=self.fake.directory.name
        )
        self.assertEqual(done.returncode, 0)
        return done

    def test_prompt(self) -> None:
        done = self.session("print('the script')", "web.succeed('x')", "test_script()", "run_tests()", "1 / 0")
        self.assertIn("'hello'", done.stdout)
        self.assertEqual(done.stdout.count("the script\n"), 2)
        self.assertIn("ZeroDivisionError: division by zero", done.stderr)
        self.assertNotIn("code.py", done.stderr)
        self.assertEqual(self.fake.params("finished"), [{"status": "passed", "error": None}])

    def test_a_failure_does_not_end_it(self) -> None:
        done = self.session("assert False", "test_script()", "log.error('bad')", "print('still', 'here')")
        self.assertIn("still here\n", done.stdout)
        self.assertEqual(self.fake.lines("test_error")[-1], "AssertionError")
        self.assertEqual(self.fake.lines("error"), ["bad"])

    def test_an_exit_of_the_script_does_not_end_it(self) -> None:
        done = self.session("raise SystemExit(3)", "test_script()", "print('still', 'here')", "exit()", "never")
        self.assertIn("still here\n", done.stdout)
        self.assertEqual(self.fake.lines("test_error"), ["the test script ended with SystemExit(3)"])
        self.assertNotIn("NameError", done.stderr)

    def test_an_exit_status_at_the_prompt(self) -> None:
        done = self.fake.run_script("", input="exit(3)\n", cwd=self.fake.directory.name)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.fake.params("finished")[0]["status"], "failed")
