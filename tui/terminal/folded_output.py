"""A program's output as a terminal shows it, line by line: progress bars in their last state."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

LONGEST: Final = 4000
"""Characters of one line; what a program prints without ever ending its line is cut here."""
REACH: Final = 20
"""Lines that a program may go up again to draw them anew, as several progress bars do."""
AT_ONCE: Final = 500
"""Lines of what comes at once that are shown; the oldest of more are left out."""
_PARTS: Final = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f\x9b]+)"
    r"|(?P<up>\x1b\[(?P<rows>\d*)A)|(?P<erase>\x1b\[[012]?K)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]"
    r"|(?P<control>.)",
    re.DOTALL,
)
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)?\Z")


class _Row:
    """A line that may still change."""

    def __init__(self) -> None:
        self.text, self.shown = "", ""
        self.entry: object = None
        """As `say` gave it; None before it was said."""


class FoldedOutput:
    """Takes a stream of text in, and says its lines; a line that changes is said anew.

    Args:
        say: shows a line, in the place of an earlier one or of None; gives what stands for it.
    """

    def __init__(self, say: Callable[[str, object], object]) -> None:
        self._say = say
        self._rows = [_Row()]
        """The last ones; the program may be in any of them."""
        self._at = self._column = 0
        self._rest = ""
        """An escape sequence that has not come whole."""

    @property
    def last(self) -> str:
        """The line that the program is in, such as a question without an end of line."""
        return self._rows[self._at].text

    def feed(self, text: str) -> None:
        text = self._rest + text
        unfinished = _UNFINISHED.search(text)
        self._rest = text[unfinished.start() :][:LONGEST] if unfinished else ""
        text = text[: len(text) - len(self._rest)] if unfinished else text
        lines = text.count("\n")
        if lines > AT_ONCE:
            text = f"... {lines - AT_ONCE:,} lines left out ...\n" + "\n".join(
                text.rsplit("\n", AT_ONCE)[1:]
            )
        for part in _PARTS.finditer(text):
            if part["text"]:
                self._put(part["text"])
            elif part["up"]:
                self._at = max(0, self._at - int((part["rows"] or "1")[:4]))
            elif part["erase"]:
                row = self._rows[self._at]
                row.text = row.text[: self._column] if part["erase"][2] in "0K" else ""
            elif part["control"]:
                self._obey(part["control"])
        for row in self._rows:
            self._show(row)

    def _put(self, text: str) -> None:
        """Write over what is there."""
        row, end = self._rows[self._at], self._column + len(text)
        if self._column < LONGEST:
            row.text = (row.text[: self._column].ljust(self._column) + text + row.text[end:])[
                :LONGEST
            ]
        self._column = end

    def _obey(self, control: str) -> None:
        if control == "\r":
            self._column = 0
        elif control == "\b":
            self._column = max(0, self._column - 1)
        elif control == "\t":
            self._put(" " * (8 - self._column % 8))
        elif control == "\n":
            self._column, self._at = 0, self._at + 1
            if self._at == len(self._rows):
                self._rows.append(_Row())
            if len(self._rows) > REACH:
                self._show(self._rows.pop(0))
                self._at -= 1

    def _show(self, row: _Row) -> None:
        text = row.text.rstrip()
        if text != row.shown:
            row.entry, row.shown = self._say(text, row.entry), text


def last_lines(output: bytes, most: int) -> str:
    """The last lines of an output as a terminal would show them."""
    lines: list[str] = []

    def say(text: str, before: object) -> object:
        if isinstance(before, int):
            lines[before] = text
            return before
        lines.append(text)
        return len(lines) - 1

    FoldedOutput(say).feed(output.decode("utf-8", "replace"))
    return "\n".join(lines[-most:])
