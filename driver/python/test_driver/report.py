"""A failure in the words of the script: its frames, its lines, its errors.

Loaded when something failed, and not before.
"""

from __future__ import annotations

import os
import sys
from itertools import groupby

from .errors import TestScriptError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Optional

    Frame = tuple[str, int, str]  # file, line, function


SCRIPT = "<string>"  # the file name under which a script is compiled

_OWN = os.path.dirname(__file__) + os.sep
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_SHOWN_REPEATS = 3  # of a frame, before they are counted instead


def describe(error: BaseException, source: str) -> list[str]:
    """Returns the lines that tell of error, with what led to it, oldest
    first. source is the text of the script."""
    return list(_describe(error, source.split("\n"), set()))


def summary(error: BaseException) -> str:
    """Returns error in one line."""
    name = type(error).__name__
    try:
        lines = str(error).splitlines()
    except Exception:  # the script's class may do what it likes
        return name
    return f"{name}: {lines[0]}" if lines else name


def _describe(error: BaseException, source: list[str], seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before, how = error.__cause__, "The above exception was the direct cause of the following"
    if before is None and not error.__suppress_context__:
        before, how = error.__context__, "While that was handled, this went wrong"
    if before is not None and id(before) not in seen:
        yield from _describe(before, source, seen)
        yield from ("", f"{how}:", "")
    frames = list(_frames(error))
    if frames:
        yield "Traceback (most recent call last):"
        yield from _format(frames, source)
        yield ""
    yield from _message(error)
    for number, part in enumerate(getattr(error, "exceptions", ()), 1):
        if isinstance(part, BaseException) and id(part) not in seen:
            yield f"  {number}. of the exceptions in it:"
            yield from (f"  {line}".rstrip() for line in _describe(part, source, seen))


def _frames(error: BaseException) -> list[Frame]:
    """The frames to show: those of the script and of modules that its author
    brought. Where there are none the error may be one of our own, and all are
    shown, unless error is of those that say it all."""
    everything = list(_walk(error.__traceback__))
    wanted = [frame for frame in everything if not _is_foreign(frame[0])]
    if wanted or isinstance(error, TestScriptError) or _of_script_text(error):
        return wanted
    return everything


def _is_foreign(file: str) -> bool:
    if file.startswith((_OWN, "<frozen ")) or os.path.basename(file) == "nestbox_main.py":
        return True
    return file.startswith(_LIBRARY) and "-packages" + os.sep not in file


def _of_script_text(error: BaseException) -> bool:
    return isinstance(error, SyntaxError) and error.filename == SCRIPT


def _walk(traceback: Optional[TracebackType]) -> Iterator[Frame]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        yield code.co_filename, traceback.tb_lineno or 0, code.co_name
        traceback = traceback.tb_next


def _format(frames: list[Frame], source: list[str]) -> Iterator[str]:
    for (file, number, function), run in groupby(frames):
        count = len(list(run))
        for _ in range(min(count, _SHOWN_REPEATS)):
            yield f'  File "{file}", line {number}, in {function}'
            text = _line(file, number, source)
            if text:
                yield f"    {text}"
        if count > _SHOWN_REPEATS:
            yield f"  [and {count - _SHOWN_REPEATS} times more]"


def _line(file: str, number: int, source: list[str]) -> str:
    if file == SCRIPT:
        return source[number - 1].strip() if 0 < number <= len(source) else ""
    import linecache

    return linecache.getline(file, number).strip()


def _message(error: BaseException) -> list[str]:
    kind = type(error)
    if kind.__module__.startswith("test_driver"):
        lines = (f"{kind.__name__}: {error}").rstrip(" ").splitlines()
        notes = getattr(error, "__notes__", ())
        return lines + [line for note in notes for line in str(note).splitlines()]
    from traceback import TracebackException

    # With the traceback, for that is where the hints at misspelt names come
    # from, but without its frames.
    whole = TracebackException(kind, error, error.__traceback__, limit=0)
    return [line for part in whole.format_exception_only() for line in part.splitlines()]


def show(error: BaseException, source: str) -> None:
    """Prints what describe returns on stderr."""
    print("\n".join(describe(error, source)), file=sys.stderr)
