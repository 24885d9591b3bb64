"""The learning rate: what the schedule says, times a factor that a person set by hand."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from ..protocol.parameter_groups import GroupLrs, lr_text


class ScheduleError(RuntimeError):
    """A schedule could not take a step."""


def factor_text(factor: float) -> str:
    """A factor for a person: "×2", "÷10"."""
    return f"×{factor:.4g}" if factor >= 1 or not factor else f"÷{1 / factor:.4g}"


def group_names(optimizer: Optimizer) -> tuple[str, ...]:
    """What each of several parameter groups is called: its "name", else "group 0", "group 1" and
    so on, with its number behind a name that was there before; empty where there is one.
    """
    groups = optimizer.param_groups if len(optimizer.param_groups) > 1 else ()
    names = [str(one.get("name") or f"group {i}")[:60] for i, one in enumerate(groups)]
    return tuple(name if name not in names[:i] else f"{name} ({i})" for i, name in enumerate(names))


def lr_of(group: Mapping[str, Any]) -> float:
    """A parameter group's learning rate; NaN where its optimizer has none, or none of its own."""
    lr = group.get("lr")
    return math.nan if lr is None else float(lr)


def _wanted(plateau: ReduceLROnPlateau) -> str:
    """What the next value has to be to count as better: "below 0.31"."""
    step = plateau.threshold * (plateau.best if plateau.threshold_mode == "rel" else 1)
    if plateau.mode == "min":
        return f"below {plateau.best - step:.4g}"
    return f"above {plateau.best + step:.4g}"


class LearningRate:
    """Keeps the hand's factor apart from the schedule.

    Some schedulers overwrite `param_group["lr"]`, others build on what they find there. Each
    therefore finds the value that it left itself; the factor is put on top afterwards. While
    the factor is 1 nothing is touched at all.

    Args:
        optimizer: whose learning rate it is.
        scheduler: moves it.
        per: when, unless it waits for validations.
        metric: what it waits for then.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        scheduler: LRScheduler | None = None,
        per: Literal["update", "epoch"] = "epoch",
        metric: str = "val_loss",
    ) -> None:
        self._optimizer = optimizer
        self._plateau = scheduler if isinstance(scheduler, ReduceLROnPlateau) else None
        self._scheduler = scheduler if self._plateau is None else None
        self._per, self._metric = per, metric
        self.factor = 1.0
        self.scheduled = [lr_of(group) for group in optimizer.param_groups]
        """What the schedule says, one value a parameter group."""
        self._began = list(self.scheduled)
        self.groups = group_names(optimizer)
        self._notices: list[str] = []

    @property
    def lr(self) -> float:
        """What the optimizer uses; the largest, where parameter groups differ."""
        if self.groups:
            return max(self.lrs)
        group = self._optimizer.param_groups[0]
        lr = group.get("lr")
        return lr if type(lr) is float else lr_of(group)

    @property
    def lrs(self) -> tuple[float, ...]:
        """What each of several parameter groups uses; empty where there is one."""
        if not self.groups:
            return ()
        groups = self._optimizer.param_groups[: len(self.groups)]  # a person may have added some
        return tuple([lr_of(group) for group in groups])

    @property
    def by_group(self) -> GroupLrs:
        """The same, with their names."""
        return tuple(zip(self.groups, self.lrs, strict=True))

    @property
    def text(self) -> str:
        """What the optimizer uses, for a person."""
        return lr_text(self.lr, self.by_group)

    def scale(self, factor: float) -> None:
        """Set the hand's factor (not on top of the last one: the whole of it)."""
        self.factor = factor
        self._set(factor)

    def aim(self, lr: float) -> None:
        """Set the hand's factor so that the largest learning rate is this very number."""
        scheduled = max(self.scheduled) if self.groups else self.scheduled[0]
        if lr == self.lr or not scheduled > 0:
            return
        factor = lr / scheduled
        near = (factor, math.nextafter(factor, 0), math.nextafter(factor, math.inf))
        self.scale(next((one for one in near if scheduled * one == lr), factor))

    def after_update(self) -> None:
        """Move a schedule that counts updates."""
        if self._scheduler is not None and self._per == "update":
            self._move(self._scheduler)

    def after_epoch(self) -> None:
        """Move a schedule that counts epochs."""
        if self._scheduler is not None and self._per == "epoch":
            self._move(self._scheduler)

    def after_validation(self, loss: float | None, metrics: Mapping[str, float]) -> None:
        """Move a schedule that waits for validations to get better, once an epoch's is done.

        Args:
            loss: the validation's mean.
            metrics: by name.
        """
        plateau, name = self._plateau, self._metric
        if plateau is None:
            return
        kind = type(plateau).__name__
        value = loss if name == "val_loss" else metrics.get(name)
        if value is None:
            self._notices.append(f"{kind} was not stepped: the validation gave no {name}")
            return
        before, epochs, wanted = self.scheduled, plateau.patience + 1, _wanted(plateau)
        self._move(plateau, value)
        lowered = [
            now / then for then, now in zip(before, self.scheduled, strict=True) if now != then
        ]
        if lowered:
            self._notices.append(
                f"lr {factor_text(lowered[0])} → {self.text}: no {name} {wanted} in "
                f"{epochs} epoch{'s' * (epochs != 1)} ({kind})"
            )

    def take_notices(self) -> list[str]:
        """What became of the schedule since the last call, for a person, a line each."""
        notices, self._notices = self._notices, []
        return notices

    def _move(self, scheduler: Any, *metric: float) -> None:
        if self.factor != 1.0:
            self._set(1.0)
        try:
            if getattr(scheduler, "last_epoch", True):
                scheduler.step(*metric)
            else:
                with warnings.catch_warnings():
                    # The first update may have been left out: on purpose, or by a GradScaler.
                    warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
                    scheduler.step(*metric)
        except Exception as error:
            raise ScheduleError(f"{type(scheduler).__name__}: {error}") from error
        self.scheduled = [lr_of(group) for group in self._optimizer.param_groups]
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

    def state(self) -> dict[str, Any]:
        """What `restore` and `wait_on` take, in plain values."""
        return {
            "factor": self.factor,
            "scheduled": list(self.scheduled),
            "began": list(self._began),
            "metric": self._metric,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave, with optimizer and schedule put back already."""
        self.factor, self.scheduled = state["factor"], list(state["scheduled"])

    def wait_on(self, state: Mapping[str, Any], schedule: Mapping[str, Any]) -> None:
        """Keep what a schedule that waits for validations has seen and done, but its options and
        the optimizer's first learning rate as they are now.

        Args:
            state: what `state` gave then.
            schedule: the schedule's own state of then; another kind's is passed over.
        """
        plateau = self._plateau
        if plateau is None or (state.get("metric"), schedule.get("mode")) != (
            self._metric,
            plateau.mode,
        ):
            return
        for name in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch"):
            setattr(plateau, name, schedule[name])
        self.scheduled = [
            now * (then / began) if now != began else then
            for now, then, began in zip(
                self._began, state["scheduled"], state["began"], strict=True
            )
        ]
        self._set(1.0)
