"""What is seen while torch and the data are being loaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from ..render.format import clean
from ..render.keymap import keyed
from ..widgets.messages import MessageLog

PAUSED: Final = "it will start paused; then {step} takes the first step, {resume} goes on"


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

    def __init__(
        self, name: str, doing: Callable[[], str], log: MessageLog, *, paused: bool = False
    ) -> None:
        """Args: what is loaded, what is being done for it now, the log that takes prints, and
        whether the run starts paused.
        """
        super().__init__()
        self._name_of_run, self._doing, self._log = clean(name), doing, log
        self._begun, self._heard = time.monotonic(), log.added
        self._answer = ""
        self._keys = keyed(PAUSED) if paused else "space starts it paused, q leaves"

    def compose(self) -> ComposeResult:
        yield Static(self._words(), id="what")

    def on_mount(self) -> None:
        """Keep moving: what is done, and for how long."""
        self.set_interval(0.1, self._tell)

    def on_key(self, event: events.Key) -> None:
        """Answer a key that does nothing here."""
        if event.is_printable:
            self._answer = "that key works as soon as it is loaded\n"
            self._tell()

    def say_paused(self) -> None:
        self._keys = keyed(PAUSED)
        self._tell()

    def _tell(self) -> None:
        self.query_one("#what", Static).update(self._words())

    def _words(self) -> Content:
        said = self._log.entries()[-1].text.split("\n")[-1] if self._log.added > self._heard else ""
        took = f"{time.monotonic() - self._begun:.1f} s"
        return Content.assemble(
            ("fivestep", "bold $primary"),
            "\n\n",
            (self._name_of_run, "bold $foreground"),
            f"\n{clean(self._doing())} ... {took}\n{said[:200]}\n\n{self._answer}{self._keys}",
        )
