"""Who is told what happens in a run, as it happens."""

from __future__ import annotations

from typing import Protocol

from ..protocol.snapshot import Change, EpochSummary
from ..storage.block import Block


class Listener(Protocol):
    """Gets every record of a run, in the training thread: what it does there costs training."""

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        """A batch was finished; `epoch` and `batch` are counted from 1, `lr` is what it used."""

    def epoch(self, summary: EpochSummary) -> None:
        """An epoch was finished."""

    def change(self, change: Change) -> None:
        """A person changed something."""


class Log(Protocol):
    """Keeps every record of a run. It gets batches in blocks, which it reads while they fill: a
    call for each would take several per cent of a small model's time.
    """

    def batches(self, block: Block) -> None:
        """The next batches will be in this block, in order."""

    def epoch(self, summary: EpochSummary) -> None:
        """An epoch was finished."""

    def change(self, change: Change) -> None:
        """A person changed something."""
