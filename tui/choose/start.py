"""The button that starts the run, and the command line that would do the same."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Button, Static

from ..render.format import clean
from ..render.glyphs import plain

START = "▶ Start"


class StartButton(Button, inherit_css=False):
    """Textual's button in its primary colours; its own styles are of every colour and kind there
    is, and a first picture would have to wait for them.
    """

    DEFAULT_CSS = """
    StartButton {
        width: auto; min-width: 16; height: auto; line-pad: 1; pointer: pointer;
        text-align: center; content-align: center middle; text-style: bold;
        color: $button-color-foreground; background: $primary; border: none;
        border-top: tall $primary-lighten-3; border-bottom: tall $primary-darken-3;
        &:disabled { text-opacity: 0.6; pointer: not-allowed; }
        &:focus { text-style: $button-focus-text-style; background-tint: $foreground 5%; }
        &:hover { background: $primary-darken-2; border-top: tall $primary; }
        &.-active {
            border-bottom: tall $primary-lighten-3; border-top: tall $primary-darken-3;
            tint: $background 30%;
        }
    }
    """

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(Content(plain(START) if ascii else START), id=id)


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
