"""A line that the script which is watched asks for, typed on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from ..render.format import clean

if TYPE_CHECKING:
    from ..terminal.script_process import ScriptProcess


class ScriptInput(ModalScreen[None]):
    """Enter sends the line, ctrl+d the end of the input."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "dismiss", show=False, priority=True),
        Binding("ctrl+d", "end_of_input", show=False, priority=True),
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
        field = Input(password=self._script.hides_input)
        # A plain string would be read as markup.
        field.border_title = Content(clean(self._script.output.last) or "to the script")
        field.border_subtitle = "enter sends · ctrl+d ends the input · esc closes"
        yield field

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._script.write(event.value + "\n")
        self.dismiss()

    def action_end_of_input(self) -> None:
        self._script.write("\x04")
        self.dismiss()
