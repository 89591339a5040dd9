"""The object `debug`."""

from __future__ import annotations


class DebugAbstract:
    """What the script may call."""

    def breakpoint(self, host: str = "127.0.0.1", port: int = 4444) -> None:
        """Stops here and waits for a debugger, if the test enables that."""
        raise NotImplementedError


class DebugNop(DebugAbstract):
    """For a test that does not enable debugging: nothing stops."""

    def breakpoint(self, host: str = "127.0.0.1", port: int = 4444) -> None:
        """Does nothing."""
