"""What is shown of the inside of a batch, and what is broken there on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...core.protocol.commands import SetBreakpoints, SetFault, Show, Undo
from ...core.protocol.diagnosis import Severity
from ...core.protocol.faults import Fault
from ...core.protocol.snapshot import Snapshot
from ...core.protocol.steps import State, Task
from ...core.verdicts.verdicts import judge
from ..render.format import clean
from ..widgets.messages import Severity as Message
from .break_loop import BreakItScreen
from .breakpoint_dialog import BreakpointsScreen
from .dialogs import VerdictsScreen
from .watch_actions import Actions

SEVERITY: Final[dict[Severity, Message]] = {
    "danger": "error",
    "warning": "warning",
    "note": "info",
}
EVERY: Final = 0.5
"""Seconds between two drawings of tables and pictures while the run moves."""
AGAIN: Final = 1.2
"""Seconds in a pause after which a picture is asked for again: the last may have been too early."""
CALM: Final = 2.0
"""Phases a second up to which each one is drawn."""


class InsideActions(Actions):
    """Mixed into `WatchScreen`: asks the run for exactly what is seen, and draws it."""

    if TYPE_CHECKING:
        code: Any
        inside: Any
        view: Any
        notice: Any
        verdict: Any

    _page = 0
    """1 shows the layers, and the code where it has room; 2 the code alone in a small window."""
    _view: str | None = None
    """The picture of what the model knows; "" is the first there is."""
    _asked = Show()
    """What the run was asked to show."""
    _drawn_at = float("-inf")
    _paused_at: object = None
    _again_at = float("inf")
    _wished: frozenset[Fault] | None = None
    """The switches as asked for, until the run has them so."""

    # What is seen.

    def make_room(self) -> None:
        """Give room to what is to be seen in a window of this size."""
        narrow = self.has_class("-narrow")
        self.set_class(self._page == 1 or (self._page == 2 and not narrow), "-inside")
        self.set_class(self._page == 2 and narrow, "-code")
        self.set_class(self._view is not None, "-view")
        self.inside.values = narrow

    @property
    def covers(self) -> bool:
        """Whether something hides the five steps."""
        small = self.has_class("-narrow")
        return small and bool(self._page or (self._view is not None and self.has_class("-short")))

    def _seen(self) -> Show:
        """What is on the screen, and so worth computing."""
        layers = self.has_class("-inside")
        return Show(
            layers=layers,
            histograms=layers and self.inside.histograms,
            batch=bool(self._page) or self.has_class("-wide"),
            view=self._view,
        )

    def look_inside(self, s: Snapshot | None, now: float, *, fresh: bool, moving: bool) -> None:
        """Draw what is new, and ask for what is seen from now on."""
        if s is None:
            return
        if fresh:
            self._settle(s)
            self.notice.take(s)
            self.inside.summary.follow(s)
            calm = s.speed is not None and s.speed <= CALM
            if calm or not moving or now >= self._drawn_at + EVERY:
                self._drawn_at = now
                self._draw_inside(s)
        self._show_notice(s)
        if self.source.outcome is None and (
            self._seen() != self._asked or self._picture_is_late(s, now)
        ):
            self._asked = self._seen()
            self.source.send(self._asked)
            self.look_soon()

    def _picture_is_late(self, s: Snapshot, now: float) -> bool:
        """Whether a pause lasts long enough for a picture of this very place, once."""
        place = (s.step, s.batches_done, s.val_batch)
        if self._view is None or s.state is not State.PAUSED:
            self._paused_at = None
        elif place != self._paused_at:
            self._paused_at, self._again_at = place, now + AGAIN
        elif now >= self._again_at:
            self._again_at = float("inf")
            return True
        return False

    def _draw_inside(self, s: Snapshot) -> None:
        self.code.on = self.inside.on = s.faults
        self.code.values, self.inside.inside = s.inside.batch, s.inside
        if self._page or self.has_class("-wide"):
            self.code.redraw()
        if self.has_class("-inside"):
            self.inside.redraw()
        if self.view.take(s.inside) and self._view is not None:
            self.view.redraw()

    def show_nothing(self) -> None:
        """Nobody looks any more: a run that goes on shall not pay for it."""
        if self._asked != Show() and self.source.outcome is None:
            self._asked = Show()
            self.source.send(self._asked)

    def do_inside(self) -> None:
        self._page = (self._page + 1) % (3 if self.has_class("-narrow") else 2)
        if self._page:
            self.remove_class("-messages")
        self.make_room()

    def do_picture(self) -> None:
        names = [name for name, _ in self.snapshot.inside.views] if self.snapshot else []
        shown = self.snapshot.inside.view if self.snapshot and self._view == "" else self._view
        if self._view is None:
            self._view = ""
        elif shown in names and names.index(shown) + 1 < len(names):
            self._view = names[names.index(shown) + 1]
        else:
            self._view = None
        self.remove_class("-messages")
        self.make_room()

    def do_spread(self) -> None:
        self.inside.next_spread()
        self.inside.redraw()

    def do_messages(self) -> None:
        self._page, self._view = 0, None if self.covers else self._view
        self.make_room()
        super().do_messages()

    def do_follow(self) -> None:
        if self.covers:
            self._page, self._view = 0, None
            self.make_room()
        super().do_follow()

    def do_back(self) -> None:
        self._scroll(-1)

    def do_ahead(self) -> None:
        self._scroll(1)

    def _scroll(self, pages: int) -> None:
        """The layers where they are seen, else the messages."""
        if self.has_class("-inside"):
            self.inside.scroll(pages)
        elif pages < 0:
            super().do_back()
        else:
            super().do_ahead()

    # What is broken on purpose.

    @property
    def wished(self) -> frozenset[Fault]:
        """The switches as they are wanted, whether the run has them so already or not."""
        if self._wished is not None:
            return self._wished
        return frozenset(self.snapshot.faults if self.snapshot else ())

    @property
    def broken(self) -> bool:
        """Whether there is something to undo."""
        return bool(self.snapshot and (self.snapshot.undo or self.wished))

    def _settle(self, s: Snapshot) -> None:
        """The run has what was wished for."""
        done = s.trouble is not None or frozenset(s.faults) == self._wished
        if self._wished is not None and done:
            self._wished = None
            self._factor = None  # a switch may have changed it

    def _show_notice(self, s: Snapshot) -> None:
        """What will be wrong, and what is."""
        on = frozenset(s.faults)
        self.notice.coming = tuple(sorted(self.wished - on))
        self.notice.mending, self.notice.undo = bool(on) and not self.wished, s.undo
        self.notice.show()
        self.set_class(self.notice.display or self.verdict.display, "-alert")

    def do_break_it(self) -> None:
        self.app.push_screen(
            BreakItScreen(
                lambda: self.snapshot,
                lambda: self.wished,
                self._turn,
                lambda: self.perform("undo"),
                ascii=self.ascii,
            )
        )

    def _turn(self, fault: Fault) -> None:
        """Turn a switch on or off, from the next batch on."""
        if not self.situation.live:
            return
        self._wished = self.wished ^ {fault}
        self._factor = None
        self._send(SetFault(fault, fault in self._wished))
        self.tick()

    def do_undo(self) -> None:
        s = self.snapshot
        wished, self._wished, self._factor = self.wished, frozenset(), None
        if not s.undo:  # nothing has come of it yet, or an earlier session broke it
            for fault in sorted(wished):
                self._send(SetFault(fault, False))
            return
        self._send(Undo())

    # Breakpoints and verdicts.

    def do_breakpoints(self) -> None:
        s = self.snapshot
        found = [name for name, _ in s.metrics] if s else []
        metrics = dict.fromkeys([*Task(self.source.info.task).metric_names, *found])
        self.app.push_screen(
            BreakpointsScreen(
                s.breakpoints if s else (),
                tuple(metrics),
                lambda conditions: self._send(SetBreakpoints(conditions)),
                ascii=self.ascii,
            )
        )

    def judge_run(self, s: Snapshot) -> None:
        """Say what is wrong, where the picture has all that is needed to tell."""
        if not s.curves or s.facts is None:
            return
        for verdict in self.verdict.take(judge(self.source.info, s, s.facts)):
            text = f"{verdict.what}. Try: {verdict.next} (y tells why)"
            self.messages.add(clean(text), SEVERITY[verdict.severity])
        self.verdict.redraw()

    def do_verdicts(self) -> None:
        self.app.push_screen(VerdictsScreen(self.verdict.verdicts, ascii=self.ascii))
