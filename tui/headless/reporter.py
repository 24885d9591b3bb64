"""`Reporter`, the base of what follows a run without a screen, and the verdicts it reports."""

from __future__ import annotations

import math
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Final

from ...core.protocol.listener import Listener
from ...core.protocol.rank_times import RankTimes, RankWatch
from ...core.protocol.steps import State, Step
from ...core.verdicts.verdicts import Verdict, find_verdicts
from ..render.format import short_time
from ..render.ranks import held_up
from ..terminal.alerts import Alerts
from ..terminal.live_line import bare_stream
from ..terminal.output import FAILED, UNKEPT, Output, complain
from ..terminal.signals import end_children

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...core.protocol.faults import Undone
    from ...core.protocol.snapshot import Outcome, RunInfo, Snapshot
    from ...core.session.breakpoints import BreakReport
    from ...core.session.session import Session
    from ..setup.builder import RunBuilder
    from ..setup.launch import Source


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    word: str
    """finished, stopped, failed or interrupted (by a signal)."""
    outcome: Outcome
    last: Snapshot


class Reporter(Listener):
    """Follows a run from one thread and gets its records in the training thread.

    This one is silent. The methods that are here are called by the thread that waits for the run,
    in the order in which they stand.
    """

    interval: ClassVar[float] = 0.2
    """Seconds between two ticks."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.notes: tuple[str, ...] = ()
        """What was understood of the data, in words."""
        self.ranks = RankFollower()
        self._builder: RunBuilder | None = None
        self.alerts = Alerts("")

    @property
    def place(self) -> str:
        """Where the run is kept by now; "" if it is not."""
        return "" if self._builder is None else self._builder.place

    @property
    def run_name(self) -> str:
        """Its name there; "" if it is not kept."""
        return "" if self._builder is None else self._builder.name

    @property
    def resume_command(self) -> str:
        """The command that resumes it; "" if it is not kept."""
        return "" if self._builder is None else self._builder.resume_command

    def announce(self, builder: RunBuilder) -> None:
        """Say what is going to run, before torch is loaded."""
        self._builder, self.notes = builder, builder.plan.notes
        if builder.options.bell:
            streams = map(bare_stream, (sys.stderr, sys.stdout))
            self.alerts = Alerts(builder.plan.name, streams, alone=True)

    def loading(self, builder: RunBuilder) -> AbstractContextManager[None]:
        """In here torch is loaded and the run built."""
        return nullcontext()

    def begin(self, session: Session) -> None:
        """The run is built and about to start."""

    def tick(self, session: Session) -> None:
        """Called every `interval` seconds while the run goes on."""
        if text := self.ranks.look(session):
            self.held_up(text)
        self.output.flush()

    def held_up(self, text: str) -> None:
        """One of several processes has held the others up for long."""
        complain(text)

    def stopping(self) -> None:
        """A signal was caught; the run ends after the batch under way."""

    def broke(self, report: BreakReport) -> None:
        """A breakpoint has ended the run; `end` follows."""
        if report.condition:
            complain(
                f"breakpoint {report.condition}: {report.values_text or 'true'} at {report.where}"
            )

    def end(self, session: Session, ending: Ending) -> None:
        """The run has ended."""

    def leave(self) -> None:
        """The process ends at this very moment (in a signal handler)."""


def tell_unkept(builder: RunBuilder, session: Session, code: int) -> int:
    """Complain of what of an ended run is not on the disk; `code`, or what that makes of it. Waits
    for whatever is told of the end.
    """
    builder.wait()
    unkept = {} if session.saving is None else session.saving.unkept
    parts = [f"{UNKEPT_PARTS[part]} ({why})" for part, why in unkept.items()]
    if builder.lost:
        parts = [f"the run ({builder.problem})"]
    if not parts:
        return code
    complain(f"not on the disk: {', '.join(parts)}")
    return code if code == FAILED else UNKEPT


UNKEPT_PARTS: Final = {
    "checkpoint": "the last checkpoint",
    "log": "all of the log",
    "outcome": "how the run ended",
}


PATIENCE: Final = 2.0
"""Seconds of one step after which a stop that waits for it says so."""


def waits_for(source: Source) -> str:
    """What keeps a run from stopping, in words; "" until it takes long."""
    now = source.now()
    waited = perf_counter() - now[1] if now is not None else 0.0
    if now is None or waited < PATIENCE:
        return ""
    return f"still in {now[0].info.name}, for {short_time(waited)} so far"


def give_up_data(session: Session) -> None:
    """End the data workers of a run that is to stop and has waited long for their batch, which
    nobody needs any more; their loader notices within five seconds.
    """
    step, since = session.now()
    loaders = (session.training.batches, session.training.validation)
    working = any(getattr(loader, "num_workers", 0) for loader in loaders)
    if working and step in (Step.DATA, Step.VALIDATE) and perf_counter() - since >= PATIENCE:
        end_children()


class RankFollower:
    """Follows what the ranks of a run do: from one epoch to the next, and whether they still move.

    Where there is one process it does nothing.
    """

    def __init__(self) -> None:
        self._watch, self._told = RankWatch(), False

    @property
    def several(self) -> bool:
        """Whether there are several processes."""
        return len(self._watch.times) > 1

    def look(self, source: Source) -> str:
        """Which rank has held the others up for long, when that is new; to be called often."""
        ranks = source.ranks()
        self._watch.take(ranks, perf_counter(), math.inf)
        picture = source.latest() if ranks else None
        held = picture is None or picture.state is State.PAUSED
        text = "" if held else held_up(ranks)
        new, self._told = bool(text) and not self._told, bool(text)
        return text if new else ""

    def lap(self) -> tuple[RankTimes, ...]:
        """Where the time of each rank has gone since the last lap; empty before that is known."""
        times = self._watch.times
        if not all(one.seconds for one in times if not one.now.unseen):
            return ()
        self._watch = RankWatch()
        self._watch.take(tuple(one.now for one in times), perf_counter(), math.inf)
        return times


SPACING: Final = 1.0
"""Seconds from one judged picture until the next is asked for."""


class VerdictWatch:
    """Follows a run, has its curves and facts made now and then, and judges it by them."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.verdicts: tuple[Verdict, ...] = ()
        """What was wrong in the picture judged last."""
        self._clock = clock
        self._due = clock()  # the first batch may tell
        self._judged: Snapshot | None = None
        self._undone: tuple[Undone, ...] = ()
        self._rules: set[str] = set()
        """Those whose verdicts have been given."""

    def look(self, source: Source) -> tuple[Snapshot | None, tuple[Verdict, ...]]:
        """The newest picture, and the verdicts that are new; to be called often.

        Only a picture with curves and facts can be judged. When one is due it is asked for, and
        judged by the later call that it comes with.
        """
        picture = source.latest()
        if picture is not None and picture.undone != self._undone:  # what was wrong is mended
            self.verdicts, self._undone, self._due = (), picture.undone, self._clock()
            self._rules.clear()
        if picture is not None and picture.facts is not None and picture is not self._judged:
            return picture, self.new(source.info, picture)
        if self._clock() >= self._due:
            source.latest(curves=True)
        return picture, ()

    def new(self, info: RunInfo, picture: Snapshot) -> tuple[Verdict, ...]:
        """The verdicts on this picture that were not given before."""
        if picture.facts is None:
            return ()
        self._judged = picture
        self._due = self._clock() + SPACING
        self.verdicts = find_verdicts(info, picture, picture.facts)
        new = tuple(verdict for verdict in self.verdicts if verdict.rule not in self._rules)
        self._rules |= {verdict.rule for verdict in new}
        return new
