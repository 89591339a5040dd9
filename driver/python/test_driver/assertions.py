"""The object `t`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class LazyTester:
    """Becomes an AssertionTester when an attribute is first asked for:
    unittest takes some 20 ms to import, and many scripts do without."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        mine = dict(self.__dict__)  # as of `t.maxDiff = None`
        self.__class__ = tester_class()
        self.__init__()  # type: ignore[misc]
        self.__dict__.update(mine)
        return getattr(self, name)


_made: list[type] = []


def tester_class() -> Any:
    """Returns AssertionTester, a unittest.TestCase whose assertions raise
    RequestedAssertionFailed."""
    if not _made:
        import unittest

        from .errors import RequestedAssertionFailed

        class AssertionTester(unittest.TestCase):
            failureException = RequestedAssertionFailed

            def runTest(self) -> None:
                """There is none; unittest wants to know a name."""

        _made.append(AssertionTester)
    return _made[0]
