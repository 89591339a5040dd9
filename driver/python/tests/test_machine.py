"""The methods of machines: what they ask of the driver and what they say."""

import base64
import os
import re
import shlex
import subprocess
import unittest
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

from test_driver.driver import Driver
from test_driver.errors import MachineError, RequestedAssertionFailed, TestScriptError
from test_driver.machine import BaseMachine, NspawnMachine, QemuMachine
from test_driver.rpc import Rpc

from .fakedriver import FakeDriver, Failure, Output, machine

ON_EVERY_MACHINE = """
start shutdown wait_for_shutdown crash reboot is_up connect release log log_serial nested
run_callbacks cleanup_statedir execute succeed fail wait_until_succeeds wait_until_fails systemctl
start_job stop_job wait_for_job wait_for_unit get_unit_info get_unit_property require_unit_state
wait_for_file wait_for_open_port wait_for_closed_port wait_for_open_unix_socket sleep
copy_from_host copy_from_host_via_shell copy_from_machine copy_from_vm
block unblock forward_port wait_for_console_text get_console_log send_console shell_interact
console_interact screenshot get_screen_text get_screen_text_variants wait_for_text wait_for_x
get_window_names wait_for_window send_key send_chars ssh_backdoor_command
""".split()
QEMU_ONLY = """
switch_root send_monitor_command wait_for_monitor_prompt wait_for_qmp_event get_tty_text
wait_until_tty_matches dump_tty_contents read_efi_vars write_efi_vars create_efi_vars dump_efi_vars
""".split()


class MachineCase(unittest.TestCase):
    def setUp(self) -> None:
        self.fake = FakeDriver(machines=[machine("box"), machine("vm", "vm")])
        self.addCleanup(self.fake.close)
        rpc = Rpc(self.fake.path)
        self.addCleanup(rpc.disconnect)
        self.driver = Driver(rpc)
        self.box = self.driver.machines_nspawn[0]
        self.vm = self.driver.machines_qemu[0]

    def answer(self, method: str, *answers: Any) -> None:
        """Makes method answer with answers one by one, then the last again."""
        left = list(answers)

        def handler(params: Any) -> Any:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.fake.handlers[f"machine.{method}"] = handler

    def executes(self, status: int, output: bytes = b"") -> None:
        self.answer("execute", Output({"status": status}, output))

    def commands(self) -> list[str]:
        return [params["command"] for params in self.fake.params("machine.execute")]

    def headings(self) -> list[str]:
        return [params["message"] for params in self.fake.params("nest.begin")]

    def only(self, method: str) -> dict[str, Any]:
        """The parameters, without the machine, of the one call of method."""
        (params,) = self.fake.params(f"machine.{method}")
        self.assertIn(params["machine"], ("box", "vm"))
        return {key: value for key, value in params.items() if key != "machine"}


