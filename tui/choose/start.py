"""The button that starts what is chosen."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Button

from ..render.theme import plain

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
