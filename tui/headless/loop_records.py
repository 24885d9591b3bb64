"""The records of a loop that is not ours, as `--json` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final

from ...core.storage.files import refusal
from ..terminal.output import Output
from .json_reporter import JsonReporter
from .reporter import Ending

if TYPE_CHECKING:
    from ...core.foreign.loop import ForeignLoop
    from ...core.protocol.snapshot import EpochSummary
    from ...core.storage.kept_log import KeptLog

PLACE: Final = "records.jsonl"
"""In the run's folder: where they are, if nobody says otherwise."""
SPAN: Final = 0.5
"""Seconds for which they wait to be written at most, while batches come."""


class LoopRecords(JsonReporter):
    """Writes a record for everything that happens in a loop, in the loop's own thread.

    Args:
        path: of the file that gets them.
        kept: where the run is kept; None if it is not.
        say: is told, once, that the file takes no more.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(
        self, loop: ForeignLoop, path: Path, kept: KeptLog | None, say: Callable[[str], object]
    ) -> None:
        super().__init__(Output(path.open("ab", buffering=0)))
        self._loop, self._kept, self._path, self._say = loop, kept, path, say
        self._lost = False
        self._begun, self._due = False, 0.0

    @property
    def place(self) -> str:
        return "" if self._kept is None else str(self._kept.directory.path)

    @property
    def run_name(self) -> str:
        return "" if self._kept is None else self._kept.directory.name

    def start(self) -> None:
        """The first batch is over: what is trained is known by now."""
        if not self._begun:
            self._begun = True
            picture = self._loop.latest(curves=True)  # before `info`, which is made anew with it
            self.write_start(self._loop.info, picture, str(self._loop.device))

    def batch(
        self,
        epoch: int,
        batch: int,
        batches_done: int,
        loss: float,
        lr: float,
        lrs: tuple[float, ...] = (),
    ) -> None:
        self.start()
        super().batch(epoch, batch, batches_done, loss, lr, lrs)
        here = perf_counter()
        if here > self._due:
            self._due = here + SPAN
            self.output.flush()
            self._tell_loss()

    def _tell_loss(self) -> None:
        """Say, once, that records were lost; those that the file takes again are written."""
        error = self.output.error
        if error is not None and not self._lost:
            self._lost = True
            self._say(f"records are lost, {self._path}: {refusal(error)}")

    def epoch(self, summary: EpochSummary) -> None:
        self.start()
        super().epoch(summary)
        self._epochs.clear()
        picture = self._loop.latest(curves=True)
        self._write_verdicts(picture, self._verdicts.new(self._loop.info, picture))

    def finish(self) -> None:
        """The loop is over."""
        self.start()
        outcome, last = self._loop.outcome, self._loop.latest(curves=True)
        assert outcome is not None
        if (report := self._loop.steering.report) is not None:
            self.broke(report)
        ending = Ending(outcome.state, outcome, last)
        self.write_end(self._loop.info, ending, str(self._loop.device))
        self._tell_loss()
