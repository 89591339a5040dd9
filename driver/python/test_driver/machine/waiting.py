"""Waiting for what only the script can see."""

from __future__ import annotations

from time import monotonic, sleep

from ..duration import as_limit, in_words
from ..errors import RequestedAssertionFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from ..duration import Duration

_FIRST_PAUSE = 0.005  # seconds, doubled up to the longest
_LONGEST_PAUSE = 0.5


def retry(
    fn: Callable[[bool], Any],
    timeout: Optional[Duration] = 900,
    timeout_seconds: Optional[Duration] = None,
) -> None:
    """Calls fn(False) until it returns something true. After timeout it calls
    fn(True), the last chance, and raises RequestedAssertionFailed if that is
    not true either. The pauses grow from 5 ms to half a second.
    timeout_seconds is another name of timeout."""
    if timeout_seconds is not None:
        timeout = timeout_seconds
    limit = as_limit(timeout)
    start = monotonic()
    pause = _FIRST_PAUSE
    while limit is None or monotonic() - start < limit:
        if fn(False):
            return
        left = pause if limit is None else limit - (monotonic() - start)
        sleep(max(0.0, min(pause, left)))
        pause = min(2 * pause, _LONGEST_PAUSE)
    elapsed = monotonic() - start
    if not fn(True):
        raise RequestedAssertionFailed(
            f"action timed out after {elapsed:.2f} seconds (timeout={in_words(timeout)})"
        )
