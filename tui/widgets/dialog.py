"""Dialogs over a screen: what all of them can, and a box of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from ..render.format import fit, wrap
from ..render.glyphs import plain
from ..render.keymap import KeyCommand
from ..render.spans import Line, line
from .panel import TextPanel


class Dialog(ModalScreen[None]):
    """Stands over the screen until it is closed.

    Of its keys only ctrl+c has priority: the app would run others before what waits in the queue
    of a list or a field, and keys that come in a burst would change their order.

    Args:
        ascii: draw in ASCII only.
    """

    def __init__(self, *, ascii: bool = False) -> None:
        super().__init__()
        self._ascii = ascii
        self.set_class(ascii, "-ascii")

    def _plain(self, text: str) -> str:
        """The text as it can be drawn."""
        return plain(text) if self._ascii else text

    def action_close(self) -> None:
        if self.is_current:  # the key may come twice in a burst
            self.dismiss(None)


class TextBox(Dialog):
    """Text that scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "close", show=False, priority=True),
        Binding("escape,q,question_mark,enter,T", "close", "Close", show=False),
    ]
    DEFAULT_CSS = """
    TextBox {
        align: center middle;
        & > VerticalScroll {
            width: 110; max-width: 96%; height: auto; max-height: 94%;
            background: $surface; border: round $primary; padding: 0 1 0 2;
            border-title-style: bold; border-title-color: $foreground;
            border-subtitle-color: $text-muted; scrollbar-size-vertical: 1;
        }
        &.-ascii > VerticalScroll { border: ascii $primary; }
    }
    """

    def __init__(
        self, title: str, make: Callable[[int], list[Line]], *, ascii: bool = False
    ) -> None:
        super().__init__(ascii=ascii)
        self._title, self._make = title, make

    def compose(self) -> ComposeResult:
        box = VerticalScroll(TextPanel(self._make, ascii=self._ascii))
        box.border_title = self._plain(self._title)
        box.border_subtitle = "esc closes"
        yield box


class CommandsBox(TextBox):
    """The keys of a screen."""

    def __init__(self, commands: Sequence[KeyCommand], *, ascii: bool = False) -> None:
        super().__init__("help", partial(commands_page, commands), ascii=ascii)


def commands_page(commands: Sequence[KeyCommand], width: int, key_width: int = 12) -> list[Line]:
    """All commands of a screen, group by group."""
    rows: list[Line] = []
    for group in dict.fromkeys(command.group for command in commands):
        rows.append(())
        rows += command_rows(group, [c for c in commands if c.group == group], width, key_width)
    return rows


def command_rows(
    group: str, commands: Iterable[KeyCommand], width: int, key_width: int
) -> list[Line]:
    """A group of commands on a page of help: its name, then keys and what they do."""
    rows: list[Line] = [line((group, "bold"))]
    for command in commands:
        also = "ctrl+c" in command.keys and command.shown != "ctrl+c"
        keys = command.shown + (", ctrl+c" if also else "")
        for i, text in enumerate(wrap(command.help, max(1, width - key_width))):
            rows.append(line((fit("" if i else keys, key_width), "key"), text))
    return rows
