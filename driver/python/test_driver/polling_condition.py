"""Conditions that must hold all the while, or that are waited for."""

from __future__ import annotations

import _thread
from time import monotonic

from .duration import as_seconds
from .machine.waiting import retry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional

    from .duration import Duration
    from .logger import Logger


class PollingConditionError(Exception):
    """A condition that was to hold does not."""


class PollingCondition:
    """A function that returns False, or raises, when the condition does not
    hold; and when it was last asked."""

    def __init__(
        self,
        condition: Callable[[], Optional[bool]],
        logger: Logger,
        seconds_interval: Duration = 2.0,
        description: Optional[str] = None,
        *,
        interval: Optional[Duration] = None,
    ) -> None:
        self.condition = condition
        self.logger = logger
        self.seconds_interval = as_seconds(seconds_interval if interval is None else interval)
        if description is None:
            description = condition.__doc__ or getattr(condition, "__name__", repr(condition))
        self.description = str(description)
        self.last_called = float("-inf")
        self.entry_count = 0
        self._lock = _thread.allocate_lock()

    @property
    def entered(self) -> bool:
        """Whether it is being checked, as when it runs a command itself."""
        return self.entry_count > 0

    @property
    def overdue(self) -> bool:
        """Whether the last check is an interval ago."""
        return self.last_called + self.seconds_interval < monotonic()

    def check(self, force: bool = False) -> bool:
        """Whether the condition holds. It is taken to hold while it is being
        checked and while it is not overdue, unless force."""
        if not force and (self.entered or not self.overdue):
            return True
        with self.logger.nested(f"Checking polling condition {self.description!r}"):
            since = monotonic() - self.last_called
            never = since == float("inf")
            self.logger.info("(not called yet)" if never else f"Time since last: {since:.2f}s")
            self._enter(1)
            try:
                holds = self.condition()
                result = holds is None or bool(holds)
            except Exception as e:
                self.logger.debug(f"it raised {type(e).__name__}: {e}")
                result = False
            finally:
                self.last_called = monotonic()
                self._enter(-1)
            self.logger.info(self.status_message(result))
            return result

    def maybe_raise(self) -> None:
        """Raises PollingConditionError if the condition does not hold."""
        if not self.check():
            raise PollingConditionError(self.status_message(False))

    def status_message(self, status: bool) -> str:
        """Returns the line that tells of a check."""
        return f"Polling condition {'succeeded' if status else 'failed'}: {self.description}"

    def _enter(self, count: int) -> None:
        with self._lock:  # commands of several threads check conditions
            self.entry_count += count


class Poll:
    """What the script gets: within `with` the condition is checked before
    each command and during waits; wait() waits until it holds."""

    def __init__(self, condition: PollingCondition, active: list[PollingCondition]) -> None:
        self.condition = condition
        self._active = active

    def __enter__(self) -> None:
        self._active.append(self.condition)

    def __exit__(self, *_: object) -> None:
        # The last one that is this: the same may be entered twice, and
        # several threads have their own order.
        for index in range(len(self._active) - 1, -1, -1):
            if self._active[index] is self.condition:
                del self._active[index]
                return

    def wait(self, timeout: Optional[Duration] = 900) -> None:
        """Waits until the condition holds. Raises RequestedAssertionFailed
        after timeout."""
        condition = self.condition
        logger = condition.logger

        def holds(last: bool) -> bool:
            if last:
                logger.info(f"Last chance for {condition.description}")
            result = condition.check(force=True)
            if not result and not last:
                logger.info(f"({condition.description} failure not fatal yet)")
            return result

        with logger.nested(f"waiting for {condition.description}"):
            retry(holds, timeout)
