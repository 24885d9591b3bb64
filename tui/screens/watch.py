"""The watch screen: draws the newest picture of a run, and turns keys into commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from ...core.snapshot import Snapshot, State
from ...core.steps import Step
from .. import commands
from ..commands import Situation
from ..pace import FASTEST, Pace
from ..palette import RunCommands
from ..source import Source
from ..theme import ascii_only
from ..widgets.code import CodePanel
from ..widgets.command_bar import CommandBar
from ..widgets.curves import CurvesPanel
from ..widgets.device import DevicePanel
from ..widgets.header import Header
from ..widgets.messages import MessageLog, MessagesPanel
from ..widgets.numbers import NumbersPanel
from ..widgets.outcome import OutcomePanel
from ..widgets.panel import Panel
from ..widgets.progress import ProgressBars
from ..widgets.steps import StepsPanel
from . import layout
from .actions import Actions
from .diary import Diary

if TYPE_CHECKING:
    from ...core.device import DeviceReading

CHARTS = 0.5
"""Seconds between two drawings of the charts."""
DEVICE = 1.0
"""Seconds between two readings of the device."""
HURRY = 0.02
"""Seconds between two looks while a command's effect is awaited."""
STILL = 0.25
"""The same while nothing moves."""


class WatchScreen(Actions, Screen[None]):
    """Watch one run.

    Args:
        source: the run.
        device: takes a reading of the machine; None shows none.
        log: what the run said; the screen adds what was changed by hand.
        full_loop: the loop with accumulation and clipping is the one that runs.
        ascii: draw in ASCII only; None decides by the locale.
        clock: seconds, for tests.
        live: draw by itself; otherwise only when `tick` is called.
    """

    CSS = layout.CSS
    AUTO_FOCUS = None
    COMMANDS = Screen.COMMANDS | {RunCommands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, f"press('{key}')", show=False, priority=key == "ctrl+c")
        for key in commands.KEYS
    ]

    class Again(Message):
        """Run the same preset once more."""

    class Another(Message):
        """Choose another preset."""

    class Quit(Message):
        """Leave; the run has ended or has been asked to stop."""

    def __init__(
        self,
        source: Source,
        *,
        device: Callable[[], DeviceReading] | None = None,
        log: MessageLog | None = None,
        full_loop: bool = False,
        ascii: bool | None = None,
        clock: Callable[[], float] = time.perf_counter,
        live: bool = True,
    ) -> None:
        super().__init__()
        self.source, self.read_device = source, device
        self.messages = log or MessageLog()
        self.ascii = ascii_only() if ascii is None else ascii
        self.snapshot: Snapshot | None = None
        self.hurry_until = 0.0
        self._full, self._clock, self._live = full_loop, clock, live
        self._pace = Pace()
        self._diary = Diary(source.info, self.messages)
        self._charted: Snapshot | None = None
        self._charts_due = self._device_due = float("-inf")
        self._marked: tuple[Step | None, ...] = ()
        self._timer: Any = None

    def compose(self) -> ComposeResult:
        info, ascii = self.source.info, self.ascii
        self.header = Header(info, id="header", ascii=ascii)
        self.progress = ProgressBars(info, id="progress", ascii=ascii)
        self.ending = OutcomePanel(info, id="outcome", ascii=ascii)
        self.steps = StepsPanel(info, id="steps", ascii=ascii)
        self.numbers = NumbersPanel(info, id="numbers", ascii=ascii)
        self.device = DevicePanel(info, id="device", ascii=ascii)
        self.curves = CurvesPanel(info, id="curves", ascii=ascii)
        self.said = MessagesPanel(self.messages, id="messages", ascii=ascii)
        self.code = CodePanel(full=self._full, id="code", ascii=ascii)
        self.bar = CommandBar(id="bar", ascii=ascii)
        yield self.header
        yield self.progress
        yield self.ending
        with Container(id="body"):
            with Vertical(id="left"):
                yield self.steps
                yield self.numbers
                yield self.device
            with Vertical(id="right"):
                yield self.curves
                yield self.said
                yield Input(
                    placeholder="show messages that contain ...", id="search", disabled=True
                )
            yield self.code
        yield self.bar

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Those that show a Snapshot."""
        return (self.header, self.progress, self.ending, self.steps, self.numbers, self.device)

    @property
    def situation(self) -> Situation:
        """What decides which commands apply."""
        outcome = self.source.outcome
        state = (
            outcome.state if outcome else self.snapshot.state if self.snapshot else State.LOADING
        )
        return Situation(
            state,
            validation=self.source.info.validates,
            traceback=bool(outcome and outcome.traceback),
            selected=self.steps.selected is not None,
            searching=bool(self.said.search)
            or self.has_class("-messages")
            or isinstance(self.focused, Input),
            narrow=self.has_class("-narrow"),
        )

    def on_mount(self) -> None:
        """Draw at once, then by the clock."""
        self._fit()
        if self._live:
            self._tick_and_wait()

    def on_unmount(self) -> None:
        """Draw no more."""
        self._live = False
        if self._timer is not None:
            self._timer.stop()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for the new size."""
        self._fit()

    def _fit(self) -> None:
        for name, on in layout.classes(self.app.size).items():
            self.set_class(on, name)
        self.steps.shows_why = not self.has_class("-wide")
        self._marked = ()
        self.call_after_refresh(self.tick)

    def _tick_and_wait(self) -> None:
        self.tick()
        now = self._clock()
        state = self.situation.state
        least = FASTEST if state in (State.RUNNING, State.VALIDATING, State.LOADING) else STILL
        wait = self._pace.interval(least)
        if now < self.hurry_until:
            wait = HURRY
        if self._live:
            self._timer = self.set_timer(wait, self._tick_and_wait)

    def look_soon(self) -> None:
        """A command was sent: look for its effect at once, and for a moment more often."""
        self.hurry_until = self._clock() + 0.3
        if self._live:
            if self._timer is not None:
                self._timer.stop()
            self._timer = self.set_timer(HURRY, self._tick_and_wait)

    def tick(self) -> None:
        """Look at the run once, and draw what has changed."""
        if not self.is_mounted:
            return
        now = self._clock()
        source, outcome = self.source, self.source.outcome
        old = self.snapshot
        self.snapshot = s = source.latest(curves=now >= self._charts_due)
        fresh = s is not old and s is not None
        turned = fresh and (old is None or old.state is not s.state)
        ended = outcome is not None
        moving = s is not None and s.state in (State.RUNNING, State.VALIDATING) and not ended
        if fresh:
            for panel in self.panels:
                panel.snapshot = s  # type: ignore[attr-defined]
            self._diary.write(s)
        if ended and self.header.outcome is not outcome:
            self.header.outcome = self.ending.outcome = outcome
            self._diary.end(outcome)
            self.ending.display = True
            self.ending.refresh(layout=True)
            self.add_class("-ended")
            fresh = turned = True
        self._move_marker(self._stands_at(s, moving), now, fresh)
        if fresh:
            for panel in (self.header, self.progress, self.ending, self.numbers):
                panel.redraw()
        if s is not None and s is not self._charted and (turned or now >= self._charts_due):
            self._charted = s  # the last picture before a rest is drawn too, if later
            self.curves.take(s)
            self.curves.redraw()
            self.numbers.curves = self.curves.curves
            # A turn brings a picture without curves at first: then the next one shall have them.
            self._charts_due = now + (CHARTS if s.curves else 0.0)
        self._look_at_device(now, moving, turned)
        self.said.refresh_if_new()
        self._update_bar()

    def _move_marker(self, step: Step | None, now: float, fresh: bool) -> None:
        self.steps.follow(step, now)
        marked = (self.steps.now, self.steps.explained, self.steps.selected)
        if not fresh and marked == self._marked:
            return
        self._marked = marked
        self.steps.redraw()
        if self.code.display:
            self.code.now, self.code.explained = self.steps.now, self.steps.explained
            self.code.redraw()

    def _stands_at(self, s: Snapshot | None, moving: bool) -> Step | None:
        """What the marker stands at: what runs now, or what comes next in a pause."""
        if moving:
            running = self.source.now()
            return running[0] if running else None
        return s.step if s is not None and s.state is State.PAUSED else None

    def _look_at_device(self, now: float, moving: bool, turned: bool) -> None:
        """Read the device while the run moves, and once more a moment after it came to rest."""
        if self.read_device is None:
            return
        if turned and not moving:
            self._device_due = now + DEVICE
        if now >= self._device_due or self.device.reading is None:
            self.device.take(self.read_device())
            self._device_due = now + DEVICE if moving else float("inf")
            self.device.redraw()
        elif moving and self._device_due == float("inf"):
            self._device_due = now + DEVICE

    def _update_bar(self) -> None:
        situation = self.situation
        if self.bar.situation != situation:
            self.bar.situation = situation
            self.bar.redraw()
