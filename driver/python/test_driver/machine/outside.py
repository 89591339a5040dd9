"""What is done to a machine from outside: cable, console, keyboard, screen.

Patterns are Python's and are sent as they are written.
"""

from __future__ import annotations

import os

from ..duration import as_limit
from .units import Units
from .waiting import retry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from ..duration import Duration

_WINDOW_NAMES = r"xwininfo -root -tree | sed 's/.*0x[0-9a-f]* \"\([^\"]*\)\".*/\1/; t; d'"


class Outside(Units):
    """What happens at the machine's edge."""

    def block(self) -> None:
        """Pulls the cable to the first network of the test."""
        self._call("block")

    def unblock(self) -> None:
        """Plugs the cable in again."""
        self._call("unblock")

    def forward_port(self, host_port: int = 8080, guest_port: int = 80) -> None:
        """Makes a TCP port of the machine reachable on one of the host."""
        self._call("forward_port", host_port=int(host_port), guest_port=int(guest_port))

    def ssh_backdoor_command(self, index: Optional[int] = None) -> str:
        """Returns the command that logs in over the test's ssh back door."""
        return str(self._call("ssh_backdoor_command", index=index))

    def get_console_log(self) -> str:
        """Returns all that the console printed since the last start."""
        return self._output("console_log")[1]

    def send_console(self, chars: str) -> None:
        """Types chars on the console."""
        self._call("send_console", chars=f"{chars}")

    def wait_for_console_text(self, regex: str, timeout: Optional[Duration] = None) -> None:
        """Waits until regex matches something that the console prints."""
        pattern = _pattern(regex)
        with self.nested(f"waiting for {pattern} to appear on console"):
            self._wait("wait_for_console_text", timeout, regex=pattern)

    def shell_interact(self, address: Optional[str] = None) -> None:
        """Joins the terminal, or what listens on address, to a root shell in
        the machine. For interactive use."""
        self._call("shell_interact", address=address)

    def console_interact(self) -> None:
        """Joins the terminal to the console. For interactive use."""
        self._call("console_interact")

    def send_key(
        self, key: str, delay: Optional[Duration] = 0.01, log: Optional[bool] = True
    ) -> None:
        """Presses a key or several, as in `ctrl-alt-delete`, and waits for
        delay."""
        if log:
            with self.nested(f"sending key {key!r}"):
                return self.send_key(key, delay, log=False)
        self.run_callbacks()
        self._call("send_key", key=f"{key}", delay=as_limit(delay))

    def send_chars(self, chars: str, delay: Optional[Duration] = 0.01) -> None:
        """Types chars on the keyboard, with delay after each."""
        with self.nested(f"sending keys {chars!r}"):
            self.run_callbacks()
            self._call("send_chars", chars=f"{chars}", delay=as_limit(delay))

    def screenshot(self, filename: str) -> None:
        """Takes a picture of the screen: a PNG in `$out`, unless filename
        holds a slash."""
        path = f"{filename}"
        if "." not in path:
            path += ".png"
        if "/" not in path:
            path = os.path.join(self._info["out_dir"], path)
        with self.nested(f"making screenshot {path}", {"image": os.path.basename(path)}):
            self._call("screenshot", filename=os.path.abspath(path))

    def get_screen_text(self) -> str:
        """Returns the text on the screen, as character recognition sees it."""
        return str(self._call("get_screen_text"))

    def get_screen_text_variants(self) -> list[str]:
        """Returns several readings of the screen, at least one."""
        return list(self._call("get_screen_text_variants"))

    def wait_for_text(self, regex: str, timeout: Optional[Duration] = 900) -> None:
        """Waits until regex matches a reading of the screen."""
        pattern = _pattern(regex)
        with self.nested(f"waiting for {pattern} to appear on screen"):
            self._wait("wait_for_text", timeout, regex=pattern)

    def wait_for_x(self, timeout: Optional[Duration] = 900) -> None:
        """Waits until the machine's X server takes connections."""

        def is_up(_last: bool) -> bool:
            target = (
                "journalctl -b SYSLOG_IDENTIFIER=systemd"
                ' | grep "Reached target Current graphical"'
            )
            return (
                self.execute(target)[0] == 0
                and self.execute("[ -e /tmp/.X11-unix/X0 ]")[0] == 0
            )

        with self.nested("waiting for the X11 server"):
            retry(is_up, timeout)

    def get_window_names(self) -> list[str]:
        """Returns the names of the windows of the X server."""
        return self.succeed(_WINDOW_NAMES).splitlines()

    def wait_for_window(self, regexp: str, timeout: Optional[Duration] = 900) -> None:
        """Waits until regexp matches the name of a window."""
        import re

        pattern = re.compile(regexp)

        def is_there(last: bool) -> bool:
            names = self.get_window_names()
            if last:
                self.log(
                    f"Last chance to match {regexp} on the window list,"
                    f" which currently contains: {', '.join(names)}"
                )
            return any(pattern.search(name) for name in names)

        with self.nested("waiting for a window to appear"):
            retry(is_there, timeout)


def _pattern(regex: Any) -> str:
    """A compiled pattern will do, too."""
    return f"{getattr(regex, 'pattern', regex)}"


