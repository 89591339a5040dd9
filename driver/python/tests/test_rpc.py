"""Frames, errors and threads on the socket."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings
from typing import Any

from test_driver import rpc
from test_driver.errors import MachineError, RequestedAssertionFailed

from .fakedriver import PYTHON_SIDE, FakeDriver, Failure, Output

VALUES = [
    None, True, False, 0, -1, 1 << 70, 0.5, 1e300, -0.0, "", "plain", 'q"\\\n\t\x00\x7f',
    "\u00fc \u20ac \U0001f600 \u2028", "\udcff", [], [1, [2, []]], {}, {"a": {"b": [None, "c"]}},
]


class CodecTest(unittest.TestCase):
    def test_encode_is_json(self) -> None:
        for value in VALUES:
            with self.subTest(value=value):
                text = rpc.encode({"v": value})
                self.assertNotIn("\n", text)
                self.assertEqual(json.loads(text), {"v": value})

    def test_encode_refuses(self) -> None:
        for value in (object(), b"bytes", {1}, [object()]):
            with self.subTest(value=value), self.assertRaises(TypeError):
                rpc.encode({"v": value})
        for number in (float("inf"), float("-inf"), float("nan")):
            with self.subTest(value=number), self.assertRaises(ValueError):
                rpc.encode([number])

    def test_decode_is_json(self) -> None:
        for value in VALUES:
            for ascii_only in (True, False):
                with self.subTest(value=value, ascii_only=ascii_only):
                    line = json.dumps({"v": value}, ensure_ascii=ascii_only)
                    want = {"v": "\ufffd" * 3} if value == "\udcff" and not ascii_only else {"v": value}
                    got = rpc.decode(line.encode("utf-8", "surrogatepass"))
                    self.assertEqual(got, want)

    def test_decode_refuses(self) -> None:
        for line in (b"", b" ", b"nonsense", b"{", b'{"a":', b"[1]", b"3", b"null", b"\xff\xfe"):
            with self.subTest(line=line), self.assertRaises(rpc.ConnectionLost):
                rpc.decode(line)

    def test_without_the_c_parts(self) -> None:
        program = (
            "import sys; sys.modules['_json'] = None\n"
            "from test_driver import rpc\n"
            "assert 'json' in sys.modules\n"
            "print(rpc.encode({'a': ['\\xfc\"', 1.5]}), rpc.decode(b'{\"b\": [1, null]}'))\n"
            "try: rpc.decode(b'nonsense')\n"
            "except rpc.ConnectionLost: print('refused')"
        )
        out = subprocess.run(
            [sys.executable, "-B", "-c", program],
            cwd=PYTHON_SIDE, stdout=subprocess.PIPE, check=True, encoding="utf-8",
        ).stdout
        self.assertEqual(out, '{"a":["\\u00fc\\"",1.5]} {\'b\': [1, None]}\nrefused\n')


class RpcTest(unittest.TestCase):
    def setUp(self) -> None:
        self.driver = FakeDriver()
        self.addCleanup(self.driver.close)
        self.rpc = rpc.Rpc(self.driver.path)
        self.addCleanup(self.rpc.disconnect)

    def test_call(self) -> None:
        self.driver.handlers["add"] = lambda params: params["a"] + params["b"]
        self.assertEqual(self.rpc.call("add", {"a": 1, "b": 2}), 3)
        self.assertEqual(self.driver.requests[-1], {"method": "add", "params": {"a": 1, "b": 2}})

    def test_result_null(self) -> None:
        self.driver.handlers["null"] = lambda params: None
        self.assertIsNone(self.rpc.call("null", {}))

    def test_settle_asks_only_after_a_notification(self) -> None:
        self.rpc.call("hello", {})
        self.rpc.settle()
        self.rpc.notify("log", {})
        self.rpc.settle()
        self.rpc.settle()
        self.rpc.notify("log", {})
        self.rpc.call("hello", {})
        self.rpc.settle()
        methods = [r["method"] for r in self.driver.requests]
        self.assertEqual(methods, ["hello", "log", "sync", "log", "hello"])

    def test_notify_waits_for_nothing_and_keeps_the_order(self) -> None:
        for number in range(200):
            self.rpc.notify("log", {"number": number})
        self.rpc.call("end", {})
        self.assertEqual([r["params"]["number"] for r in self.driver.requests[:-1]], list(range(200)))
        self.assertTrue(all(r["notify"] is True for r in self.driver.requests[:-1]))
        self.assertNotIn("notify", self.driver.requests[-1])

    def test_chunks(self) -> None:
        whole = random.Random(1).randbytes(200_000)
        cuts = [0, 0, 1, 2, 3, 70_000, 70_001, 200_000]
        self.driver.handlers["out"] = lambda params: Output(
            {"status": 7}, *(whole[a:b] for a, b in zip(cuts, cuts[1:]))
        )
        self.assertEqual(self.rpc.call_output("out", {}), ({"status": 7}, whole))
        self.assertEqual(self.rpc.call("out", {}), {"status": 7})

    def test_chunks_that_look_like_frames(self) -> None:
        evil = b'{"result": "no"}\n{"chunk": 5}\n\x00\r\n{"error": {}}\n'
        self.driver.handlers["out"] = lambda params: Output("yes", evil, b"\n", evil)
        self.assertEqual(self.rpc.call_output("out", {}), ("yes", evil + b"\n" + evil))

    def test_large_output(self) -> None:
        block = bytes(range(256)) * 4096  # 1 MiB
        self.driver.handlers["out"] = lambda params: Output("done", *[block] * 50)
        result, output = self.rpc.call_output("out", {})
        self.assertEqual(result, "done")
        self.assertEqual(len(output), 50 << 20)
        self.assertTrue(output == block * 50)

    def test_large_request(self) -> None:
        text = "x\u20ac" * 3_000_000
        self.driver.handlers["length"] = lambda params: len(params["text"])
        self.assertEqual(self.rpc.call("length", {"text": text}), len(text))

    def test_errors(self) -> None:
        for kind, want in [
            ("assertion", RequestedAssertionFailed),
            ("machine", MachineError),
            ("value", ValueError),
            ("type", TypeError),
            ("unsupported", MachineError),
            ("internal", MachineError),
            ("of tomorrow", MachineError),
        ]:
            with self.subTest(kind=kind):

                def fail(params: Any, kind: str = kind) -> None:
                    raise Failure(kind, f"{kind} it is")

                self.driver.handlers["fail"] = fail
                with self.assertRaises(Exception) as caught:
                    self.rpc.call("fail", {})
                self.assertIs(type(caught.exception), want)
                self.assertEqual(str(caught.exception), f"{kind} it is")
                self.assertIsNone(caught.exception.__context__)
        self.assertEqual(len(self.driver.connections), 1, "an error ends no connection")

    def test_odd_errors(self) -> None:
        for error in ("text", {}, {"kind": ["list"], "message": "m"}, 5):
            with self.subTest(error=error):
                wire = json.dumps({"error": error}).encode() + b"\n"
                self.driver.handlers["odd"] = lambda params, wire=wire: wire
                with self.assertRaises(MachineError):
                    self.rpc.call("odd", {})

    def test_nonsense_on_the_wire(self) -> None:
        for wire in (
            b"nonsense\n", b"\n", b"[]\n", b"{}\n", b'{"chunk": -1}\n', b'{"chunk": "5"}\n',
            b'{"chunk": 1.5}\n', b'{"chunk": true}\n', b'{"chunk": 99999999999}\n',
        ):
            with self.subTest(wire=wire):
                self.driver.handlers["odd"] = lambda params, wire=wire: wire
                with self.assertRaises(rpc.ConnectionLost):
                    self.rpc.call("odd", {})
                self.assertEqual(self.rpc.call("fine", {}), {}, "the next call has a new connection")

    def test_threads(self) -> None:
        def echo(params: Any) -> Output:
            if params["number"] % 7 == 0:
                time.sleep(0.002)
            return Output(params, f"{params['thread']}:{params['number']}".encode() * 1000)

        self.driver.handlers["echo"] = echo
        wrong: list[Any] = []
        gate = threading.Barrier(10)

        def work(thread: int) -> None:
            gate.wait()
            for number in range(100):
                params = {"thread": thread, "number": number}
                self.rpc.notify("log", params)
                result, output = self.rpc.call_output("echo", params)
                if result != params or output != f"{thread}:{number}".encode() * 1000:
                    wrong.append((params, result))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(len(self.driver.connections), 10)
        for requests in self.driver.connections:
            self.assertEqual(len({r["params"]["thread"] for r in requests}), 1)
            self.assertEqual([r["params"]["number"] for r in requests], sorted(list(range(100)) * 2))
        self.assertTrue(
            self.driver.wait_until(lambda: self.driver.open_connections == 0),
            "the connection of a thread that has ended is closed",
        )

    def test_interrupted_call_does_not_shift_the_answers(self) -> None:
        class Interrupt(Exception):
            pass

        def interrupt(*_: Any) -> None:
            raise Interrupt

        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def slow(params: Any) -> str:
            go_on.wait(10)
            return "late"

        self.driver.handlers["slow"] = slow
        self.driver.handlers["quick"] = lambda params: "quick"
        old = signal.signal(signal.SIGALRM, interrupt)
        self.addCleanup(signal.signal, signal.SIGALRM, old)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with self.assertRaises(Interrupt):
            self.rpc.call("slow", {})
        self.assertEqual(self.rpc.call("quick", {}), "quick")

    def test_fork_does_not_share_the_connection(self) -> None:
        self.driver.handlers["who"] = lambda params: params["me"]
        self.assertEqual(self.rpc.call("who", {"me": "parent"}), "parent")
        with warnings.catch_warnings():  # the made-up driver has threads
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if self.rpc.call("who", {"me": "child"}) == "child" else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(self.rpc.call("who", {"me": "parent"}), "parent")
        self.assertEqual([len(requests) for requests in self.driver.connections], [2, 1])

    def test_nobody_listens(self) -> None:
        gone = rpc.Rpc("/nonexistent/socket")
        with self.assertRaisesRegex(rpc.ConnectionLost, "'/nonexistent/socket'.*No such file"):
            gone.call("hello", {})
        with self.assertRaises(MachineError):
            gone.notify("log", {})
        with self.assertRaises(MachineError):
            rpc.Rpc("/tmp/" + "x" * 200).call("hello", {})


class WireTest(unittest.TestCase):
    """Against a peer that sends prepared bytes in prepared pieces."""

    def exchange(self, *pieces: bytes) -> tuple[Any, bytes]:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "s")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
                listener.bind(path)
                listener.listen(1)

                def serve() -> None:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        for piece in pieces:
                            connection.sendall(piece)
                            time.sleep(0.0005)

                server = threading.Thread(target=serve)
                server.start()
                caller = rpc.Rpc(path)
                try:
                    return caller.call_output("any", {})
                finally:
                    caller.disconnect()
                    server.join()

    WIRE = b'{"chunk": 3}\nabc{"chunk":0}\n{"chunk": 4}\n\nde\n{"result":{"status":0}}\n'

    def test_byte_by_byte(self) -> None:
        pieces = [self.WIRE[i : i + 1] for i in range(len(self.WIRE))]
        self.assertEqual(self.exchange(*pieces), ({"status": 0}, b"abc\nde\n"))

    def test_cut_anywhere(self) -> None:
        for cut in range(1, len(self.WIRE)):
            with self.subTest(cut=cut):
                got = self.exchange(self.WIRE[:cut], self.WIRE[cut:])
                self.assertEqual(got, ({"status": 0}, b"abc\nde\n"))

    def test_end_anywhere(self) -> None:
        for end in range(len(self.WIRE)):
            with self.subTest(end=end):
                with self.assertRaisesRegex(rpc.ConnectionLost, "closed the connection|receiving"):
                    self.exchange(self.WIRE[:end])
