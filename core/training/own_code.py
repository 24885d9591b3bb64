"""Which lines of an error are a person's own: not Python's, not a library's, not fivestep's."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_TYPED: Final = ("<stdin>", "<ipython")
"""Names of code that somebody typed in. "<string>" is most often a data class's own."""
_FRAME: Final = re.compile(r'^ *File "(.+)", line (\d+)(?:, in (.+))?$', re.MULTILINE)


@cache
def is_own(file: str) -> bool:
    """Whether code of this file is a person's own."""
    if file.startswith("<"):
        return file.startswith(_TYPED)
    path, ours = Path(file).resolve(), Path(__file__).resolve().parents[2]
    python = Path(sysconfig.get_paths()["stdlib"]).resolve()
    elsewhere = (python, *(ours / floor for floor in ("core", "presets", "tui")))
    return not INSTALLED & set(path.parts) and not any(map(path.is_relative_to, elsewhere))


def own_line(error: BaseException) -> str:
    """The innermost line of a person's own code that an error came through, or its causes, in a
    data worker, too: "data.py:34 in __getitem__"; "" if there is none.
    """
    one: BaseException | None = error
    while one is not None:
        own = [frame for frame in _frames(one) if is_own(frame[0])]
        if own:
            return line_in_words(*own[-1])
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return ""


def line_in_words(file: str, line: int, function: str) -> str:
    """A line as an error names it, its file from the working folder on where it lies in there."""
    path = Path(file)
    with suppress(ValueError, OSError):  # not in there, or that was deleted
        path = path.relative_to(Path.cwd())
    return f"{path}:{line}" + ("" if function == "<module>" else f" in {function}")


def _frames(error: BaseException) -> Iterator[tuple[str, int, str]]:
    """File, line and function of each frame of an error, the innermost last."""
    for frame in traceback.extract_tb(error.__traceback__):
        yield frame.filename, frame.lineno or 0, frame.name
    if isinstance(error, SyntaxError) and error.filename:
        yield error.filename, error.lineno or 0, "<module>"
    if in_worker(error):
        for file, line, function in _FRAME.findall(str(error)):
            yield file, int(line), function or "<module>"


def in_worker(error: BaseException) -> bool:
    """Whether an error was caught in another process or thread of torch, and its traceback is part
    of its text.
    """
    return re.match(r"Caught \w+ in .+\.\nOriginal Traceback", str(error)) is not None


ESCAPES: Final = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"  # OSC: titles, clipboard, links
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c]*(?:\x1b\\|\x9c|$)"  # DCS, SOS, PM, APC
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor, modes
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
"""Escape sequences that a terminal obeys."""


def first_line(error: BaseException) -> str:
    """An error's type and the first line of what it says, also where a worker caught it; without
    escape sequences.
    """
    told = error.msg if isinstance(error, SyntaxError) else str(error)
    told = ESCAPES.sub("", told).strip()
    if not in_worker(error):
        return f"{type(error).__name__}: {told.split(chr(10), 1)[0].rstrip('.')}".rstrip(": ")
    *_, last = _FRAME.finditer(told)
    behind = told[last.end() :].split("\n")
    words = next((row for row in behind if row and not row.startswith(" ")), behind[-1])
    name, colon, text = words.partition(":")
    return f"{name.rpartition('.')[2]}{colon}{text}".rstrip(".")


def own_row(trace: str, line: str) -> int | None:
    """The row of a traceback's text that `own_line` has named; None if none is."""
    found = None
    for row, text in enumerate(trace.split("\n")):
        if match := _FRAME.match(text):
            file, number, function = match.groups("<module>")
            if is_own(file) and line_in_words(file, int(number), function) == line:
                found = row
    return found
