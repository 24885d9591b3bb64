"""The watch screen: draws the newest picture of a run, and turns keys into commands."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from ...core.protocol.commands import Show
from ...core.protocol.snapshot import Outcome, RunLocation, Snapshot
from ...core.protocol.steps import State, Step
from ...core.storage.kept_run import KeptRun
from ..headless.reporter import VerdictWatch
from ..render.format import ago
from ..render.glyphs import ascii_only
from ..render.keymap import KEYS, Situation
from ..setup.launch import Source
from ..setup.preferences import preference
from ..terminal.alerts import Alerts
from ..widgets.footer import CommandBar
from ..widgets.messages import MessageLog
from ..widgets.steps import StepsPanel
from . import layout
from .event_log import EventLog
from .layout import Pages, Panels
from .pace import Pace
from .watch_actions import Actions

if TYPE_CHECKING:
    from ...core.protocol.device_reading import DeviceReading
    from ...core.serving.client import RemoteRun
    from ...core.storage.replayed_run import ReplayedRun
    from ..terminal.script_process import ScriptProcess

HURRY: Final = 0.02
"""Seconds between two looks while a command's effect is awaited."""
HURRIES: Final = 0.3
"""Seconds after a command that it is awaited."""
ANSWERED: Final = 0.05
"""Seconds in which most runs have made the curves that they were asked for."""
STILL: Final = 0.25
"""Seconds between two looks while nothing moves."""
EVERY: Final = 0.5
"""Seconds between two drawings of tables and pictures while the run moves."""
CALM: Final = 2.0
"""Phases a second up to which tables and pictures are drawn for each one."""
SLOW: Final = 20.0
"""Phases a second up to which drawing costs the run nothing."""
AGAIN: Final = 1.2
"""Seconds in a pause after which a view is asked for again: the last may have been too early."""


