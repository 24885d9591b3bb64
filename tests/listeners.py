"""Listeners of a session: one that does nothing, and one that keeps all that it hears."""

from __future__ import annotations

from fivestep.core.protocol.snapshot import Change, EpochSummary


class Silent:
    """Does nothing: for listeners that want one thing only."""

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None: ...

    def epoch(self, summary: EpochSummary) -> None: ...

    def change(self, change: Change) -> None: ...


class Keeper:
    """Keeps everything."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int, int, float, float]] = []
        self.epochs: list[EpochSummary] = []
        self.changes: list[Change] = []

    def batch(
        self, epoch: int, batch: int, batches_done: int, loss: float, lr: float, *_: object
    ) -> None:
        self.batches.append((epoch, batch, batches_done, loss, lr))

    def epoch(self, summary: EpochSummary) -> None:
        self.epochs.append(summary)

    def change(self, change: Change) -> None:
        self.changes.append(change)
