"""The training loop: the five steps, bare, each announced before it is taken.

A loop is a generator. It yields the step it is about to take; whoever drives it decides when.
Not asking for the next step is a pause, asking once is a single step. Nothing here watches,
times, logs or steers, and nothing that a `with` sets is ever left on across a yield.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ..protocol.steps import Step, Steps
from .broken import broken_epoch
from .data import Feed
from .full import full_epoch
from .lr import LearningRate
from .metrics import Meter
from .progress import Progress
from .training import Training
from .validate import validate

Epoch = Callable[[Training, LearningRate, Progress, Feed], Steps]


class RelayError(Exception):
    """Thrown into a loop between two batches: another loop is to go on with the next one."""


def plain_epoch(training: Training, rate: LearningRate, at: Progress, batches: Feed) -> Steps:
    """The guide's loop over the batches of one epoch that are left."""
    model, criterion, optimizer = training.model, training.criterion, training.optimizer
    model.train()
    while batches.more:
        yield Step.DATA
        batch = batches.take()
        if batch is None:
            return
        features, labels = batch  # (B, ...), (B, ...)
        at.begin_batch(features, labels)

        yield Step.ZERO_GRAD
        optimizer.zero_grad()

        yield Step.FORWARD
        outputs = model(features)  # (B, ...)
        at.outputs = outputs

        yield Step.LOSS
        loss = criterion(outputs, labels)  # ()
        at.loss = loss

        yield Step.BACKWARD
        loss.backward()

        yield Step.UPDATE
        optimizer.step()

        yield Step.OTHER
        rate.after_update()
        at.end_batch(updated=True)


def choose_epoch(training: Training, at: Progress) -> Epoch:
    """The plain loop for the guide's case, the fuller one where it is needed, the broken one
    where that is wanted.
    """
    if at.switches:
        return broken_epoch
    full = training.accumulate > 1 or training.clip_norm is not None or training.amp is not None
    return full_epoch if full else plain_epoch


def training_loop(
    training: Training,
    rate: LearningRate,
    at: Progress,
    meter: Callable[[], Meter],
) -> Steps:
    """Every epoch that is left: its batches, the schedule, the validation."""
    while at.epoch < training.epochs:
        if not at.trained:
            batches = Feed(training.batches, training.device, at.batch, training.unpack)
            while True:
                epoch = choose_epoch(training, at)
                with suppress(RelayError):
                    yield from epoch(training, rate, at, batches)
                    break
            yield Step.OTHER
            rate.after_epoch()
            at.trained = True
        if training.validation is not None:
            yield from validate(training, at, meter())
        at.end_epoch()