class WatchScreen(Screen[None]):
    """Watch one run.

    Args:
        source: the run.
        device: takes a reading of the machine; None shows none.
        log: what the run said; the screen adds what happens to it.
        kept: where the run is kept.
        attached: the source again, where another process trains it.
        script: that process, where it was started for this screen.
        inside: begin with the inside of the batch open.
        alerts: call a person back; None is silent.
        files: says how old the files are that the run is read from, where it is.
        replay: the source again, where any batch of it can be shown.
        ascii: draw in ASCII only; None decides by the locale.
        live: draw by itself; otherwise only when `tick` is called.
    """

    CSS = layout.CSS
    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, f"press('{key}')", show=False, priority=key == "ctrl+c") for key in KEYS
    ]

    def __init__(
        self,
        source: Source,
        *,
        device: Callable[[], DeviceReading | None] | None = None,
        log: MessageLog | None = None,
        kept: Callable[[], RunLocation] = RunLocation,
        attached: RemoteRun | None = None,
        script: ScriptProcess | None = None,
        inside: bool = False,
        alerts: Alerts | None = None,
        files: Callable[[], str] | None = None,
        replay: ReplayedRun | None = None,
        ascii: bool | None = None,
        clock: Callable[[], float] = time.perf_counter,
        live: bool = True,
    ) -> None:
        super().__init__()
        ascii = ascii_only() if ascii is None else ascii
        location = kept()
        self._kept = bool(location.place) and not source.info.foreign
        """Whether there are checkpoints of ours."""
        self.source, self._read_device = source, device
        self.messages = log or MessageLog()
        self.panels = Panels(source.info, self.messages, location, ascii=ascii)
        self.panels.outcome.attached = attached is not None or files is not None
        self._files = files
        self.pages = Pages(self, self.panels)
        self.actions = Actions(
            self,
            source,
            self.messages,
            self.panels,
            self.pages,
            kept=self._kept,
            attached=attached,
            files=files is not None,
            script=script,
            replay=replay,
            look_soon=self._look_soon,
            redraw=self.tick,
            ascii=ascii,
        )
        if inside:
            self.pages.next_page()
        self._clock, self._live = clock, live
        self._location = kept
        read = source if isinstance(source, KeptRun) else None
        self._event_log = EventLog(source.info, self.messages, location, read)
        self._verdicts = VerdictWatch(clock)
        self._alerts = alerts or Alerts("")
        self._pace = Pace(fastest=1 / preference("fps"))
        self._timer: Timer | None = None
        self._hurry_until = 0.0
        self._all_due = self._chart_due = self._inside_due = float("-inf")
        self._curves: object = None
        """Those that came last, drawn or not."""
        self._marked: tuple[Step | None, ...] = ()
        self._asked = Show()
        """What the run was asked to show of its inside."""
        self._paused_at: object = None
        self._view_due = float("inf")

    @property
    def snapshot(self) -> Snapshot | None:
        return self.actions.snapshot

    @property
    def situation(self) -> Situation:
        return self.actions.situation

    def compose(self) -> ComposeResult:
        yield from self.panels.compose()

    # When it is drawn.

    def on_mount(self) -> None:
        """Draw at once, then by the clock."""
        self._fit()
        if self._live:
            self._tick_and_wait()

    def on_unmount(self) -> None:
        """Draw no more, and let a run that goes on not pay for what nobody looks at."""
        self._live = False
        if self._timer is not None:
            self._timer.stop()
        if self._asked != Show() and self.source.outcome is None:
            self.source.send(Show())

    def on_resize(self, event: events.Resize) -> None:
        self._fit()

    def _fit(self) -> None:
        self.pages.fit(self.app.size)
        self._marked = ()
        self.call_after_refresh(self.tick)

    def tick(self, *, everything: bool = True) -> bool:
        """Look at the run once, and draw what has changed; whether that was everything.

        Args:
            everything: False draws the marker of the running step alone, unless something is new
                that must not wait.
        """
        return self.is_mounted and self._look(self._clock(), everything=everything)

    def _tick_and_wait(self) -> None:
        """Draw what is due; the marker moves more often than all else is drawn."""
        self._pace.begin()
        now, s = self._clock(), self.snapshot
        hurry = now < self._hurry_until
        # In slow motion the run waits most of the time: drawing is not at its expense.
        slow = s is not None and s.speed is not None and s.speed <= SLOW
        slow = slow or self.situation.replay
        everything = self.tick(everything=hurry or slow or now >= self._all_due)
        self._pace.drew("everything" if everything else "marker")
        still = self.situation.state not in (State.RUNNING, State.VALIDATING, State.LOADING)
        if everything:
            self._all_due = now + (STILL if still else self._pace.interval("everything"))
        wait = max(HURRY, self._all_due - now)  # it is not drawn before it is mounted
        if not still:
            wait = self._pace.fastest if slow else min(wait, self._pace.interval("marker"))
        self._tick_in(HURRY if hurry else wait)

    def _tick_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.stop()
        if not self._live:
            return
        due = self._chart_due - self._clock()
        if 0 < due < seconds:
            self._timer = self.set_timer(due, self._ask_for_curves)
        else:
            self._timer = self.set_timer(seconds, self._tick_and_wait)

    def _ask_for_curves(self) -> None:
        """A chart is due: it shall be drawn as soon as its curves may be there."""
        self.source.latest(curves=True)
        self._tick_in(ANSWERED)

    def _look_soon(self) -> None:
        """A command was sent: look for its effect at once, and for a moment more often."""
        self._hurry_until = self._clock() + HURRIES
        self._tick_in(HURRY)

    # What is drawn.

    def _look(self, now: float, *, everything: bool) -> bool:
        panels, outcome, old = self.panels, self.source.outcome, self.snapshot
        s, verdicts = self._verdicts.look(self.source)
        fresh = s is not None and s is not old
        turned = fresh and (old is None or s is None or old.state is not s.state)
        ended = outcome is not None and panels.header.outcome is not outcome
        moving = s is not None and s.state in (State.RUNNING, State.VALIDATING) and outcome is None
        scrubbed = self.situation.replay and not moving
        if s is not None and fresh and (old is None or scrubbed or _jumped(old, s)):
            self._chart_due = now
        charted = s is not None and self._curves_came(s, now)
        if not (everything or verdicts or turned or ended or charted):  # these never wait
            self._move_marker(old, moving, fresh=False)
            return False
        if s is not None and fresh:
            self.actions.take(s)
            info = self.source.info  # of a script more is known by and by
            panels.curves.info = panels.code.info = info
            for panel in panels.of_run:
                panel.snapshot, panel.info = s, info
            self._event_log.write(s)
            self._alerts.take(s)
            panels.notice.take(s)
            panels.code.values = s.inside.batch
            panels.inside.summary.follow(s)
        if outcome is not None and ended:
            panels.header.outcome = panels.outcome.outcome = outcome
            panels.notice.ended = True
            self._event_log.end(outcome)
            self._alerts.ended(outcome)
            self.add_class("-ended")
            fresh = turned = True
        if s is not None:
            self._draw_curves(s, now, fresh=fresh, charted=charted or ended)
        self._alerts.judged(verdicts)
        if verdicts or (fresh and panels.verdict.display):
            self._event_log.judged(verdicts)
            panels.verdict.show(self._verdicts.verdicts)
        self._move_marker(s, moving, fresh)
        if fresh:
            self._show_outcome(outcome or (s.trouble if s is not None else None))
            for panel in (panels.header, panels.progress, panels.outcome, panels.numbers):
                panel.redraw()
        if s is not None:
            self._draw_inside(s, now, fresh=fresh, moving=moving)
        if self._files is not None:
            panels.notice.files = self._files()
        if s is not None or self._files is not None:
            panels.notice.show(self.actions.faults)
            self.set_class(panels.notice.display or panels.verdict.display, "-alert")
        self._show_saved(s)
        held = s is None or s.state is State.PAUSED or outcome is not None
        panels.ranks.look(self.source.ranks(), now, held=held)
        panels.outcome.alone = not panels.ranks.there
        self.set_class(panels.ranks.there, "-ranks")
        if self._read_device is not None:
            panels.device.look(self._read_device, now, moving=moving, turned=turned)
        panels.messages.refresh_if_new()
        situation = self.situation
        if panels.footer.situation != situation:
            panels.footer.situation = situation
            panels.footer.redraw()
        return True

    def _curves_came(self, s: Snapshot, now: float) -> bool:
        """Whether a chart is due, and curves have come that were asked for since."""
        new, self._curves = s.curves is not self._curves, s.curves
        due = now >= self._chart_due
        if due and not new:
            self.source.latest(curves=True)
        return due and new and bool(s.curves)

    def _draw_curves(self, s: Snapshot, now: float, *, fresh: bool, charted: bool) -> None:
        """The chart, or the last batches only."""
        panels = self.panels
        if charted or (fresh and panels.curves.curves and not s.recent):
            before = time.thread_time()
            panels.curves.take(s)
            panels.curves.redraw()
            panels.numbers.curves = panels.curves.curves
            self._chart_due = now + self._pace.charted(time.thread_time() - before, s.active)
        elif fresh:
            panels.curves.follow(s)

    def _show_outcome(self, outcome: Outcome | None) -> None:
        """Show the panel that tells of an outcome or of a trouble, or hide it again."""
        panel = self.panels.outcome
        if outcome is not None or panel.display:
            panel.location = self._location()  # somebody may have moved it
            panel.display = outcome is not None
            self.set_class(outcome is not None, "-outcome")
            panel.refresh(layout=True)

    def _show_saved(self, s: Snapshot | None) -> None:
        """How old the newest checkpoint is, which changes in a pause too."""
        saved = s.saved if s is not None else None
        words = "not yet" if saved is None else f"{ago(self.messages.now() - saved.time)} ago"
        if self._kept and not self.situation.replay and self.panels.numbers.saved != words:
            for panel in (self.panels.numbers, self.panels.device):
                panel.saved = words
                panel.redraw()

    def _move_marker(self, s: Snapshot | None, moving: bool, fresh: bool) -> None:
        """To what runs at this moment, or to what comes next in a pause."""
        steps, code = self.panels.steps, self.panels.code
        if moving:
            running = self.source.now()
            step = running[0] if running else None
        else:
            step = s.step if s is not None and s.state is State.PAUSED else None
        steps.now = step
        header = self.panels.header
        if moving and step is not header.running:
            validating = Step.VALIDATE in (step, header.running)
            header.running = step
            if validating:
                header.redraw()
        marked = (steps.now, steps.explained, steps.selected)
        if fresh or marked != self._marked:
            self._marked = marked
            steps.redraw()
            code.now, code.explained = steps.now, steps.explained
            code.redraw()

    def _draw_inside(self, s: Snapshot, now: float, *, fresh: bool, moving: bool) -> None:
        """Draw what is open of the inside, and ask for what is open from now on."""
        pages, panels = self.pages, self.panels
        calm = not moving or (s.speed is not None and s.speed <= CALM)
        if fresh and (calm or now >= self._inside_due):
            self._inside_due = now + EVERY
            panels.code.on = panels.inside.on = s.faults
            panels.inside.take(s.inside)
            panels.inside.ended = s.state.ended
            if pages.code_is_seen:
                panels.code.redraw()
            if pages.layers_are_seen:
                panels.inside.redraw()
            if panels.view.take(s.inside) and pages.view is not None:
                panels.view.redraw()
        shown = pages.shown()
        if shown != self._asked or self._view_is_late(s, now):
            self._asked = shown
            self.actions.send(shown)

    def _view_is_late(self, s: Snapshot, now: float) -> bool:
        """Whether a pause lasts long enough for a view of this very place, once."""
        place = (s.step, s.batches_done, s.val_batch)
        if self.pages.view is None or s.state is not State.PAUSED:
            self._paused_at = None
        elif place != self._paused_at:
            self._paused_at, self._view_due = place, now + AGAIN
        elif now >= self._view_due:
            self._view_due = float("inf")
            return True
        return False

    # What a person does.

    def action_press(self, key: str) -> None:
        self.actions.press(key)

    def on_command_bar_chosen(self, event: CommandBar.Chosen) -> None:
        self.actions.perform(event.command)

    def on_steps_panel_picked(self, event: StepsPanel.Picked) -> None:
        self.actions.pick_step(event.step)

    def on_input_changed(self, event: Input.Changed) -> None:
        self.panels.messages.search = event.value
        self.panels.messages.refresh_if_new()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.actions.end_search()


def _jumped(old: Snapshot, new: Snapshot) -> bool:
    """Whether the run was held, let go, or taken back to an earlier batch in between."""
    held = (old.state is State.PAUSED) is not (new.state is State.PAUSED)
    return held or new.batches_done < old.batches_done
