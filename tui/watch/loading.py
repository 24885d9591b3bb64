"""What is seen while torch and the data are being loaded."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from ..render.format import clean


class LoadingScreen(Screen[None]):
    """Says what is being waited for; the screen that follows replaces it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "app.pause_at_start", show=False),
        Binding("q,ctrl+c", "app.leave", show=False, priority=True),
    ]
    DEFAULT_CSS = """
    LoadingScreen {
        align: center middle;
        & > Static { width: auto; max-width: 96%; text-align: center; color: $text-muted; }
    }
    """

    def __init__(self, name: str, resumed: str = "") -> None:
        """A new run of `name`, or the earlier one that is called `resumed`."""
        super().__init__()
        self._doing = "going on with " if resumed else "building "
        self._name_of_run = clean(resumed or name)

    def compose(self) -> ComposeResult:
        yield Static(self._words("space starts it paused, q leaves"), id="what")

    def say_paused(self) -> None:
        text = "it will start paused: s takes the first step, space goes on"
        self.query_one("#what", Static).update(self._words(text))

    def _words(self, keys: str) -> Content:
        return Content.assemble(
            ("fivestep", "bold $primary"),
            f"\n\nloading torch and {self._doing}",
            (self._name_of_run, "bold $foreground"),
            f" ...\n\n{keys}",
        )
