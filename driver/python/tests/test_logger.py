"""The object `log`."""

import contextlib
import io
import unittest
from typing import Any

from test_driver.logger import AbstractLogger, Logger, LogLevel
from test_driver.rpc import Rpc

from .fakedriver import FakeDriver


class LoggerTest(unittest.TestCase):
    def setUp(self) -> None:
        self.driver = FakeDriver()
        self.addCleanup(self.driver.close)
        self.rpc = Rpc(self.driver.path)
        self.addCleanup(self.rpc.disconnect)
        self.log = Logger(self.rpc)

    def sent(self) -> list[tuple[str, dict[str, Any]]]:
        """What came since the last time."""
        self.rpc.call("sync", {})
        requests, self.driver.requests[:] = list(self.driver.requests[:-1]), []
        for request in requests:
            notified = request["method"] != "serial_stdout"
            self.assertEqual(request.get("notify", False), notified, request)
        return [(request["method"], request["params"]) for request in requests]

    def test_lines(self) -> None:
        cases = [
            (lambda: self.log.log("a"), {"message": "a", "level": "info"}),
            (lambda: self.log.log("a", {"machine": "m"}), {"message": "a", "level": "info", "machine": "m"}),
            (lambda: self.log.info("a"), {"message": "a", "level": "info"}),
            (lambda: self.log.info("a", {"machine": "m"}), {"message": "a", "level": "info", "machine": "m"}),
            (lambda: self.log.info("a", machine="m"), {"message": "a", "level": "info", "machine": "m"}),
            (lambda: self.log.warning("a"), {"message": "a", "level": "warning"}),
            (lambda: self.log.log_test_error("a"), {"message": "a", "level": "test_error"}),
            (lambda: self.log.log(5), {"message": "5", "level": "info"}),
            (lambda: self.log.log_serial("a", "m"), {"message": "m # a", "level": "info"}),
        ]
        for number, (act, want) in enumerate(cases):
            with self.subTest(number=number):
                act()
                self.assertEqual(self.sent(), [("log", want)])

    def test_levels(self) -> None:
        self.log.debug("dropped")
        self.log.set_log_level(LogLevel.DEBUG)
        self.log.debug("seen")
        self.log.set_log_level(LogLevel.ERROR)
        for method in (self.log.debug, self.log.info, self.log.warning):
            method("dropped")
        self.log.log("always")
        self.log.log_test_error("always")
        messages = [params["message"] for _, params in self.sent()]
        self.assertEqual(messages, ["seen", "always", "always"])
        Logger(self.rpc, "warning").info("dropped")
        Logger(self.rpc, "debug").debug("seen")
        self.assertEqual([params["message"] for _, params in self.sent()], ["seen"])

    def test_error_ends_the_test(self) -> None:
        with self.assertRaises(SystemExit) as caught:
            self.log.error("bad")
        self.assertEqual(caught.exception.code, 1)
        Logger(self.rpc, exit_on_error=False).error("bad, but go on")
        self.assertEqual([params["level"] for _, params in self.sent()], ["error", "error"])

    def test_nested(self) -> None:
        with self.log.nested("outer", {"machine": "m"}):
            with self.log.nested("inner"):
                self.log.log("line")
        (_, outer), (_, inner), line, end_inner, end_outer = self.sent()
        self.assertEqual(outer, {"message": "outer", "machine": "m", "id": outer["id"]})
        self.assertEqual(inner, {"message": "inner", "id": inner["id"]})
        self.assertNotEqual(outer["id"], inner["id"])
        self.assertEqual(line, ("log", {"message": "line", "level": "info"}))
        self.assertEqual(end_inner, ("nest.end", {"id": inner["id"], "failed": False}))
        self.assertEqual(end_outer, ("nest.end", {"id": outer["id"], "failed": False}))

    def test_subtest_that_fails(self) -> None:
        error = ValueError("broken")
        with self.assertRaises(ValueError) as caught:
            with self.log.subtest("part"):
                raise error
        self.assertIs(caught.exception, error)
        begin, line, end = self.sent()
        number = begin[1]["id"]
        self.assertEqual(
            begin, ("nest.begin", {"message": "part", "subtest": True, "id": number})
        )
        self.assertEqual(
            line,
            ("log", {"message": 'Test "part" failed with error: "broken"', "level": "test_error"}),
        )
        self.assertEqual(end, ("nest.end", {"id": number, "failed": True}))

    def test_decorator(self) -> None:
        @self.log.subtest("each time")
        def add(a: int, *, b: int) -> int:
            """Adds."""
            return a + b

        self.assertEqual([add(1, b=2), add(3, b=4)], [3, 7])
        self.assertEqual(add.__doc__, "Adds.")
        ids = [params["id"] for method, params in self.sent() if method == "nest.begin"]
        self.assertEqual(len(set(ids)), 2)

    def test_serial(self) -> None:
        self.log.print_serial_logs(False)
        self.assertEqual(self.sent(), [("serial_stdout", {"on": False})])

    def test_driver_is_gone(self) -> None:
        log = Logger(Rpc("/nonexistent"))
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            with self.assertRaises(ZeroDivisionError):
                with log.nested("heading"):
                    log.log_test_error("what went wrong")
                    raise ZeroDivisionError
        self.assertEqual(stderr.getvalue(), "heading\nwhat went wrong\n")

    def test_name_for_type_hints(self) -> None:
        self.assertIsInstance(self.log, AbstractLogger)
