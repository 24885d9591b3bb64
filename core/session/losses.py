"""The losses of a run's batches: noted once each, brought into curve and sums when needed."""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import Any

from ..storage.block import MOST, Block
from .listener import Log
from .series import Series


class Losses:
    """What each batch leaves behind. Only the training thread touches it.

    Args:
        curve: gets every loss.
        lrs: gets every learning rate that differs from the one before.
        log: gets every block of batches, when it begins.
    """

    def __init__(self, curve: Series, lrs: Series, log: Log | None = None) -> None:
        self._curve, self._lrs, self._log = curve, lrs, log
        self._block = Block(0, 0, 1, math.nan)
        self._losses, self._times = self._block.losses, self._block.times
        self._next = self._epoch = 0
        """What the next batch has if it belongs to the block: `batches_done` (0: it will begin
        another) and epoch."""
        self._settled = 0
        """Batches of the block that are in curve and sum."""
        self._first: float | None = None
        self.lr = math.nan
        """Of the last batch; NaN before the first."""
        self._sum = 0.0
        self._count = 0

    def note(
        self, epoch: int, batch: int, batches_done: int, loss: float, lr: float, ended: float
    ) -> None:
        """Take in a finished batch, see `Record.batch`."""
        if batches_done != self._next or lr != self.lr or epoch != self._epoch:
            self._begin(Block(epoch, batch, batches_done, lr))
        self._next = batches_done + 1 if batches_done % MOST else 0
        self._losses.append(loss)
        self._times.append(ended)

    def _begin(self, block: Block) -> None:
        self.settle()
        if block.lr != self.lr:
            self.lr = block.lr
            self._lrs.add(block.batches_done, block.lr)
        self._block, self._settled, self._epoch = block, 0, block.epoch
        self._losses, self._times = block.losses, block.times
        if self._log is not None:
            self._log.batches(block)

    def settle(self) -> None:
        """Bring what was noted into curve and sum; needed before the curve is read."""
        losses = self._losses[self._settled :]
        if not losses:
            return
        first = self._block.batches_done + self._settled
        if first == 1:
            self._first = losses[0]
        self._settled += len(losses)
        # One after the other, so that the sum is the same whenever somebody looks.
        self._sum = reduce(add, losses, self._sum)
        self._count += len(losses)
        self._curve.extend(first, losses)

    @property
    def first(self) -> float | None:
        """Of the run's first batch; None before it."""
        self.settle()
        return self._first

    @property
    def mean(self) -> float | None:
        """Of the batches since `begin_epoch`; None before the first."""
        self.settle()
        return self._sum / self._count if self._count else None

    def begin_epoch(self) -> None:
        """Begin another sum."""
        self.settle()
        self._sum, self._count = 0.0, 0

    def state(self) -> dict[str, Any]:
        """Everything but the curves, in plain values."""
        self.settle()
        return {
            "loss_sum": self._sum,
            "loss_count": self._count,
            "lr": self.lr,
            "first_loss": self._first,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; the next batch begins a block."""
        self._next, self._settled = 0, len(self._losses)
        self._sum, self._count = state["loss_sum"], state["loss_count"]
        self.lr, self._first = state["lr"], state["first_loss"]
