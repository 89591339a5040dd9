"""Runs a test script, or a prompt, for the driver that started this process.

NESTBOX_SOCKET names the driver's socket. The exit status is 0 if the script
passed and 1 if it did not.
"""

from __future__ import annotations

import io
import os
import sys
from time import monotonic

from test_driver.driver import Driver
from test_driver.errors import MachineError
from test_driver.rpc import Rpc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional


def main() -> int:
    """Returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # What a script prints belongs between the log lines, and no byte that
        # a machine sent may break the test when it is printed.
        if stream is not None:  # as it is where the descriptor is closed
            stream.reconfigure(  # type: ignore[union-attr]
                encoding="utf-8",
                errors="backslashreplace",
                line_buffering=True,
                write_through=False,  # python -u would cut lines in two
            )
    path = os.environ.get("NESTBOX_SOCKET")
    if not path:
        print("NESTBOX_SOCKET is not set: this is started by nestbox test", file=sys.stderr)
        return 1
    rpc = Rpc(path)
    _keep_order(rpc)
    try:
        driver = Driver(rpc)
    except MachineError as e:
        print(e, file=sys.stderr)
        return 1
    driver.watch_threads()
    passed, error = _run(driver)
    try:
        status = "passed" if passed else "failed"
        rpc.call("finished", {"status": status, "error": error})
    except (MachineError, KeyboardInterrupt):
        pass  # the driver has ended before us, and knows why
    return 0 if passed else 1


def _keep_order(rpc: Rpc) -> None:
    """What a script prints comes after what it logged before, though the one
    is written here and the other by the driver."""
    if sys.stdout is None:
        return

    class Output(io.TextIOWrapper):
        def write(self, text: str) -> int:
            rpc.settle()
            return super().write(text)

    encoding, errors = sys.stdout.encoding, sys.stdout.errors
    sys.stdout = Output(sys.stdout.detach(), encoding, errors, line_buffering=True)  # type: ignore[union-attr]


def _run(driver: Driver) -> tuple[bool, Optional[str]]:
    """Returns whether the test passed, and if not, why in one line."""
    start = monotonic()
    try:
        if driver.interactive:
            from test_driver import interactive

            interactive.run(driver.test_symbols())
            return True, None
        driver.run_tests()
    except SystemExit as e:
        return _left(driver, e.code)
    except KeyboardInterrupt:
        return False, "interrupted"
    except BaseException as e:  # of this program: the script's are dealt with
        from test_driver import report

        report.show(e, "")
        return False, report.summary(e)
    driver.logger.info(f"test script finished in {monotonic() - start:.2f}s")
    return True, None


def _left(driver: Driver, code: Any) -> tuple[bool, Optional[str]]:
    """The script, or what found it failing, has left by SystemExit."""
    if driver.failure is not None:
        return False, driver.failure
    if code is None or code == 0:
        return True, None
    error = f"test script exited with status {code}" if isinstance(code, int) else str(code)
    driver.logger.log_test_error(error)
    return False, error


def _leave(status: int) -> None:
    """Ends the process now. The machines are gone, so that threads of the
    script that still run have nothing to do, but Python would wait for them."""
    import atexit

    try:
        atexit._run_exitfuncs()
    except BaseException as e:
        print(f"at exit: {type(e).__name__}: {e}", file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            pass  # nobody listens any more
    os._exit(status)


if __name__ == "__main__":
    try:
        exit_status = main()
    except KeyboardInterrupt:
        exit_status = 1
    _leave(exit_status)
