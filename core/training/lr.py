"""The learning rate: what the schedule says, times a factor that a person set by hand."""

from __future__ import annotations

import warnings
from typing import Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR


class ScheduleError(RuntimeError):
    """A schedule could not take a step."""


class LearningRate:
    """Keeps the hand's factor apart from the schedule.

    Some schedulers overwrite `param_group["lr"]`, others build on what they find there. Each
    therefore finds the value that it left itself; the factor is put on top afterwards. While
    the factor is 1 nothing is touched at all.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        scheduler: LRScheduler | None = None,
        per: Literal["update", "epoch"] = "epoch",
    ) -> None:
        self._optimizer = optimizer
        self._scheduler, self._per = scheduler, per
        self.factor = 1.0
        self.scheduled = [float(group["lr"]) for group in optimizer.param_groups]
        """What the schedule says, one value a parameter group."""

    @property
    def lr(self) -> float:
        """What the optimizer uses for its first parameter group."""
        lr = self._optimizer.param_groups[0]["lr"]
        return lr if type(lr) is float else float(lr)

    def scale(self, factor: float) -> None:
        """Set the hand's factor (not on top of the last one: the whole of it)."""
        self.factor = factor
        self._set(factor)

    def too_short(self, updates: int | None, epochs: int) -> str:
        """That the schedule ends before the run does; "" if it doesn't, or nobody can know.

        Args:
            updates: that are to come; None if not known.
            epochs: that are to come.
        """
        scheduler, left = self._scheduler, updates if self._per == "update" else epochs
        if not isinstance(scheduler, OneCycleLR) or left is None:
            return ""
        has, needs = scheduler.total_steps, scheduler.last_epoch + left
        if needs <= has:
            return ""
        return f"OneCycleLR has {has:,} steps, this run takes {needs:,}: it will fail after {has:,}"

    def after_update(self) -> None:
        """Move a schedule that counts updates."""
        if self._scheduler is not None and self._per == "update":
            self._move(self._scheduler)

    def after_epoch(self) -> None:
        """Move a schedule that counts epochs."""
        if self._scheduler is not None and self._per == "epoch":
            self._move(self._scheduler)

    def _move(self, scheduler: LRScheduler) -> None:
        if self.factor != 1.0:
            self._set(1.0)
        try:
            if scheduler.last_epoch:
                scheduler.step()
            else:
                with warnings.catch_warnings():
                    # The first update may have been left out: on purpose, or by a GradScaler.
                    warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
                    scheduler.step()
        except Exception as error:
            raise ScheduleError(f"{type(scheduler).__name__}: {error}") from error
        self.scheduled = [float(group["lr"]) for group in self._optimizer.param_groups]
        if self.factor != 1.0:
            self._set(self.factor)

    def _set(self, factor: float) -> None:
        """Give each group what the schedule says, times a factor."""
        for group, scheduled in zip(self._optimizer.param_groups, self.scheduled, strict=True):
            lr = scheduled * factor
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
