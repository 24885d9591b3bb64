"""The training loop: the five steps, bare, each announced before it is taken.

A loop is a generator. It yields the step it is about to take; whoever drives it decides when.
Not asking for the next step is a pause, asking once is a single step. Nothing here watches,
times, logs or steers, and nothing that a `with` sets is ever left on across a yield.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from ..protocol.faults import Fault
from ..protocol.steps import Step, Steps
from .data import Feed, TensorBatches
from .lr import LearningRate
from .metrics import Meter
from .progress import Progress
from .rng import everything_untouched, untouched_rng
from .training import Training


def full_epoch(training: Training, rate: LearningRate, progress: Progress, batches: Feed) -> Steps:
    """The batches of one epoch with all that; without any of it the plain loop's bits.

    `accumulate` batches make one update: their losses are divided by the length of the window,
    so that the gradient is their mean. The last window of an epoch may be shorter, and is
    divided by its own length.

    Under fp16 an update whose gradients are not finite is left out, which `training.scaler`
    counts; it is an update like any other for the schedule.
    """
    model, criterion, optimizer = training.model, training.criterion, training.optimizer
    autocast, scaler = training.autocast(), training.scaler
    model.train()
    part, window = progress.batch % training.accumulate, training.accumulate
    while batches.more:
        yield Step.DATA
        batch = batches.take()
        if batch is None:
            break
        features, labels = batch  # (B, ...), (B, ...)
        progress.begin_batch(features, labels)
        if batches.left is not None:
            window = min(training.accumulate, part + 1 + batches.left)

        if part == 0:
            yield Step.ZERO_GRAD
            optimizer.zero_grad()

        yield Step.FORWARD
        with autocast:
            outputs = model(features)  # (B, ...)
        progress.outputs = outputs

        yield Step.LOSS
        with autocast:
            loss = criterion(outputs, labels)  # ()
        progress.loss = loss

        yield Step.BACKWARD
        scaler.scale(loss if window == 1 else loss / window).backward()

        part += 1
        if part == window:
            yield from _update(training, progress)
        yield Step.OTHER
        if part == window:
            rate.after_update()
        progress.end_batch(updated=part == window)
        part %= window

    if part:  # only a loader that could not tell its length leaves a window open
        for p in model.parameters():
            if p.grad is not None:
                p.grad.mul_(window / part)
        yield from _update(training, progress)
        yield Step.OTHER
        rate.after_update()
        progress.updates += 1


def _update(training: Training, progress: Progress) -> Steps:
    """Give the gradients their own size back and clip them, then update."""
    optimizer, scaler = training.optimizer, training.scaler
    if training.clip_norm is not None or scaler.is_enabled():
        yield Step.OTHER
        scaler.unscale_(optimizer)
    if training.clip_norm is not None:
        progress.grad_norm = nn.utils.clip_grad_norm_(
            training.model.parameters(), training.clip_norm
        )

    yield Step.UPDATE
    scaler.step(optimizer)
    scaler.update()


NOT_SCALED: Final = (
    "the loop can't be broken under amp fp16: its GradScaler divides what is left in .grad, and "
    "refuses an update without gradients; amp bf16 or off shows it"
)


def broken_epoch(
    training: Training, rate: LearningRate, progress: Progress, batches: Feed
) -> Steps:
    """The batches of one epoch, with what `progress.switches` names left out or misplaced.

    A step that is left out is announced all the same, and then not taken.

    Raises:
        ValueError: the loss is scaled, as it is for fp16.
    """
    if training.scaler.is_enabled():
        raise ValueError(NOT_SCALED)
    model, criterion, optimizer = training.model, training.criterion, training.optimizer
    autocast = training.autocast()
    wrong = progress.faults
    model.train(Fault.EVAL_MODE not in wrong)
    part, window = progress.batch % training.accumulate, training.accumulate
    while batches.more:
        yield Step.DATA
        batch = batches.take()
        if batch is None:
            return
        features, labels = batch  # (B, ...), (B, ...)
        progress.begin_batch(features, labels)
        if batches.left is not None:
            window = min(training.accumulate, part + 1 + batches.left)

        if part == 0:
            yield Step.ZERO_GRAD
            if not wrong & {Fault.NO_ZERO_GRAD, Fault.LATE_ZERO_GRAD}:
                optimizer.zero_grad()

        yield Step.FORWARD
        with autocast:
            outputs = model(features)  # (B, ...)
        progress.outputs = outputs

        yield Step.LOSS
        with autocast:
            loss = criterion(outputs, labels)  # ()
        progress.loss = loss

        yield Step.BACKWARD
        if Fault.NO_BACKWARD not in wrong:
            (loss if window == 1 else loss / window).backward()

        if Fault.LATE_ZERO_GRAD in wrong:
            yield Step.ZERO_GRAD
            optimizer.zero_grad()

        part += 1
        if part == window:
            if training.clip_norm is not None:
                yield Step.OTHER
                progress.grad_norm = nn.utils.clip_grad_norm_(
                    model.parameters(), training.clip_norm
                )

            yield Step.UPDATE
            if Fault.NO_STEP not in wrong:
                optimizer.step()

        yield Step.OTHER
        if part == window:
            rate.after_update()
        progress.end_batch(updated=part == window)
        part %= window


class Taker(Protocol):
    """What takes in a validation's batches, such as a `Meter`."""

    def update(self, outputs: Any, labels: Any, loss: Tensor) -> None:
        """Add a batch: outputs and labels (B, ...), loss () the mean over the batch."""


