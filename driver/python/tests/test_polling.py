"""Polling conditions and retry."""

import time
import unittest
from datetime import timedelta
from typing import Any, Optional
from unittest import mock

from test_driver.driver import Driver
from test_driver.errors import RequestedAssertionFailed
from test_driver.machine import retry, waiting
from test_driver.polling_condition import PollingConditionError
from test_driver.rpc import Rpc

from .fakedriver import FakeDriver, Output


class PollingTest(unittest.TestCase):
    def setUp(self) -> None:
        self.fake = FakeDriver()
        self.addCleanup(self.fake.close)
        rpc = Rpc(self.fake.path)
        self.addCleanup(rpc.disconnect)
        self.driver = Driver(rpc)
        self.box = self.driver.machines_nspawn[0]
        self.fake.handlers["machine.execute"] = lambda params: Output({"status": 0}, b"")
        self.asked = 0
        self.holds: Optional[bool] = True

    def condition(self) -> Optional[bool]:
        self.asked += 1
        return self.holds

    def poll(self, **how: Any) -> Any:
        how = {"seconds_interval": 0, **how}
        return self.driver.polling_condition(self.condition, **how)

    def test_is_checked_before_every_command(self) -> None:
        self.box.succeed("a")
        self.assertEqual(self.asked, 0)
        with self.poll():
            self.box.succeed("b")
            self.box.execute("c")
            self.assertEqual(self.asked, 2)
            self.holds = False
            with self.assertRaises(PollingConditionError) as caught:
                self.box.succeed("never")
        self.assertRegex(str(caught.exception), "^Polling condition failed: .*condition$")
        self.holds = False
        self.box.succeed("d")
        commands = [params["command"] for params in self.fake.params("machine.execute")]
        self.assertEqual(commands, ["a", "b", "c", "d"])

    def test_interval(self) -> None:
        with self.poll(seconds_interval=60):
            for _ in range(5):
                self.box.succeed("a")
        self.assertEqual(self.asked, 1)
        with self.poll(interval=timedelta(seconds=0.01)):
            self.box.succeed("a")
            time.sleep(0.02)
            self.box.succeed("a")
        self.assertEqual(self.asked, 3)

    def test_meaning_of_results(self) -> None:
        def broken() -> bool:
            raise ZeroDivisionError

        poll = self.driver.polling_condition
        for function, want in [
            (lambda: None, True), (lambda: True, True), (lambda: 1, True),
            (lambda: False, False), (lambda: 0, False), (broken, False),
        ]:
            with self.subTest(function=function):
                self.assertIs(poll(function).condition.check(force=True), want)  # type: ignore[union-attr, arg-type]

    def test_names(self) -> None:
        def plain() -> bool:
            return True

        def documented() -> bool:
            """the door is shut"""
            return True

        poll: Any = self.driver.polling_condition
        self.assertEqual(poll(plain).condition.description, "plain")
        self.assertEqual(poll(documented).condition.description, "the door is shut")
        self.assertEqual(poll(description="given")(documented).condition.description, "given")
        self.assertEqual(poll()(plain).condition.seconds_interval, 2.0)

    def test_a_condition_may_run_commands(self) -> None:
        depth: list[int] = []

        def by_command() -> bool:
            depth.append(1)
            self.box.succeed("inner")
            return True

        with self.driver.polling_condition(by_command, seconds_interval=0):  # type: ignore[union-attr]
            self.box.succeed("outer")
        self.assertEqual(len(depth), 1)

    def test_nesting(self) -> None:
        one, other = self.poll(), self.poll(description="other")
        with one, other, one:
            self.assertEqual(len(self.driver.polling_conditions), 3)
            self.holds = False
            with self.assertRaises(PollingConditionError):
                self.box.succeed("a")
            self.holds = True
        self.assertEqual(self.driver.polling_conditions, [])
        for entered in (one, other):  # as two threads might do it
            entered.__enter__()
        one.__exit__()
        self.assertEqual(self.driver.polling_conditions, [other.condition])

    def test_waits_are_sliced(self) -> None:
        answers: list[Any] = [{"pending": True}, {"pending": True}, Output({"status": 0}, b"done")]
        self.fake.handlers["machine.wait_until_succeeds"] = lambda params: answers.pop(0)
        slow = self.poll(seconds_interval=0.2)
        with slow, self.poll(seconds_interval=7):
            self.assertEqual(self.box.wait_until_succeeds("c"), "done")
        slices = [p["slice"] for p in self.fake.params("machine.wait_until_succeeds")]
        self.assertEqual(slices, [0.2] * 3)
        self.box.wait_for_file("/a")
        self.assertIsNone(self.fake.params("machine.wait_for_file")[0]["slice"])

    def test_a_wait_ends_when_the_condition_does(self) -> None:
        def pending(params: Any) -> Any:
            self.holds = False
            return {"pending": True}

        self.fake.handlers["machine.wait_for_unit"] = pending
        with self.poll(), self.assertRaises(PollingConditionError):
            self.box.wait_for_unit("never.service")
        self.assertEqual(len(self.fake.params("machine.wait_for_unit")), 1)

    def test_interval_zero_does_not_make_a_busy_loop(self) -> None:
        with self.poll(seconds_interval=0):
            self.box.wait_for_file("/a")
        self.assertEqual(self.fake.params("machine.wait_for_file")[0]["slice"], 0.05)

    def test_wait(self) -> None:
        results = iter([False, False, True])
        poll: Any = self.driver.polling_condition(lambda: next(results), description="it")
        poll.wait(timeout=5)
        self.assertEqual(self.fake.lines("info").count("(it failure not fatal yet)"), 2)
        poll = self.driver.polling_condition(lambda: False, description="never")
        with self.assertRaisesRegex(RequestedAssertionFailed, r"timeout=0\.02"):
            poll.wait(0.02)
        self.box.is_up()  # so that the lines have come
        self.assertIn("Last chance for never", self.fake.lines("info"))


