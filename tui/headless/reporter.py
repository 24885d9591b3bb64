"""`Reporter`, the base of what follows a run without a screen, and the verdicts it reports."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Final

from ...core.verdicts.verdicts import Verdict, judge
from ..terminal.output import Output, complain

if TYPE_CHECKING:
    from ...core.protocol.snapshot import Change, EpochSummary, Outcome, RunInfo, Snapshot
    from ...core.session.breakpoints import BreakReport
    from ...core.session.session import Session
    from ..setup.builder import RunBuilder


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended."""

    word: str
    """finished, stopped, failed or interrupted (by a signal)."""
    outcome: Outcome
    last: Snapshot
    """The last picture of the run."""


class Reporter:
    """Follows a run from one thread and gets its records in the training thread.

    This one is silent. All methods but the first three are called by the thread that waits for
    the run, in the order in which they stand here.
    """

    interval: ClassVar[float] = 0.2
    """Seconds between two ticks."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.place = self.run_name = self.resume_command = ""
        """Where the run is kept, its name there, the command that resumes it; "" if nothing is."""

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        """A batch was finished (training thread)."""

    def epoch(self, summary: EpochSummary) -> None:
        """An epoch was finished (training thread)."""

    def change(self, change: Change) -> None:
        """A person changed something (training thread)."""

    def announce(self, builder: RunBuilder) -> None:
        """Say what is going to run, before torch is loaded."""
        self.place, self.run_name = builder.place, builder.name
        self.resume_command = builder.resume_command

    def begin(self, session: Session) -> None:
        """The run is built and about to start."""

    def tick(self, session: Session) -> None:
        """Called every `interval` seconds while the run goes on."""
        self.output.flush()

    def stopping(self) -> None:
        """A signal was caught; the run ends after the batch under way."""

    def broke(self, report: BreakReport) -> None:
        """A breakpoint has ended the run; `end` follows."""
        complain(f"breakpoint {report.condition}: {report.values_text or 'true'} at {report.where}")

    def end(self, session: Session, ending: Ending) -> None:
        """The run has ended."""

    def leave(self) -> None:
        """The process ends at this very moment (in a signal handler)."""


SPACING: Final = 2.0
"""Seconds between two looks at a run."""


class VerdictWatch:
    """Looks at a run now and then, and gives the verdicts that are new."""

    def __init__(self) -> None:
        self._due = perf_counter() + SPACING
        self._reported: set[str] = set()

    def look(self, session: Session) -> tuple[Snapshot | None, tuple[Verdict, ...]]:
        """The newest picture, and what is newly wrong with the run; to be called often.

        Verdicts need a picture with curves: it is asked for when one is due, and comes with a
        later call.
        """
        due = perf_counter() >= self._due
        picture = session.latest(curves=due)
        if not due or picture is None:
            return picture, ()
        return picture, self.new(session.info, picture)

    def new(self, info: RunInfo, picture: Snapshot) -> tuple[Verdict, ...]:
        """The verdicts on a picture that were not given before."""
        if picture.facts is None:
            return ()
        self._due = perf_counter() + SPACING
        found = judge(info, picture, picture.facts)
        new = tuple(verdict for verdict in found if verdict.rule not in self._reported)
        self._reported |= {verdict.rule for verdict in new}
        return new
