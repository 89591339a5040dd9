"""The classes of machines: containers, QEMU, and what both are."""

from __future__ import annotations

from time import monotonic

from ..duration import as_limit
from ..errors import MachineError, RequestedAssertionFailed
from .outside import Outside
from .waiting import retry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn, Optional

    from ..duration import Duration


class BaseMachine(Outside):
    """A machine of either kind."""


Machine = BaseMachine  # its name in older scripts


class NspawnMachine(BaseMachine):
    """A container."""

    _what = "container"

    @property
    def get_systemd_process(self) -> int:
        """The process id of the container's init, as the driver sees it."""
        return int(self._call("get_systemd_process"))

    if not TYPE_CHECKING:  # checkers shall complain of these themselves

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or name not in QemuMachine.__dict__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

            def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
                raise MachineError(
                    f"{self.name}.{name}: only the QEMU backend has this, "
                    f"and {self.name} is a container"
                )

            # A property's value can't be called: refuse before it is used.
            return refuse() if isinstance(QemuMachine.__dict__[name], property) else refuse


class QemuMachine(BaseMachine):
    """A virtual machine."""

    _what = "VM"

    def start(self, allow_reboot: bool = False) -> None:
        """Starts the machine and returns without waiting for its boot.
        Unless allow_reboot, a reboot inside ends it."""
        self._call("start", allow_reboot=bool(allow_reboot))

    def switch_root(self) -> None:
        """Goes from the initrd, if it has a back door, to the real system."""
        self.wait_for_unit("initrd.target")
        self.execute(
            "systemctl isolate --no-block initrd-switch-root.target 2>/dev/null >/dev/null",
            check_return=False,
            check_output=False,
        )
        self.connected = False
        self.connect()

    def send_monitor_command(self, command: str) -> str:
        """Gives command to QEMU's monitor and returns its answer."""
        self.run_callbacks()
        return str(self._call("send_monitor_command", command=f"{command}"))

    def wait_for_monitor_prompt(self) -> str:
        """Waits until QEMU's monitor is ready; returns what it printed."""
        return str(self._call("wait_for_monitor_prompt"))

    @property
    def qmp_client(self) -> QmpClient:
        """QEMU's machine protocol."""
        return QmpClient(self._call)

    def wait_for_qmp_event(
        self, event_filter: Callable[[dict[str, Any]], bool], timeout: Duration = 600
    ) -> dict[str, Any]:
        """Returns the first event of QEMU for which event_filter is true;
        others are dropped. Raises TimeoutError after timeout."""
        limit = as_limit(timeout)
        deadline = None if limit is None else monotonic() + limit
        while True:
            event = self.qmp_client.wait_for_event(limit)
            if event_filter(event):
                return event
            if deadline is not None:
                limit = deadline - monotonic()
                if limit <= 0:
                    raise TimeoutError(f"no such QMP event came within {timeout}")

    def get_tty_text(self, tty: str) -> str:
        """Returns what is to be seen on a virtual terminal."""
        columns = f"$(stty -F /dev/tty{tty} size | awk '{{print $2}}')"
        return self.execute(f"fold -w{columns} /dev/vcs{tty}")[1]

    def wait_until_tty_matches(
        self, tty: str, regexp: str, timeout: Optional[Duration] = 900
    ) -> None:
        """Waits until regexp matches something on a virtual terminal."""
        import re

        pattern = re.compile(regexp)

        def matches(last: bool) -> bool:
            text = self.get_tty_text(tty)
            if last:
                self.log(
                    f"Last chance to match /{regexp}/ on TTY{tty}, "
                    f"which currently contains: {text}"
                )
            return pattern.search(text) is not None

        with self.nested(f"waiting for {regexp} to appear on tty {tty}"):
            retry(matches, timeout)

    def dump_tty_contents(self, tty: str) -> None:
        """Writes what is to be seen on a virtual terminal to the journal."""
        self.execute(f"fold -w 80 /dev/vcs{tty} | systemd-cat")

    def read_efi_vars(self) -> Any:
        """Returns the firmware's variables; the machine must be off."""
        return self._call("read_efi_vars")

    def write_efi_vars(self, add: list[Any]) -> None:
        """Adds variables to the firmware's; the machine must be off."""
        self._call("write_efi_vars", add=add)

    def create_efi_vars(self) -> None:
        """Makes an empty store for the firmware's variables."""
        self._call("create_efi_vars")

    def dump_efi_vars(self) -> None:
        """Logs the firmware's variables."""
        self._call("dump_efi_vars")


class QmpClient:
    """A machine's QMP session."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def send(self, cmd: str, args: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Runs a command and returns QEMU's answer."""
        result: dict[str, Any] = self._call("qmp_send", command=cmd, arguments=args or {})
        return result

    def wait_for_event(self, timeout: Optional[Duration] = 10) -> dict[str, Any]:
        """Returns the next event. Raises TimeoutError after timeout."""
        try:
            event: dict[str, Any] = self._call("wait_for_qmp_event", timeout=as_limit(timeout))
        except RequestedAssertionFailed as e:
            raise TimeoutError(str(e)) from None
        return event
