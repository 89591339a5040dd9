"""What every machine method stands on: the calls, the log, life and death."""

from __future__ import annotations

from time import monotonic

from ..duration import as_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Callable, Mapping, Optional

    from ..duration import Duration
    from ..logger import Logger, Nest
    from ..rpc import Rpc

_OWN_CALLBACK_INTERVAL = 1.0  # seconds between calls of a script's own callbacks


class Core:
    """Names, state and life of a machine."""

    name: str
    """The machine's name, as the test has it."""

    callbacks: list[Callable[[], object]]
    """Called before every command and now and then during a wait."""

    _what = "machine"  # in log lines

    def __init__(
        self,
        rpc: Rpc,
        logger: Logger,
        info: Mapping[str, Any],
        check: Optional[Callable[[], object]] = None,
        interval: Callable[[], Optional[float]] = lambda: None,
    ) -> None:
        """info is what the driver says of the machine: name and directories.
        check is the first callback, interval tells how often it wants to be
        called during a wait."""
        self.name = info["name"]
        self.logger = logger
        self.callbacks = [] if check is None else [check]
        self.keep_machine_state = bool(info.get("keep_machine_state"))
        self._rpc = rpc
        self._info = info
        self._interval = interval
        self._own_callbacks_from = len(self.callbacks)
        self._stale = False  # the next connection must be a new one

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self.name}'>"

    @property
    def out_dir(self) -> Path:
        """The directory of the test's results, `$out`."""
        return self._path("out_dir")

    @property
    def tmp_dir(self) -> Path:
        """The directory that holds the machines' state directories."""
        return self._path("tmp_dir")

    @property
    def state_dir(self) -> Path:
        """The machine's own directory on the driver's side."""
        return self._path("state_dir")

    @property
    def shared_dir(self) -> Path:
        """The directory that all machines see as /tmp/shared."""
        return self._path("shared_dir")

    @property
    def connected(self) -> bool:
        """Whether commands can be run now. A script sets this to False after
        it made the machine reboot; the next command connects anew then."""
        return not self._stale and self.is_up()

    @connected.setter
    def connected(self, value: bool) -> None:
        self._stale = not value

    @property
    def booted(self) -> bool:
        """Whether the machine runs. Scripts set it too, which has no effect,
        since the driver knows."""
        return self.is_up()

    @booted.setter
    def booted(self, value: bool) -> None:
        pass

    def log(self, msg: object) -> None:
        """Logs msg with the machine's name."""
        self.logger.log(msg, {"machine": self.name})

    def log_serial(self, msg: object) -> None:
        """Logs msg as if the machine had printed it on its console."""
        self.logger.log_serial(msg, self.name)

    def nested(self, msg: object, attrs: Mapping[str, str] = {}) -> Nest:
        """Returns a context manager whose log lines stand under msg."""
        return self.logger.nested(msg, {"machine": self.name, **attrs})

    def run_callbacks(self) -> None:
        """Calls the callbacks, so that polling conditions are checked."""
        for callback in self.callbacks:
            callback()

    def start(self) -> None:
        """Starts the machine and returns without waiting for its boot.
        Nothing happens if it runs."""
        self._call("start")

    def connect(self) -> None:
        """Starts the machine if need be and waits until it takes commands."""
        stale, self._stale = self._stale, False
        if stale:
            self._call("connect", reconnect=True)
        else:
            self._call("connect")

    def is_up(self) -> bool:
        """Whether the machine runs and takes commands."""
        return bool(self._call("is_up"))

    def shutdown(self) -> None:
        """Powers the machine off in an orderly way and waits for that."""
        with self._until_off():
            self._call("shutdown")

    def wait_for_shutdown(self) -> None:
        """Waits until the machine is off, which something else must bring
        about."""
        with self._until_off():
            self._call("wait_for_shutdown")

    def crash(self) -> None:
        """Ends the machine as a power failure does."""
        self.log("forced crash")
        self._call("crash")

    def reboot(self) -> None:
        """Presses ctrl-alt-delete. The next command waits for the new boot."""
        self._call("reboot")

    def release(self) -> None:
        """Ends the machine at once and frees what it holds."""
        self._call("release")

    def cleanup_statedir(self) -> None:
        """Removes the state directory of a machine that is off."""
        self._call("cleanup_statedir")

    def _until_off(self) -> Nest:
        return self.nested(f"waiting for the {self._what} to power off")

    def _path(self, key: str) -> Path:
        from pathlib import Path  # costs some milliseconds, rarely wanted

        return Path(self._info[key])

    def _call(self, method: str, **params: Any) -> Any:
        return self._rpc.call(f"machine.{method}", {"machine": self.name, **params})

    def _output(self, method: str, **params: Any) -> tuple[Any, str]:
        """Like _call; returns what came as chunks too, decoded."""
        result, output = self._rpc.call_output(
            f"machine.{method}", {"machine": self.name, **params}
        )
        return result, output.decode("utf-8", "replace")

    def _renew(self) -> None:
        if self._stale:
            self.connect()

    def _wait(self, method: str, timeout: Optional[Duration], **params: Any) -> str:
        """Calls a method that waits, in slices if callbacks are to be called
        meanwhile, and returns its output."""
        left = as_limit(timeout)
        deadline = None if left is None else monotonic() + left
        self.run_callbacks()
        self._renew()
        while True:
            result, output = self._output(
                method, timeout=left, slice=self._slice(), **params
            )
            if not (isinstance(result, dict) and result.get("pending")):
                return output
            self.run_callbacks()
            if deadline is not None:
                left = max(0.0, deadline - monotonic())

    def _slice(self) -> Optional[float]:
        if len(self.callbacks) > self._own_callbacks_from:
            return min(self._interval() or _OWN_CALLBACK_INTERVAL, _OWN_CALLBACK_INTERVAL)
        return self._interval() if self.callbacks else None
