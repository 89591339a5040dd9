"""The machine's systemd."""

from __future__ import annotations

from ..errors import RequestedAssertionFailed
from .commands import Commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from ..duration import Duration


class Units(Commands):
    """What is done by asking systemd."""

    def systemctl(self, q: str, user: Optional[str] = None) -> tuple[int, str]:
        """Runs `systemctl q`, or that of user's own manager, and returns exit
        status and output."""
        if user is None:
            return self.execute(f"systemctl {q}")
        quoted = q.replace("'", "\\'")
        return self.execute(
            f"su -l {user} --shell /bin/sh -c "
            f"$'XDG_RUNTIME_DIR=/run/user/`id -u` systemctl --user {quoted}'"
        )

    def start_job(self, jobname: str, user: Optional[str] = None) -> tuple[int, str]:
        """Starts a unit; returns exit status and output."""
        return self.systemctl(f"start {jobname}", user)

    def stop_job(self, jobname: str, user: Optional[str] = None) -> tuple[int, str]:
        """Stops a unit; returns exit status and output."""
        return self.systemctl(f"stop {jobname}", user)

    def wait_for_job(self, jobname: str) -> None:
        """The old name of wait_for_unit."""
        self.wait_for_unit(jobname)

    def wait_for_unit(
        self, unit: str, user: Optional[str] = None, timeout: Optional[Duration] = 900
    ) -> None:
        """Waits until unit is active. Raises RequestedAssertionFailed if it
        failed, if it is inactive and nothing is about to start it, and after
        timeout."""
        whose = "" if user is None else f" with user {user}"
        with self.nested(f"waiting for unit {unit}{whose}"):
            self._wait("wait_for_unit", timeout, unit=f"{unit}", user=user)

    def get_unit_info(self, unit: str, user: Optional[str] = None) -> dict[str, str]:
        """Returns all properties of unit, as `systemctl show` prints them."""
        text = self._show("info", unit, "", user)
        pairs = (line.partition("=") for line in text.split("\n"))
        return {key: value for key, found, value in pairs if key and found}

    def get_unit_property(self, unit: str, property: str, user: Optional[str] = None) -> str:
        """Returns one property of unit."""
        text = self._show(f'property "{property}"', unit, f' --property="{property}"', user)
        key, found, value = text.partition("=")
        if not found or key != property:
            raise RequestedAssertionFailed(
                f'systemctl show --property "{property}" "{unit}" produced invalid output: {text}'
            )
        return value[:-1] if value.endswith("\n") else value

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        """Raises RequestedAssertionFailed unless unit is in that state."""
        with self.nested(f"checking if unit '{unit}' has reached state '{require_state}'"):
            state = self.get_unit_info(unit)["ActiveState"]
            if state != require_state:
                # "to to" is what scripts that read this message know.
                raise RequestedAssertionFailed(
                    f"Expected unit '{unit}' to to be in state "
                    f"'{require_state}' but it is in state '{state}'"
                )

    def _show(self, what: str, unit: str, options: str, user: Optional[str]) -> str:
        status, text = self.systemctl(f'--no-pager show "{unit}"{options}', user)
        if status == 0:
            return text
        of = f'{what} for unit "{unit}"' + ("" if user is None else f' under user "{user}"')
        raise RequestedAssertionFailed(
            f"retrieving systemctl {of} failed with exit code {status}"
        )