class NamesTest(MachineCase):
    def test_every_name_is_there(self) -> None:
        for each in (self.box, self.vm):
            for name in ON_EVERY_MACHINE:
                with self.subTest(machine=each, name=name):
                    self.assertTrue(callable(getattr(each, name)))
                    self.assertTrue(getattr(BaseMachine, name).__doc__, "has a docstring")
        for name in QEMU_ONLY:
            with self.subTest(name=name):
                self.assertTrue(callable(getattr(self.vm, name)))
                self.assertFalse(hasattr(NspawnMachine, name))

    def test_qemu_only_refuses_on_a_container(self) -> None:
        for name in QEMU_ONLY:
            with self.subTest(name=name):
                want = rf"box\.{name}: only the QEMU backend.*box is a container"
                with self.assertRaisesRegex(MachineError, want):
                    getattr(self.box, name)("some", argument=1)
        with self.assertRaisesRegex(MachineError, r"box\.qmp_client: only the QEMU"):
            self.box.qmp_client  # type: ignore[attr-defined]
        with self.assertRaises(AttributeError):
            self.box.no_such_method()  # type: ignore[attr-defined]
        self.assertFalse(hasattr(self.box, "_hidden"))

    def test_not_yet_supported(self) -> None:
        self.answer("block", Failure("unsupported", "block: not on containers yet"))
        with self.assertRaisesRegex(MachineError, "^block: not on containers yet$"):
            self.box.block()

    def test_attributes(self) -> None:
        self.assertEqual(self.box.name, "box")
        self.assertEqual(repr(self.box), "<NspawnMachine 'box'>")
        self.assertEqual(repr(self.vm), "<QemuMachine 'vm'>")
        self.assertEqual(self.box.state_dir, Path("/tmp/driver/vm-state-box"))
        self.assertEqual(self.box.shared_dir, Path("/tmp/driver/shared-xchg"))
        self.assertEqual(self.box.tmp_dir, Path("/tmp/driver"))
        self.assertEqual(self.box.out_dir, Path(self.fake.directory.name))
        self.assertIsInstance(self.box, BaseMachine)
        self.assertNotIsInstance(self.box, QemuMachine)

    def test_a_script_may_subclass(self) -> None:
        class Mine(NspawnMachine):
            def execute(self, *args: Any, **kwargs: Any) -> tuple[int, str]:
                status, output = super().execute(*args, **kwargs)
                return status, output + "!"

        self.box.__class__ = Mine
        self.executes(0, b"hello")
        self.assertEqual(self.box.succeed("x"), "hello!")

    def test_errors_are_related(self) -> None:
        self.assertTrue(issubclass(RequestedAssertionFailed, AssertionError))
        self.assertTrue(issubclass(RequestedAssertionFailed, TestScriptError))
        self.assertTrue(issubclass(MachineError, TestScriptError))
        self.assertFalse(issubclass(MachineError, AssertionError))


class CommandTest(MachineCase):
    def test_execute(self) -> None:
        self.executes(3, b"out")
        self.assertEqual(self.box.execute("command"), (3, "out"))
        want = {"command": "command", "check_return": True, "check_output": True, "timeout": 900.0}
        self.assertEqual(self.only("execute"), want)

    def test_execute_arguments(self) -> None:
        self.executes(-2)
        got = self.box.execute("c", check_return=False, check_output=False, timeout=timedelta(minutes=1))
        self.assertEqual(got, (-2, ""))
        want = {"command": "c", "check_return": False, "check_output": False, "timeout": 60.0}
        self.assertEqual(self.only("execute"), want)
        with self.assertRaises(TypeError):
            self.box.execute("c", timeout=True)

    def test_hostile_bytes(self) -> None:
        self.executes(0, b'\xff\xfe\x00 \x80{"result": 1}\n\xe2\x82')
        self.assertEqual(self.box.succeed("c"), '\ufffd\ufffd\x00 \ufffd{"result": 1}\n\ufffd')
        self.executes(0, "\u20ac\U0001f600\r\n".encode())
        self.assertEqual(self.box.succeed("c"), "\u20ac\U0001f600\r\n")

    def test_succeed(self) -> None:
        self.answer("execute", Output({"status": 0}, b"1"), Output({"status": 0}, b"2"))
        self.assertEqual(self.box.succeed("first", "second"), "12")
        self.assertEqual(self.commands(), ["first", "second"])
        self.assertEqual(self.headings(), ["must succeed: first", "must succeed: second"])
        self.assertEqual([p["timeout"] for p in self.fake.params("machine.execute")], [None, None])

    def test_succeed_that_does_not(self) -> None:
        self.executes(2, b"some output")
        with self.assertRaises(RequestedAssertionFailed) as caught:
            self.box.succeed("bad", "never run")
        self.assertEqual(str(caught.exception), "command `bad` failed (exit code 2)")
        self.box.is_up()  # so that the lines have come
        self.assertEqual(
            self.fake.params("log"),
            [{"message": "output: some output", "level": "info", "machine": "box"}],
        )
        (begin,), (end,) = self.fake.params("nest.begin"), self.fake.params("nest.end")
        self.assertEqual(begin["machine"], "box")
        self.assertEqual(end, {"id": begin["id"], "failed": True})

    def test_fail(self) -> None:
        self.executes(1, b"o")
        self.assertEqual(self.box.fail("a", "b"), "oo")
        self.executes(0)
        with self.assertRaises(RequestedAssertionFailed) as caught:
            self.box.fail("good")
        self.assertEqual(str(caught.exception), "command `good` unexpectedly succeeded")
        self.assertEqual(self.headings(), ["must fail: a", "must fail: b", "must fail: good"])

    def test_sleep_is_the_machines(self) -> None:
        self.executes(0)
        for given, want in [(2, "sleep 2"), (0.5, "sleep 0.5"), (timedelta(minutes=1), "sleep 60")]:
            self.box.sleep(given)
            self.assertEqual(self.commands()[-1], want)

    def test_reconnect(self) -> None:
        self.executes(0)
        self.box.succeed("a")
        self.assertEqual(self.fake.params("machine.connect"), [])
        self.box.connected = False
        self.assertFalse(self.box.connected)
        self.box.succeed("b")
        self.box.succeed("c")
        self.assertEqual(self.fake.params("machine.connect"), [{"machine": "box", "reconnect": True}])
        self.box.connect()
        self.assertEqual(self.fake.params("machine.connect")[1:], [{"machine": "box"}])

    def test_life(self) -> None:
        self.answer("is_up", True, False)
        self.assertIs(self.box.is_up(), True)
        self.assertIs(self.box.booted, False)
        for name in ("start", "shutdown", "wait_for_shutdown", "crash", "reboot", "release"):
            getattr(self.box, name)()
            self.assertEqual(self.only(name), {})
        self.assertEqual(self.headings(), ["waiting for the container to power off"] * 2)
        self.vm.shutdown()
        self.assertEqual(self.headings()[2:], ["waiting for the VM to power off"])
        self.vm.start(allow_reboot=True)
        self.assertEqual(
            self.fake.params("machine.start"),
            [{"machine": "box"}, {"machine": "vm", "allow_reboot": True}],
        )


