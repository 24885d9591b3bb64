"""The watch screen: draws the newest picture of a run, and turns keys into commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from ...core.protocol.snapshot import Snapshot
from ...core.protocol.steps import State, Step
from ..render.format import ago
from ..render.keymap import KEYS, Situation
from ..render.theme import ascii_only
from ..setup.launch import RunLocation, Source
from ..widgets.messages import MessageLog
from . import layout
from .event_log import EventLog
from .inside_actions import InsideActions
from .pace import FASTEST, Pace
from .palette import RunCommands
from .parts import Parts

if TYPE_CHECKING:
    from ...core.training.device import DeviceReading

HURRY = 0.02
"""Seconds between two looks while a command's effect is awaited."""
STILL = 0.25
"""The same while nothing moves."""


class WatchScreen(InsideActions, Parts, Screen[None]):
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
        Binding(key, f"press('{key}')", show=False, priority=key == "ctrl+c") for key in KEYS
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
        kept: RunLocation | None = None,
        ascii: bool | None = None,
        clock: Callable[[], float] = time.perf_counter,
        live: bool = True,
    ) -> None:
        super().__init__()
        self.source, self._read_device = source, device
        self.messages, self._kept = log or MessageLog(), kept or RunLocation()
        self.ascii = ascii_only() if ascii is None else ascii
        self.snapshot: Snapshot | None = None
        self.hurry_until = 0.0
        self._full, self._clock, self._live = full_loop, clock, live
        self._pace = Pace()
        self._event_log = EventLog(source.info, self.messages, self._kept)
        self._charted: Snapshot | None = None
        self._charts_due = float("-inf")
        self._marked: tuple[Step | None, ...] = ()
        self._warnings_seen = self.messages.warnings
        self._timer: Timer | None = None

    @property
    def situation(self) -> Situation:
        """What decides which commands apply."""
        outcome = self.source.outcome
        state = (
            outcome.state if outcome else self.snapshot.state if self.snapshot else State.LOADING
        )
        trouble = self.snapshot.trouble if self.snapshot and not outcome else None
        return Situation(
            state,
            validation=self.source.info.validates,
            traceback=any(one.traceback for one in (outcome, trouble) if one is not None),
            selected=self.steps.selected is not None,
            searching=bool(self.said.search)
            or self.has_class("-messages")
            or self.covers
            or isinstance(self.focused, Input),
            narrow=self.has_class("-narrow"),
            warned=self.messages.warnings > self._warnings_seen,
            kept=bool(self._kept.place),
            trouble=trouble is not None,
            leaving=getattr(self.app, "leaving", False),
            inside=self.has_class("-inside"),
            viewed=self.has_class("-view"),
            broken=self.broken,
        )

    def on_mount(self) -> None:
        """Draw at once, then by the clock."""
        self._fit()
        if self._live:
            self._tick_and_wait()

    def on_unmount(self) -> None:
        """Draw no more."""
        self._live = False
        self.show_nothing()
        if self._timer is not None:
            self._timer.stop()

    def on_resize(self, event: events.Resize) -> None:
        """Choose the layout for the new size."""
        self._fit()

    def _fit(self) -> None:
        for name, on in layout.classes(self.app.size).items():
            self.set_class(on, name)
        self.steps.shows_why = not self.has_class("-wide")
        self.make_room()
        self._marked = ()
        self.call_after_refresh(self.tick)

    def _tick_and_wait(self) -> None:
        self._timer = None
        self.tick()
        now = self._clock()
        state = self.situation.state
        least = FASTEST if state in (State.RUNNING, State.VALIDATING, State.LOADING) else STILL
        wait = self._pace.interval(least)
        if now < self.hurry_until:
            wait = HURRY
        self._tick_in(wait)

    def _tick_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.stop()
        if self._live:
            self._timer = self.set_timer(seconds, self._tick_and_wait)

    def look_soon(self) -> None:
        """A command was sent: look for its effect at once, and for a moment more often."""
        self.hurry_until = self._clock() + 0.3
        self._tick_in(HURRY)

    def tick(self) -> None:
        """Look at the run once, and draw what has changed."""
        if self.is_mounted:
            self._look(self._clock())

    def _look(self, now: float) -> None:
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
            self._event_log.write(s)
        if ended and self.header.outcome is not outcome:
            self.header.outcome = self.ending.outcome = outcome
            self._event_log.end(outcome)
            self.add_class("-ended")
            fresh = turned = True
        if fresh:
            self._tell(ended or (s is not None and s.trouble is not None))
        self._move_marker(self._stands_at(s, moving), now, fresh)
        if fresh:
            for panel in (self.header, self.progress, self.ending, self.numbers):
                panel.redraw()
        self.look_inside(s, now, fresh=fresh, moving=moving)
        self._tell_saved(s)
        if s is not None and s is not self._charted and (turned or now >= self._charts_due):
            self._charted = s  # the last picture before a rest is drawn too, if later
            self.curves.take(s)
            before = time.thread_time()
            self.curves.redraw()
            self.numbers.curves = self.curves.curves
            self.judge_run(s)
            wait = self._pace.charted(time.thread_time() - before, s.active)
            # A turn brings a picture without curves at first: then the next one shall have them.
            self._charts_due = now + (wait if s.curves else 0.0)
        elif fresh and s is not None:
            self.curves.follow(s)
        if self._read_device is not None:
            self.device.look(self._read_device, now, moving=moving, turned=turned)
        self.said.refresh_if_new()
        if self.has_class("-messages") or not self.has_class("-narrow"):
            self._warnings_seen = self.messages.warnings
        self._update_bar()

    def _tell(self, something: bool) -> None:
        """Show the panel that tells of an outcome or of a trouble, or hide it again."""
        if something or self.ending.display:
            self.ending.display = something
            self.set_class(something, "-told")
            self.ending.refresh(layout=True)

    def _tell_saved(self, s: Snapshot | None) -> None:
        """How old the newest checkpoint is, which changes in a pause too."""
        if not self._kept.place:
            return
        saved = s.saved if s is not None else None
        words = "not yet" if saved is None else f"{ago(self.messages.now() - saved.time)} ago"
        if self.numbers.saved != words:
            self.numbers.saved = self.device.saved = words
            self.numbers.redraw()
            self.device.redraw()

    def _move_marker(self, step: Step | None, now: float, fresh: bool) -> None:
        self.steps.follow(step, now)
        marked = (self.steps.now, self.steps.explained, self.steps.selected)
        if not fresh and marked == self._marked:
            return
        self._marked = marked
        self.steps.redraw()
        self.code.now, self.code.explained = self.steps.now, self.steps.explained
        self.code.redraw()

    def _stands_at(self, s: Snapshot | None, moving: bool) -> Step | None:
        """What the marker stands at: what runs now, or what comes next in a pause."""
        if moving:
            running = self.source.now()
            return running[0] if running else None
        return s.step if s is not None and s.state is State.PAUSED else None

    def _update_bar(self) -> None:
        situation = self.situation
        if self.bar.situation != situation:
            self.bar.situation = situation
            self.bar.redraw()
