"""The question that q and Ctrl+C ask."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

Answer = Literal["batch", "epoch", "leave", "go"]

ANSWERS: tuple[tuple[Answer, str, str], ...] = (
    ("batch", "b", "stop after this batch"),
    ("epoch", "e", "stop after this epoch"),
    ("leave", "l", "stop after this batch and leave fivestep"),
    ("go", "g", "go on training"),
)


class AskStop(ModalScreen[Answer]):
    """How to stop. A second Ctrl+C takes the first answer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "answer('batch')", show=False, priority=True),
        Binding("b", "answer('batch')", show=False),
        Binding("e", "answer('epoch')", show=False),
        Binding("l", "answer('leave')", show=False),
        Binding("g,q,escape", "answer('go')", show=False),
    ]
    DEFAULT_CSS = """
    AskStop {
        align: center middle;
        & > OptionList {
            width: 52; max-width: 96%; height: auto; max-height: 90%;
            background: $surface; border: round $primary; padding: 1 2;
            border-title-style: bold; border-title-color: $foreground;
            border-subtitle-color: $text-muted;
        }
        & > OptionList:focus { border: round $primary; }
        &.-ascii > OptionList, &.-ascii > OptionList:focus { border: ascii $primary; }
    }
    """

    def __init__(self, *, stopping: str | None = None, ascii: bool = False) -> None:
        super().__init__()
        self._stopping = stopping
        self.set_class(ascii, "-ascii")

    def compose(self) -> ComposeResult:
        box = OptionList(
            *(
                Option(Content.assemble((f" {key}  ", "bold"), text), id=answer)
                for answer, key, text in ANSWERS
            )
        )
        box.border_title = (
            f"stopping after this {self._stopping}" if self._stopping else "stop this run?"
        )
        box.border_subtitle = "ctrl+c again: after this batch"
        yield box

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        self.action_answer(event.option_id or "go")

    def action_answer(self, answer: str) -> None:
        """Close with an answer."""
        self.dismiss(next((a for a, _, _ in ANSWERS if a == answer), "go"))