class WaitTest(MachineCase):
    def test_parameters(self) -> None:
        cases: list[tuple[str, Any, str, dict[str, Any]]] = [
            ("wait_for_unit", lambda: self.box.wait_for_unit("u.service"),
             "waiting for unit u.service", {"unit": "u.service", "user": None, "timeout": 900.0}),
            ("wait_for_unit", lambda: self.box.wait_for_unit("u", "alice", timeout=5),
             "waiting for unit u with user alice", {"unit": "u", "user": "alice", "timeout": 5.0}),
            ("wait_for_unit", lambda: self.box.wait_for_job("u"),
             "waiting for unit u", {"unit": "u", "user": None, "timeout": 900.0}),
            ("wait_for_file", lambda: self.box.wait_for_file("/run/a", timeout=None),
             "waiting for file '/run/a'", {"path": "/run/a", "timeout": None}),
            ("wait_until_succeeds", lambda: self.box.wait_for_file("/run/*.pid"),
             "waiting for file '/run/*.pid'", {"command": "test -e /run/*.pid", "timeout": 900.0}),
            ("wait_for_open_port", lambda: self.box.wait_for_open_port(80),
             "waiting for TCP port 80 on localhost", {"port": 80, "addr": "localhost", "timeout": 900.0}),
            ("wait_for_open_port", lambda: self.box.wait_for_open_port("80", "::1", 1),  # type: ignore[arg-type]
             "waiting for TCP port 80 on ::1", {"port": 80, "addr": "::1", "timeout": 1.0}),
            ("wait_for_closed_port", lambda: self.box.wait_for_closed_port(80),
             "waiting for TCP port 80 on localhost to be closed",
             {"port": 80, "addr": "localhost", "timeout": 900.0}),
            ("wait_for_open_unix_socket", lambda: self.box.wait_for_open_unix_socket("/s"),
             "waiting for UNIX-domain stream on '/s'",
             {"addr": "/s", "is_datagram": False, "timeout": 900.0}),
            ("wait_for_open_unix_socket", lambda: self.box.wait_for_open_unix_socket("/s", is_datagram=True),
             "waiting for UNIX-domain datagram on '/s'",
             {"addr": "/s", "is_datagram": True, "timeout": 900.0}),
            ("wait_until_succeeds", lambda: self.box.wait_until_succeeds("c", timeout=timedelta(seconds=3)),
             "waiting for success: c", {"command": "c", "timeout": 3.0}),
            ("wait_until_fails", lambda: self.box.wait_until_fails("c"),
             "waiting for failure: c", {"command": "c", "timeout": 900.0}),
            ("wait_for_console_text", lambda: self.vm.wait_for_console_text(re.compile("a.c")),  # type: ignore[arg-type]
             "waiting for a.c to appear on console", {"regex": "a.c", "timeout": None}),
            ("wait_for_text", lambda: self.vm.wait_for_text("a.c"),
             "waiting for a.c to appear on screen", {"regex": "a.c", "timeout": 900.0}),
        ]
        for method, act, heading, want in cases:
            with self.subTest(heading=heading):
                self.fake.requests.clear()
                act()
                self.assertEqual(self.only(method), {**want, "slice": None})
                self.assertEqual(self.headings(), [heading])

    def test_output(self) -> None:
        self.answer("wait_until_succeeds", Output({"status": 0}, b"last try"))
        self.assertEqual(self.box.wait_until_succeeds("c"), "last try")
        self.answer("wait_until_fails", Output({"status": 1}, b"it failed"))
        self.assertEqual(self.box.wait_until_fails("c"), "it failed")

    def test_out_of_time(self) -> None:
        self.answer("wait_for_unit", Failure("assertion", 'unit "u" reached state "failed"'))
        with self.assertRaises(RequestedAssertionFailed) as caught:
            self.box.wait_for_unit("u")
        self.assertEqual(str(caught.exception), 'unit "u" reached state "failed"')
        self.box.is_up()  # so that the end has come
        self.assertEqual([end["failed"] for end in self.fake.params("nest.end")], [True])

    def test_own_callbacks_are_called_in_slices(self) -> None:
        called: list[int] = []
        self.box.callbacks.append(lambda: called.append(1))
        self.answer("wait_for_unit", {"pending": True}, {"pending": True}, {})
        self.box.wait_for_unit("u", timeout=10)
        self.assertEqual(len(called), 3)
        calls = self.fake.params("machine.wait_for_unit")
        self.assertEqual([c["slice"] for c in calls], [1.0] * 3)
        self.assertEqual(calls[0]["timeout"], 10.0)
        self.assertTrue(10.0 > calls[1]["timeout"] > calls[2]["timeout"] > 0, calls)


