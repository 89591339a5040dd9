"""Running commands in a machine, waiting for what they show, copying files."""

from __future__ import annotations

import os

from ..duration import as_limit, in_words
from ..errors import RequestedAssertionFailed
from .core import Core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Union

    from ..duration import Duration

# A path with one of these means something to a shell.
_SHELL_CHARACTERS = frozenset("*?[]{}$`~\\'\"()<>|&;! \t\n")

# Bytes of a file that fit into one command: Linux takes 128 KiB in an
# argument (MAX_ARG_STRLEN), and base64 makes four of three.
_BYTES_A_COMMAND = 90_000


class Commands(Core):
    """What is done by running a command."""

    def execute(
        self,
        command: str,
        check_return: bool = True,
        check_output: bool = True,
        timeout: Optional[Duration] = 900,
    ) -> tuple[int, str]:
        """Runs command in bash under `set -euo pipefail` and returns its exit
        status and its standard output, once the latter is closed; a command
        that goes on in the background must have it redirected.

        After timeout the command is ended, and the status is 124. Without
        check_output this returns (-2, "") at once; without check_return the
        status is -1, for commands that take the machine down.
        """
        self.run_callbacks()
        return self._execute(command, check_return, check_output, timeout)

    def _execute(
        self,
        command: str,
        check_return: bool = True,
        check_output: bool = True,
        timeout: Optional[Duration] = 900,
    ) -> tuple[int, str]:
        self._renew()
        result, output = self._output(
            "execute",
            command=f"{command}",
            check_return=bool(check_return),
            check_output=bool(check_output),
            timeout=as_limit(timeout),
        )
        return result["status"], output

    def succeed(self, *commands: str, timeout: Optional[Duration] = None) -> str:
        """Runs the commands, see execute, and returns what they print. Raises
        RequestedAssertionFailed at the first that fails."""
        output = ""
        for command in commands:
            with self.nested(f"must succeed: {command}"):
                status, out = self.execute(command, timeout=timeout)
                if status != 0:
                    self.log(f"output: {out}")
                    raise RequestedAssertionFailed(
                        f"command `{command}` failed (exit code {status})"
                    )
                output += out
        return output

    def fail(self, *commands: str, timeout: Optional[Duration] = None) -> str:
        """Runs the commands, see execute, and returns what they print. Raises
        RequestedAssertionFailed at the first that succeeds."""
        output = ""
        for command in commands:
            with self.nested(f"must fail: {command}"):
                status, out = self.execute(command, timeout=timeout)
                if status == 0:
                    raise RequestedAssertionFailed(f"command `{command}` unexpectedly succeeded")
                output += out
        return output

    def wait_until_succeeds(self, command: str, timeout: Optional[Duration] = 900) -> str:
        """Runs command again and again until it succeeds, and returns what it
        printed then. Raises RequestedAssertionFailed after timeout."""
        with self.nested(f"waiting for success: {command}"):
            return self._wait("wait_until_succeeds", timeout, command=f"{command}")

    def wait_until_fails(self, command: str, timeout: Optional[Duration] = 900) -> str:
        """Like wait_until_succeeds, until command fails."""
        with self.nested(f"waiting for failure: {command}"):
            return self._wait("wait_until_fails", timeout, command=f"{command}")

    def wait_for_file(self, filename: str, timeout: Optional[Duration] = 900) -> None:
        """Waits until the file exists. The name may hold what a shell
        expands."""
        with self.nested(f"waiting for file '{filename}'"):
            path = f"{filename}"
            if _SHELL_CHARACTERS.isdisjoint(path):
                self._wait("wait_for_file", timeout, path=path)
            else:
                self._wait("wait_until_succeeds", timeout, command=f"test -e {path}")

    def wait_for_open_port(
        self, port: int, addr: str = "localhost", timeout: Optional[Duration] = 900
    ) -> None:
        """Waits until something in the machine listens on the TCP port."""
        with self.nested(f"waiting for TCP port {port} on {addr}"):
            self._wait("wait_for_open_port", timeout, port=int(port), addr=f"{addr}")

    def wait_for_closed_port(
        self, port: int, addr: str = "localhost", timeout: Optional[Duration] = 900
    ) -> None:
        """Waits until nothing in the machine listens on the TCP port."""
        with self.nested(f"waiting for TCP port {port} on {addr} to be closed"):
            self._wait("wait_for_closed_port", timeout, port=int(port), addr=f"{addr}")

    def wait_for_open_unix_socket(
        self, addr: str, is_datagram: bool = False, timeout: Optional[Duration] = 900
    ) -> None:
        """Waits until something in the machine listens on the unix socket."""
        kind = "datagram" if is_datagram else "stream"
        with self.nested(f"waiting for UNIX-domain {kind} on '{addr}'"):
            self._wait(
                "wait_for_open_unix_socket",
                timeout,
                addr=f"{addr}",
                is_datagram=bool(is_datagram),
            )

    def sleep(self, secs: Duration) -> None:
        """Sleeps in the machine, whose time need not be that of the host."""
        self.succeed(f"sleep {in_words(secs)}")

    def copy_from_machine(self, source: str, target_dir: str = "") -> None:
        """Copies a file or directory of the machine into `$out`, or into the
        directory target_dir of it."""
        self.run_callbacks()
        self._renew()
        self._call("copy_from_machine", source=f"{source}", target_dir=f"{target_dir}")

    def copy_from_vm(self, source: str, target_dir: str = "") -> None:
        """The old name of copy_from_machine."""
        self.copy_from_machine(source, target_dir)

    def copy_from_host(self, source: Union[str, os.PathLike[str]], target: str) -> None:
        """Copies a file or directory of the build environment to the path
        target in the machine, permissions included, owned by root."""
        self.run_callbacks()
        self._renew()
        path = os.path.abspath(source)  # the script may have changed directory
        self._call("copy_from_host", source=path, target=f"{target}")

    def copy_from_host_via_shell(
        self, source: Union[str, os.PathLike[str]], target: str
    ) -> None:
        """Copies the content of a file into the machine by commands alone."""
        from binascii import b2a_base64

        with open(source, "rb") as file:
            self.succeed(f"mkdir -p $(dirname {target})", f"true > {target}")
            while True:
                block = file.read(_BYTES_A_COMMAND)
                if not block:
                    return
                text = b2a_base64(block, newline=False).decode("ascii")
                self.succeed(f"echo -n {text} | base64 -d >> {target}")
