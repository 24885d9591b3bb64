"""Whether batches and schedule last as long as a run; asked before it trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, PolynomialLR

from ..training.data import batch_count
from ..training.progress import Progress
from ..training.training import Training
from ..training.unfit import UnfitError

ENDS: Final = {CosineAnnealingLR: "T_max", OneCycleLR: "total_steps", PolynomialLR: "total_iters"}
"""torch's schedules that have an end, each with the attribute that tells where."""


def check_batches(training: Training) -> None:
    """Refuse batches that can be gone through once only, where they are needed more often, and a
    run that is to stop early by validations that it has not.

    Raises:
        UnfitError: they come from an iterator, or there are none.
    """
    if training.early_stop is not None and training.validation is None:
        raise UnfitError(
            "early_stop waits for validations, and there are none",
            "give the Training its validation, or leave early_stop out",
        )
    for name, batches in (("batches", training.batches), ("validation", training.validation)):
        if training.epochs > 1 and isinstance(batches, Iterator):
            raise UnfitError(
                f"{name} is a {type(batches).__name__}, which gives its batches once, and "
                f"{training.epochs:,} epochs go through it again",
                "give a DataLoader, a list, or an object whose __iter__ begins anew",
            )


def check_reach(training: Training, progress: Progress) -> tuple[str, ...]:
    """What a person has to know of where the schedule ends; nothing if that is where the run does,
    or where nobody can tell.

    Args:
        training: with the schedule where the run begins.
        progress: where that is.

    Raises:
        UnfitError: a run of so many epochs is longer than a schedule that can't go on.
    """
    scheduler, per, epochs = training.scheduler, training.scheduler_per, training.epochs
    left, length = _moves(training, progress), _length(scheduler)
    if scheduler is None or length is None or per not in left:
        return ()
    made = scheduler.last_epoch + left[per]
    fails = isinstance(scheduler, OneCycleLR) and made > length
    if abs(made - length) <= 1 and not fails:  # people count from 0 and from 1
        return ()
    text = (
        f"{type(scheduler).__name__} is made for {length:,} steps, and {epochs:,} epochs make "
        f"{made:,}, one an {per}"
    )
    other = "epoch" if per == "update" else "update"
    if length == _moves(training, Progress()).get(other):
        text += f'; scheduler_per="{other}" makes {length:,}'
    if fails:
        raise UnfitError(text, "give it as many steps, or train fewer epochs")
    if made < length:
        return (f"{text}; it does not reach its end",)
    falls = isinstance(scheduler, CosineAnnealingLR)
    return (f"{text}; behind its end the lr {'rises again' if falls else 'stays where it is'}",)


def _length(scheduler: Any) -> int | None:
    """The steps until a schedule's end; None where it has none, or hides it."""
    for kind, name in ENDS.items():
        if isinstance(scheduler, kind):
            return int(getattr(scheduler, name))
    return None


def _moves(training: Training, progress: Progress) -> dict[str, int]:
    """How often a schedule is still stepped, by what for; no updates where a loader can't tell its
    length.
    """
    epochs = training.epochs - progress.epoch
    moves = {"epoch": epochs - progress.trained}
    batches, window = batch_count(training.batches), training.accumulate
    if batches is not None:
        whole = -(-batches // window)
        begun = whole if progress.trained or progress.batch >= batches else progress.batch // window
        moves["update"] = epochs * whole - begun
    return moves
