"""A line that the script which is watched asks for, typed on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from ..render.format import clean
from ..widgets.dialog import Dialog

if TYPE_CHECKING:
    from ..terminal.script_process import ScriptProcess


class _Field(Input):
    """Its ctrl+d waits behind what was typed before; with priority it would overtake that."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+d", "end_of_input", show=False)]

    class Ended(Message):
        """The input shall end."""

    def action_end_of_input(self) -> None:
        self.post_message(self.Ended())


class ScriptInput(Dialog):
    """Enter sends the line, ctrl+d the end of the input."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "close", show=False, priority=True),
        Binding("escape", "close", show=False),
    ]
    DEFAULT_CSS = """
    ScriptInput {
        align: center bottom;
        & > Input { width: 1fr; margin: 0 2 2 2; border: round $primary; background: $surface; }
    }
    """

    def __init__(self, script: ScriptProcess) -> None:
        super().__init__()
        self._script = script

    def compose(self) -> ComposeResult:
        field = _Field(password=self._script.hides_input)
        # A plain string would be read as markup.
        field.border_title = Content(clean(self._script.output.last) or "to the script")
        field.border_subtitle = "enter sends · ctrl+d ends the input · esc closes"
        yield field

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._send(event.value + "\n")

    @on(_Field.Ended)
    def _end_input(self) -> None:
        self._send("\x04")

    def _send(self, text: str) -> None:
        self._script.write(text)  # whatever came behind it and has closed this already
        self.action_close()
