"""The prompt of an interactive test."""

from __future__ import annotations

import code
import os
import sys
from typing import Any

from . import report

_HISTORY = ".nixos-test-history"


class Console(code.InteractiveConsole):
    """Shows of a traceback what belongs to the user."""

    def showtraceback(self) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            report.show(error, "")


def run(symbols: dict[str, Any]) -> None:
    """Reads and runs lines until the end of input, or SystemExit as of exit()."""
    console = Console(symbols)
    history = _with_readline(symbols)
    try:
        console.interact(banner="start_all() starts the machines, test_script() runs the test.")
    finally:
        if history is not None:
            _save(history)


def _with_readline(symbols: dict[str, Any]) -> Any:
    try:
        import readline
        import rlcompleter
    except ImportError:
        return None
    readline.set_completer(rlcompleter.Completer(symbols).complete)
    readline.parse_and_bind("tab: complete")
    try:
        readline.read_history_file(os.path.abspath(_HISTORY))
    except OSError:
        pass  # the first time
    return readline


def _save(readline: Any) -> None:
    try:
        readline.write_history_file(os.path.abspath(_HISTORY))
    except OSError:
        pass  # a directory that can't be written to: there is no history
