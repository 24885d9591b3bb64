"""A box in the middle that can be closed: the base of help and traceback."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from ..render.glyphs import plain
from ..render.spans import Line
from .panel import TextPanel


class TextBox(ModalScreen[None]):
    """Text that scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "escape,q,question_mark,enter,T,ctrl+c", "close", "Close", show=False, priority=True
        )
    ]
    DEFAULT_CSS = """
    TextBox {
        align: center middle;
        & > VerticalScroll {
            width: 110; max-width: 96%; height: auto; max-height: 94%;
            background: $surface; border: round $primary; padding: 0 2;
            border-title-style: bold; border-title-color: $foreground;
            border-subtitle-color: $text-muted; scrollbar-size-vertical: 1;
        }
        &.-ascii > VerticalScroll { border: ascii $primary; }
    }
    """

    def __init__(
        self, title: str, make: Callable[[int], list[Line]], *, ascii: bool = False
    ) -> None:
        super().__init__()
        self._title, self._make, self._ascii = title, make, ascii
        self.set_class(ascii, "-ascii")

    def compose(self) -> ComposeResult:
        box = VerticalScroll(TextPanel(self._make, ascii=self._ascii))
        box.border_title = plain(self._title) if self._ascii else self._title
        box.border_subtitle = "esc closes"
        yield box

    def action_close(self) -> None:
        """Back to the screen below."""
        self.dismiss(None)