class RetryTest(unittest.TestCase):
    def test_until_true(self) -> None:
        asked: list[bool] = []

        def third(last: bool) -> bool:
            asked.append(last)
            return len(asked) == 3

        start = time.monotonic()
        retry(third)
        self.assertEqual(asked, [False, False, False])
        self.assertLess(time.monotonic() - start, 0.5, "the pauses start short")

    def test_last_chance(self) -> None:
        asked: list[bool] = []

        def only_last(last: bool) -> bool:
            asked.append(last)
            return last

        retry(only_last, timeout=0.05)
        self.assertEqual(asked.count(True), 1)
        self.assertIs(asked[-1], True)
        self.assertGreater(len(asked), 2)
        asked.clear()
        retry(only_last, 0)
        self.assertEqual(asked, [True])

    def test_pauses(self) -> None:
        now = 0.0
        pauses: list[float] = []

        def sleep(seconds: float) -> None:
            nonlocal now
            now += seconds
            pauses.append(round(seconds, 3))

        with mock.patch.multiple(waiting, sleep=sleep, monotonic=lambda: now):
            with self.assertRaises(RequestedAssertionFailed):
                retry(lambda last: False, timeout=1.785)
        self.assertEqual(pauses, [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5, 0.15])

    def test_out_of_time(self) -> None:
        for spelling in ({"timeout": 0.1}, {"timeout_seconds": 0.1}, {"timeout": timedelta(seconds=0.1)}):
            with self.subTest(spelling=spelling):
                start = time.monotonic()
                with self.assertRaises(RequestedAssertionFailed) as caught:
                    retry(lambda last: False, **spelling)  # type: ignore[arg-type]
                took = time.monotonic() - start
                self.assertTrue(0.1 <= took < 1, took)
                pattern = r"^action timed out after 0\.1\d seconds \(timeout=0\.1\)$"
                self.assertRegex(str(caught.exception), pattern)

    def test_what_the_function_raises_is_passed_on(self) -> None:
        def raises(last: bool) -> bool:
            raise KeyError("k")

        with self.assertRaises(KeyError):
            retry(raises)
        with self.assertRaises(TypeError):
            retry(lambda last: True, timeout=True)
