"""Where the screen gets a run from: a live session now, a recorded or distant one later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...core.protocol.commands import Command
from ...core.protocol.snapshot import Outcome, RunInfo, Snapshot
from ...core.protocol.steps import Step


class Source(Protocol):
    """A run as the screen sees it. Every method returns at once."""

    @property
    def info(self) -> RunInfo:
        """What does not change while the run goes on."""

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while it goes on."""

    def now(self) -> tuple[Step, float] | None:
        """The phase running at this very moment, and since when (`time.perf_counter`)."""

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        """The newest picture there is; also asks for a fresh one, with curves when wanted."""

    def send(self, command: Command) -> None:
        """Ask the run for something."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a run is kept, for a person."""

    place: str = ""
    """The run's directory; "" if nothing is kept."""
    way_on: str = ""
    """The command that goes on with the run."""
    problem: str = ""
    """What could not be kept, although it was wished for, and why."""
