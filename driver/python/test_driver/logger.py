"""The object `log`: everything is printed and recorded by the driver."""

from __future__ import annotations

import itertools
import sys

from .errors import MachineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, Mapping, Optional

    from .rpc import Rpc

_ids = itertools.count(1)  # of nests, unique in the process


class LogLevel:
    """Levels for set_log_level; messages below the level are dropped."""

    DEBUG = 1
    INFO = 2
    WARNING = 3
    ERROR = 4


class Nest:
    """Context manager (and decorator): what is logged within belongs to one
    heading, and the time it took is logged at the end."""

    _marks: Mapping[str, Any] = {}

    def __init__(self, logger: Logger, message: str, attributes: Mapping[str, str]) -> None:
        self._logger = logger
        self._message = message
        self._attributes = attributes
        self._id = 0

    def __enter__(self) -> None:
        self._id = next(_ids)
        params = {"message": self._message, "id": self._id, **self._marks}
        self._logger.send("nest.begin", _with_machine(params, self._attributes))

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._logger.send("nest.end", {"id": self._id, "failed": kind is not None})

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

        @wraps(function)
        def nested(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self._logger, self._message, self._attributes):
                return function(*args, **kwargs)

        return nested


class Subtest(Nest):
    """A nest that names a part of the test, and says so if it fails."""

    _marks = {"subtest": True}

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if isinstance(error, Exception):
            self._logger.log_test_error(f'Test "{self._message}" failed with error: "{error}"')
        super().__exit__(kind, error, traceback)


class Logger:
    """The script's `log`.

    Attributes may be given as a second argument or as keywords; of them
    `machine` names the machine that a line is about.
    """

    def __init__(self, rpc: Rpc, level: str = "info", exit_on_error: bool = True) -> None:
        self._rpc = rpc
        self._level = getattr(LogLevel, level.upper(), LogLevel.INFO)
        self._exit_on_error = exit_on_error

    def log(self, message: object, attributes: Mapping[str, str] = {}) -> None:
        """Logs a line whatever the level."""
        self._line("info", message, attributes)

    def debug(self, message: object, attributes: Mapping[str, str] = {}, **more: Any) -> None:
        """Logs a line that is shown at level debug only."""
        if self._level <= LogLevel.DEBUG:
            self._line("debug", message, attributes, more)

    def info(self, message: object, attributes: Mapping[str, str] = {}, **more: Any) -> None:
        """Logs a line."""
        if self._level <= LogLevel.INFO:
            self._line("info", message, attributes, more)

    def warning(self, message: object, attributes: Mapping[str, str] = {}, **more: Any) -> None:
        """Logs a warning."""
        if self._level <= LogLevel.WARNING:
            self._line("warning", message, attributes, more)

    def error(self, message: object, attributes: Mapping[str, str] = {}, **more: Any) -> None:
        """Logs an error and ends the test (an interactive one goes on)."""
        self._line("error", message, attributes, more)
        if self._exit_on_error:
            raise SystemExit(1)

    def log_test_error(
        self, message: object, attributes: Mapping[str, str] = {}, **more: Any
    ) -> None:
        """Logs a line about the test's failure, marked so that it is found."""
        self._line("test_error", message, attributes, more)

    def nested(self, message: object, attributes: Mapping[str, str] = {}) -> Nest:
        """Returns a context manager whose lines stand under message."""
        return Nest(self, str(message), attributes)

    def subtest(self, name: object, attributes: Mapping[str, str] = {}) -> Nest:
        """Returns a context manager for the part of the test called name."""
        return Subtest(self, str(name), attributes)

    def log_serial(self, message: object, machine: str) -> None:
        """Logs a line as if machine had printed it on its console."""
        self._line("info", f"{machine} # {message}", {})

    def print_serial_logs(self, enable: bool) -> None:
        """Shows or hides the machines' consoles on the terminal."""
        self._rpc.call("serial_stdout", {"on": bool(enable)})

    def set_log_level(self, level: int) -> None:
        """Drops messages below level, one of LogLevel."""
        self._level = level

    def _line(
        self,
        level: str,
        message: object,
        attributes: Mapping[str, str],
        more: Mapping[str, Any] = {},
    ) -> None:
        if more:
            attributes = {**attributes, **more}
        params = {"message": str(message), "level": level}
        self.send("log", _with_machine(params, attributes))

    def send(self, method: str, params: dict[str, Any]) -> None:
        """Notifies the driver. A driver that is gone must not hide from the
        reader what was to be said, so it goes to stderr then."""
        try:
            self._rpc.notify(method, params)
        except MachineError:
            if "message" in params:
                print(params["message"], file=sys.stderr)


def _with_machine(params: dict[str, Any], attributes: Mapping[str, str]) -> dict[str, Any]:
    machine = attributes.get("machine")
    if machine is not None:
        params["machine"] = str(machine)
    return params


AbstractLogger = Logger  # the name that type hints of scripts know
