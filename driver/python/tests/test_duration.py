"""Durations."""

import subprocess
import sys
import unittest
from datetime import timedelta
from fractions import Fraction

from test_driver import duration

from .fakedriver import PYTHON_SIDE


class DurationTest(unittest.TestCase):
    def test_seconds(self) -> None:
        for given, want in [
            (0, 0.0),
            (900, 900.0),
            (0.25, 0.25),
            (-1, -1.0),
            (timedelta(minutes=2, milliseconds=5), 120.005),
            (timedelta(days=1), 86400.0),
        ]:
            with self.subTest(given=given):
                got = duration.as_seconds(given)
                self.assertEqual(got, want)
                self.assertIs(type(got), float)
                self.assertEqual(duration.as_timedelta(given).total_seconds(), want)

    def test_no_duration(self) -> None:
        for given in (True, False, None, "5", b"5", [5], Fraction(1, 2), object()):
            with self.subTest(given=given), self.assertRaises(TypeError):
                duration.as_seconds(given)  # type: ignore[arg-type]
        with self.assertRaises(ValueError):
            duration.as_seconds(float("nan"))

    def test_limit(self) -> None:
        for given, want in [
            (None, None),
            (float("inf"), None),
            (-3, 0.0),
            (timedelta(seconds=-3), 0.0),
            (1.5, 1.5),
        ]:
            with self.subTest(given=given):
                self.assertEqual(duration.as_limit(given), want)
        with self.assertRaises(TypeError):
            duration.as_limit(True)

    def test_words(self) -> None:
        for given, want in [(900, "900"), (0.5, "0.5"), (timedelta(minutes=5), "300"), (None, "None")]:
            with self.subTest(given=given):
                self.assertEqual(duration.in_words(given), want)

    def test_type_alias_is_there_for_scripts(self) -> None:
        from test_driver.duration import Duration

        self.assertIn(timedelta, Duration.__args__)  # type: ignore[attr-defined]
        with self.assertRaises(AttributeError):
            duration.durations  # type: ignore[attr-defined]  # noqa: B018

    def test_numbers_alone_do_not_load_datetime(self) -> None:
        program = (
            "import sys; from test_driver.duration import as_seconds as f; f(1); f(.5)\n"
            "try: f('x')\n"
            "except TypeError: print('datetime' in sys.modules)\n"
            "import datetime; print(f(datetime.timedelta(hours=1)))"
        )
        out = subprocess.run(
            [sys.executable, "-B", "-S", "-c", program],
            cwd=PYTHON_SIDE, stdout=subprocess.PIPE, check=True, encoding="utf-8",
        ).stdout
        self.assertEqual(out, "False\n3600.0\n")