def validate(training: Training, progress: Progress, meter: Taker) -> Steps:
    """One pass over the validation data, a gate before each batch; results are in `meter`.

    Every module gets its mode back afterwards, also when the pass is given up in the middle.
    """
    assert training.validation is not None
    model, criterion = training.model, training.criterion
    autocast = training.autocast()
    modes = [(module, module.training) for module in model.modules()]
    batches = Feed(training.validation, training.device, unpack=training.unpack)
    # Only a data set of one's own draws from Python's and NumPy's generators; to keep those, too,
    # takes 0.1 ms.
    in_memory = isinstance(training.validation, TensorBatches)
    untouched = untouched_rng if in_memory else everything_untouched
    progress.val_batch = 0
    model.eval()
    try:
        while batches.more:
            yield Step.VALIDATE
            with torch.no_grad(), untouched(training.device):
                batch = batches.take()
                if batch is None:
                    break
                features, labels = batch  # (B, ...), (B, ...)
                with autocast:
                    outputs = model(features)  # (B, ...)
                    loss = criterion(outputs, labels)  # ()
                meter.update(outputs, labels, loss)
            progress.val_batch += 1
        progress.val_batch = 0
    except GeneratorExit:
        progress.val_batch = 0  # given up; where a validation fails is told
        raise
    finally:
        for module, mode in modes:
            module.training = mode


EpochLoop = Callable[[Training, LearningRate, Progress, Feed], Steps]


class RelayError(Exception):
    """Thrown into a loop between two batches: another loop is to go on with the next one."""


def plain_epoch(training: Training, rate: LearningRate, progress: Progress, batches: Feed) -> Steps:
    """The guide's loop over the batches of one epoch that are left."""
    model, criterion, optimizer = training.model, training.criterion, training.optimizer
    model.train()
    while batches.more:
        yield Step.DATA
        batch = batches.take()
        if batch is None:
            return
        features, labels = batch  # (B, ...), (B, ...)
        progress.begin_batch(features, labels)

        yield Step.ZERO_GRAD
        optimizer.zero_grad()

        yield Step.FORWARD
        outputs = model(features)  # (B, ...)
        progress.outputs = outputs

        yield Step.LOSS
        loss = criterion(outputs, labels)  # ()
        progress.loss = loss

        yield Step.BACKWARD
        loss.backward()

        yield Step.UPDATE
        optimizer.step()

        yield Step.OTHER
        rate.after_update()
        progress.end_batch(updated=True)


def choose_epoch(training: Training, progress: Progress) -> EpochLoop:
    """The plain loop for the guide's case, the fuller one where it is needed, the broken one
    where that is wanted.
    """
    if progress.faults:
        return broken_epoch
    full = training.accumulate > 1 or training.clip_norm is not None or training.amp is not None
    return full_epoch if full else plain_epoch


def training_loop(
    training: Training,
    rate: LearningRate,
    progress: Progress,
    meter: Callable[[], Meter],
) -> Steps:
    """Every epoch that is left: its batches, the schedule, the validation."""
    while progress.epoch < training.epochs:
        if not progress.trained:
            batches = Feed(training.batches, training.device, progress.batch, training.unpack)
            while True:
                epoch = choose_epoch(training, progress)
                with suppress(RelayError):
                    yield from epoch(training, rate, progress, batches)
                    break
            yield Step.OTHER
            rate.after_epoch()
            progress.trained = True
        if training.validation is not None:
            yield from validate(training, progress, meter())
        progress.end_epoch()
