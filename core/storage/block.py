"""Batches in a row, as the training thread notes them: once, for the curves and for the log."""

from __future__ import annotations

from typing import Final

MOST: Final = 1024
"""Most batches of a block."""


class Block:
    """Batches in a row, of one epoch and one learning rate, by what the first of them has.

    The training thread adds to it. Another thread may read it meanwhile: there are as many
    batches as there are `times`, which come last.
    """

    __slots__ = ("batch", "batches_done", "epoch", "losses", "lr", "times")

    def __init__(self, epoch: int, batch: int, batches_done: int, lr: float) -> None:
        self.epoch, self.batch, self.batches_done, self.lr = epoch, batch, batches_done, lr
        self.losses: list[float] = []
        self.times: list[float] = []
        """When each was done (`time.perf_counter`)."""

    @property
    def last(self) -> int:
        """`batches_done` behind what is in it so far."""
        return self.batches_done + len(self.times) - 1
