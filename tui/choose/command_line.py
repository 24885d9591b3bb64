"""The command line that would run the same, to be copied; or why there is none."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from ..render.format import clean
from ..render.theme import plain


class CommandLine(Static):
    """Text that can be selected with the mouse; it wraps, and nothing in it is markup."""

    DEFAULT_CSS = """
    CommandLine {
        border: round $border; padding: 0 1; height: auto; min-height: 4; width: 1fr;
        border-title-color: $text-muted; border-title-style: bold;
        border-subtitle-color: $text-muted;
        &.-wrong { color: $error; border: round $error; }
        &.-ascii { border: ascii $border; }
    }
    """

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, markup=False)
        self._ascii = ascii
        self.set_class(ascii, "-ascii", update=False)
        self.command = ""
        """What is shown; empty where something is wrong."""

    def show(self, command: str, problem: str) -> None:
        """The command, or what the command would say."""
        self.command = "" if problem else command
        self.set_class(bool(problem), "-wrong")
        self.border_title = "this can't start yet" if problem else "the same as a command"
        self.border_subtitle = "" if problem else "c copies"
        text = f"✗ {clean(problem)}" if problem else clean(command)
        self.update(Content(plain(text) if self._ascii else text))

    def copy(self) -> None:
        """Put the command into the terminal's clipboard, and say so until something changes."""
        if self.command:
            self.app.copy_to_clipboard(self.command)
            self.border_subtitle = "copied"
