"""Durations: a datetime.timedelta, or a number of seconds."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as typing's, whose import takes some milliseconds
if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Optional, Union

    Duration = Union[timedelta, int, float]


def as_seconds(duration: Duration) -> float:
    """Returns duration in seconds. TypeError for anything that is no
    duration, a bool among it; ValueError for NaN."""
    if isinstance(duration, (int, float)) and not isinstance(duration, bool):
        seconds = float(duration)
    else:
        # Nobody holds a timedelta while this module is not loaded.
        datetime = sys.modules.get("datetime")
        if datetime is None or not isinstance(duration, datetime.timedelta):
            raise TypeError(
                "a duration is a timedelta or a number of seconds, "
                f"not {duration!r} of type {type(duration).__name__}"
            )
        seconds = duration.total_seconds()  # type: ignore[union-attr]
    if seconds != seconds:
        raise ValueError("a duration can't be NaN")
    return seconds


def as_limit(duration: Optional[Duration]) -> Optional[float]:
    """Returns a time limit in seconds, at least 0; None is no limit, as is
    infinity, for which JSON has no word."""
    if duration is None:
        return None
    seconds = as_seconds(duration)
    return None if seconds == float("inf") else max(0.0, seconds)


def as_timedelta(duration: Duration) -> timedelta:
    """Returns duration as a timedelta; errors as for as_seconds."""
    from datetime import timedelta

    return timedelta(seconds=as_seconds(duration))


def in_words(duration: Optional[Duration]) -> str:
    """Returns the seconds as a person writes them: 900, 0.5, None."""
    return "None" if duration is None else f"{as_seconds(duration):.15g}"


if not TYPE_CHECKING:

    def __getattr__(name):
        if name != "Duration":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from datetime import timedelta
        from typing import Union

        return Union[timedelta, int, float]
