"""What each command of the table does on the watch screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.widgets import Input

from ...core.protocol.commands import (
    SPEEDS,
    Advance,
    GoBack,
    KeepGoing,
    Pause,
    Resume,
    Save,
    ScaleLR,
    SetSpeed,
    Stop,
    Validate,
)
from ...core.protocol.steps import INSIDE_BATCH, State
from ..render.keymap import BY_ID, for_key
from ..render.theme import DARK, LIGHT
from ..widgets.footer import CommandBar
from ..widgets.steps import StepsPanel
from .dialogs import AskStop, FailureScreen, HelpScreen

if TYPE_CHECKING:
    from textual.screen import Screen

    Base = Screen[None]
else:
    Base = object


class Actions(Base):
    """Mixed into `WatchScreen`: keys, palette, footer and mouse all end in `perform`."""

    if TYPE_CHECKING:
        source: Any
        snapshot: Any
        situation: Any
        steps: Any
        curves: Any
        said: Any
        messages: Any
        ascii: bool
        Again: Any
        Another: Any
        Quit: Any

        def look_soon(self) -> None: ...
        def tick(self) -> None: ...

    _factor: float | None = None
    """The learning rate's factor as last asked for, so that quick presses add up."""
    _speed: float | str | None = "unset"

    def action_press(self, key: str) -> None:
        """A key was pressed; what it does depends on the situation."""
        command = for_key(key, self.situation)
        if command is not None:
            self.perform(command.id)

    def on_command_bar_chosen(self, event: CommandBar.Chosen) -> None:
        """A command in the footer was clicked."""
        self.perform(event.command)

    def perform(self, command: str) -> None:
        """Run a command of the table, if it applies now."""
        if BY_ID[command].when(self.situation):
            getattr(self, f"do_{command}")()
            self.tick()

    def _send(self, command: Any) -> None:
        self.source.send(command)
        self.look_soon()

    def do_pause(self) -> None:
        self._send(Pause())

    def do_resume(self) -> None:
        self._send(Resume())

    def do_step(self) -> None:
        self._send(Advance("phase"))

    def do_batch(self) -> None:
        self._send(Advance("batch"))

    def do_epoch(self) -> None:
        self._send(Advance("epoch"))

    def do_validate(self) -> None:
        self._send(Validate())

    def do_save(self) -> None:
        if self.snapshot.state is State.PAUSED and self.snapshot.step in INSIDE_BATCH:
            self.messages.add("a checkpoint is saved at the end of this batch")
        self._send(Save())

    def do_go_back(self) -> None:
        self._factor = None  # it will be another one
        self._send(GoBack())

    def do_give_up(self) -> None:
        self._send(Stop())

    def do_slower(self) -> None:
        self._change_speed(-1)

    def do_faster(self) -> None:
        self._change_speed(1)

    def _change_speed(self, offset: int) -> None:
        speed: Any = self._speed
        if speed == "unset":
            speed = self.snapshot.speed if self.snapshot else None
        at = SPEEDS.index(speed) if speed in SPEEDS else len(SPEEDS) - 1
        self._speed = SPEEDS[min(len(SPEEDS) - 1, max(0, at + offset))]
        if self._speed != speed:
            self._send(SetSpeed(self._speed))

    def do_lr_up(self) -> None:
        self._scale_lr(2.0)

    def do_lr_down(self) -> None:
        self._scale_lr(0.5)

    def _scale_lr(self, by: float) -> None:
        now = self._factor
        if now is None:
            now = self.snapshot.lr_factor if self.snapshot else 1.0
        self._factor = min(2.0**40, max(2.0**-40, now * by))
        self._send(ScaleLR(self._factor))

    def do_stop(self) -> None:
        stopping = self.snapshot.stopping if self.snapshot else None
        self.app.push_screen(AskStop(stopping=stopping, ascii=self.ascii), self._answered)

    def _answered(self, answer: str | None) -> None:
        if answer in ("batch", "leave"):
            self._send(Stop("stopped by hand", after="batch"))
        elif answer == "epoch":
            self._send(Stop("stopped by hand", after="epoch"))
        elif self.snapshot is not None and self.snapshot.stopping:
            self._send(KeepGoing())
        if answer == "leave":
            self.post_message(self.Quit())

    def do_quit(self) -> None:
        self.post_message(self.Quit())

    def do_leave_at_once(self) -> None:
        self.app.action_leave_at_once()  # type: ignore[attr-defined]

    def do_again(self) -> None:
        self.post_message(self.Again())

    def do_another(self) -> None:
        self.post_message(self.Another())

    def do_traceback(self) -> None:
        outcome = self.source.outcome or self.snapshot.trouble
        self.app.push_screen(FailureScreen(outcome, ascii=self.ascii))

    def do_help(self) -> None:
        self.app.push_screen(HelpScreen(ascii=self.ascii))

    def do_theme(self) -> None:
        self.app.theme = LIGHT.name if self.app.current_theme.dark else DARK.name

    def do_next_step(self) -> None:
        self.steps.select(1)

    def do_previous_step(self) -> None:
        self.steps.select(-1)

    def on_steps_panel_picked(self, event: StepsPanel.Picked) -> None:
        """A row was clicked; clicking it again lets it go."""
        again = self.steps.selected is event.step
        self.steps.selected = None if again else event.step
        self.tick()

    def do_follow(self) -> None:
        self.steps.selected = None
        self.remove_class("-messages")
        self.query_one("#search", Input).value = self.said.search = ""
        self._close_search()

    def do_window(self) -> None:
        self.curves.recent = not self.curves.recent
        self.curves.redraw()

    def do_log(self) -> None:
        self.curves.logarithmic = not self.curves.logarithmic
        self.curves.redraw()

    def do_smooth(self) -> None:
        self.curves.smooth = (self.curves.smooth + 1) % 3
        self.curves.redraw()

    def do_metric(self) -> None:
        self.curves.next_metric()
        self.curves.redraw()

    def do_messages(self) -> None:
        self.toggle_class("-messages")

    def do_warning(self) -> None:
        self.add_class("-messages")

    def do_back(self) -> None:
        self.said.look_back(max(1, self.said.content_size.height - 1))

    def do_ahead(self) -> None:
        self.said.look_back(-max(1, self.said.content_size.height - 1))

    def do_search(self) -> None:
        if self.has_class("-narrow"):
            self.add_class("-messages")
        box = self.query_one("#search", Input)
        box.disabled = False
        box.add_class("-open")
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while typing."""
        self.said.search = event.value
        self.said.refresh_if_new()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep what was found, and give the keys back."""
        self._close_search()

    def _close_search(self) -> None:
        box = self.query_one("#search", Input)
        box.remove_class("-open")
        box.disabled = True
        self.set_focus(None)