class UnitTest(MachineCase):
    def test_systemctl(self) -> None:
        self.executes(4, b"o")
        self.assertEqual(self.box.systemctl("list-jobs"), (4, "o"))
        self.assertEqual(self.box.start_job("a"), (4, "o"))
        self.assertEqual(self.box.stop_job("a", "bob"), (4, "o"))
        self.assertEqual(self.commands()[:2], ["systemctl list-jobs", "systemctl start a"])
        # What the line means to a shell, with su exchanged for printf.
        line = self.commands()[2].replace("su -l bob", "printf '%s|'")
        words = subprocess.run(["bash", "-c", line], stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(
            words, b"--shell|/bin/sh|-c|XDG_RUNTIME_DIR=/run/user/`id -u` systemctl --user stop a|"
        )

    def test_systemctl_with_quotes(self) -> None:
        self.executes(0)
        self.box.systemctl("show 'a b'", "bob")
        line = self.commands()[0].replace("su -l bob", "printf '%s|'")
        words = subprocess.run(["bash", "-c", line], stdout=subprocess.PIPE, check=True).stdout
        self.assertIn(b"systemctl --user show 'a b'|", words)

    def test_info(self) -> None:
        self.executes(0, b"Id=a.service\nExecStart={ path=/bin/true ; }\nEmpty=\n\nnonsense\n=x\n")
        self.assertEqual(
            self.box.get_unit_info("a"),
            {"Id": "a.service", "ExecStart": "{ path=/bin/true ; }", "Empty": ""},
        )
        self.assertEqual(self.commands(), ['systemctl --no-pager show "a"'])
        self.executes(1)
        with self.assertRaises(RequestedAssertionFailed) as caught:
            self.box.get_unit_info("a", "bob")
        want = 'retrieving systemctl info for unit "a" under user "bob" failed with exit code 1'
        self.assertEqual(str(caught.exception), want)

    def test_property(self) -> None:
        self.executes(0, b"ExecMainPID=12=3\n")
        self.assertEqual(self.box.get_unit_property("a", "ExecMainPID"), "12=3")
        self.assertEqual(self.commands(), ['systemctl --no-pager show "a" --property="ExecMainPID"'])
        for output in (b"", b"\n", b"Other=1\n"):
            self.executes(0, output)
            with self.assertRaisesRegex(RequestedAssertionFailed, "invalid output"):
                self.box.get_unit_property("a", "ExecMainPID")
        self.executes(5)
        with self.assertRaises(RequestedAssertionFailed) as caught:
            self.box.get_unit_property("a", "P")
        want = 'retrieving systemctl property "P" for unit "a" failed with exit code 5'
        self.assertEqual(str(caught.exception), want)

    def test_require_state(self) -> None:
        self.executes(0, b"ActiveState=inactive\n")
        self.box.require_unit_state("a", "inactive")
        with self.assertRaisesRegex(RequestedAssertionFailed, "'a'.*'active'.*'inactive'"):
            self.box.require_unit_state("a")
        self.assertEqual(self.headings()[1], "checking if unit 'a' has reached state 'active'")


class CopyTest(MachineCase):
    def test_from_machine(self) -> None:
        self.box.copy_from_machine("/var/log/x", "logs")
        self.assertEqual(self.only("copy_from_machine"), {"source": "/var/log/x", "target_dir": "logs"})
        self.fake.requests.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.box.copy_from_vm("/var/log/x")
        self.assertEqual(self.only("copy_from_machine"), {"source": "/var/log/x", "target_dir": ""})

    def test_from_host(self) -> None:
        self.box.copy_from_host("some/file", "/target")
        want = {"source": os.path.join(os.getcwd(), "some/file"), "target": "/target"}
        self.assertEqual(self.only("copy_from_host"), want)
        self.box.copy_from_host(Path("/a"), "/b")

    def test_via_shell(self) -> None:
        content = bytes(range(256)) * 1000
        source = Path(self.fake.directory.name, "content")
        source.write_bytes(content)
        self.executes(0)
        target = Path(self.fake.directory.name, "new", "copy")
        self.box.copy_from_host_via_shell(source, str(target))
        for command in self.commands():
            self.assertLess(len(command), 128 << 10)
            subprocess.run(["bash", "-euc", command], check=True)
        self.assertEqual(target.read_bytes(), content)
        self.assertEqual(len(self.commands()), 2 + -(-len(content) // 90_000))


class OutsideTest(MachineCase):
    def test_parameters(self) -> None:
        cases: list[tuple[str, Any, dict[str, Any]]] = [
            ("block", lambda: self.box.block(), {}),
            ("unblock", lambda: self.box.unblock(), {}),
            ("forward_port", lambda: self.box.forward_port(), {"host_port": 8080, "guest_port": 80}),
            ("send_console", lambda: self.box.send_console("x\n"), {"chars": "x\n"}),
            ("send_key", lambda: self.box.send_key("ctrl-alt-delete"), {"key": "ctrl-alt-delete", "delay": 0.01}),
            ("send_key", lambda: self.box.send_key("a", None, log=False), {"key": "a", "delay": None}),
            ("send_chars", lambda: self.box.send_chars("ab\n"), {"chars": "ab\n", "delay": 0.01}),
            ("screenshot", lambda: self.box.screenshot("shot"),
             {"filename": os.path.join(self.fake.directory.name, "shot.png")}),
            ("screenshot", lambda: self.box.screenshot("/a/b.ppm"), {"filename": "/a/b.ppm"}),
            ("shell_interact", lambda: self.box.shell_interact(), {"address": None}),
            ("console_interact", lambda: self.box.console_interact(), {}),
            ("cleanup_statedir", lambda: self.box.cleanup_statedir(), {}),
            ("send_monitor_command", lambda: self.vm.send_monitor_command("info"), {"command": "info"}),
            ("create_efi_vars", lambda: self.vm.create_efi_vars(), {}),
        ]
        for method, act, want in cases:
            with self.subTest(method=method):
                self.fake.requests.clear()
                act()
                self.assertEqual(self.only(method), want)

    def test_headings(self) -> None:
        self.box.send_key("a")
        self.box.send_key("b", log=False)
        self.box.send_chars("cd\n")
        self.box.screenshot("/x.png")
        want = ["sending key 'a'", "sending keys 'cd\\n'", "making screenshot /x.png"]
        self.assertEqual(self.headings(), want)

    def test_results(self) -> None:
        self.answer("console_log", Output({}, b"line 1\nline \xff\n"))
        self.assertEqual(self.box.get_console_log(), "line 1\nline \ufffd\n")
        self.answer("get_screen_text", "seen")
        self.assertEqual(self.box.get_screen_text(), "seen")
        self.answer("get_screen_text_variants", ["a", "b"])
        self.assertEqual(self.box.get_screen_text_variants(), ["a", "b"])

    def test_windows(self) -> None:
        self.executes(0, b"Desktop\nTerminal - root\n")
        self.assertEqual(self.box.get_window_names(), ["Desktop", "Terminal - root"])
        self.box.wait_for_window("^Term")
        with self.assertRaisesRegex(RequestedAssertionFailed, "timed out"):
            self.box.wait_for_window("Editor", timeout=0.02)
        self.box.wait_for_x()
        self.assertIn("Last chance to match Editor", "".join(self.fake.lines("info")))

    def test_the_sed_expression_of_window_names(self) -> None:
        self.executes(0)
        self.box.get_window_names()
        sed = self.commands()[0].split(" | ", 1)[1]
        tree = '     0x400003 "Terminal - root": ("xterm" "XTerm")  1x1\n     0x1 (has no name): ()\n'
        got = subprocess.run(["bash", "-c", sed], input=tree.encode(), stdout=subprocess.PIPE, check=True)
        self.assertEqual(got.stdout, b"Terminal - root\n")

    def test_tty(self) -> None:
        self.executes(0, b"login: ")
        self.assertEqual(self.vm.get_tty_text("1"), "login: ")
        self.vm.wait_until_tty_matches("1", "log.n")
        self.assertEqual(shlex.split(self.commands()[0])[-1], "/dev/vcs1")

    def test_qmp(self) -> None:
        self.answer("wait_for_qmp_event", {"event": "A"}, {"event": "B"}, Failure("assertion", "late"))
        self.assertEqual(self.vm.wait_for_qmp_event(lambda e: e["event"] == "B"), {"event": "B"})
        with self.assertRaises(TimeoutError):
            self.vm.wait_for_qmp_event(lambda e: True, timeout=1)
        self.answer("qmp_send", {"return": {}})
        self.assertEqual(self.vm.qmp_client.send("stop"), {"return": {}})
        self.assertEqual(self.only("qmp_send"), {"command": "stop", "arguments": {}})

    def test_switch_root(self) -> None:
        self.executes(-2)
        self.vm.switch_root()
        wanted = ["machine.wait_for_unit", "machine.execute", "machine.connect"]
        self.assertEqual([m for m in self.fake.methods() if m in wanted], wanted)

    def test_own_base64_is_the_usual(self) -> None:
        # copy_from_host_via_shell encodes block by block.
        self.assertEqual(90_000 % 3, 0)
        self.assertEqual(len(base64.b64encode(bytes(90_000))), 120_000)
