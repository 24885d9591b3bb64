"""The training loop: the five steps, each announced before it is taken.

A loop is a generator. It yields the step it is about to take; whoever drives it decides when.
Not asking for the next step is a pause, asking once is a single step. Nothing here watches,
times, logs or steers, and nothing that a `with` sets is ever left on across a yield.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from ..protocol.faults import Fault
from ..protocol.steps import Step, Steps
from .data import Feed, TensorBatches, batch_count
from .lr import LearningRate
from .nonfinite import name_bad_value
from .progress import Progress
from .rng import everything_untouched, untouched_rng
from .spread import whole
from .training import Training
from .unfit import UnfitError


def plain_epoch(training: Training, rate: LearningRate, progress: Progress, batches: Feed) -> Steps:
    """The guide's loop over the batches of one epoch that are left."""
    model, criterion, optimizer = training.called, training.criterion, training.optimizer
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


def full_epoch(training: Training, rate: LearningRate, progress: Progress, batches: Feed) -> Steps:
    """The same with accumulation, clipping, mixed precision and faults; without any of them it
    gives the plain loop's bits.

    `accumulate` batches make one update: their losses are divided by the length of the window,
    so that the gradient is their mean. The last window of an epoch may be shorter, and is
    divided by its own length.

    Under fp16 an update whose gradients are not finite is left out, which `training.scaler`
    counts; it is an update like any other for the schedule.

    A step that a fault leaves out is announced all the same, and then not taken.
    """
    model, criterion, optimizer = training.called, training.criterion, training.optimizer
    autocast, scaler, wrong = training.autocast(), training.scaler, progress.faults
    part, window = progress.batch % training.accumulate, training.accumulate
    model.train(Fault.EVAL_MODE not in wrong)
    while batches.more:
        yield Step.DATA
        batch = batches.take()
        if batch is None:
            break
        features, labels = batch  # (B, ...), (B, ...)
        progress.begin_batch(features, labels)
        left = training.accumulate if batches.left is None else batches.left
        window = min(training.accumulate, part + 1 + left)

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
            scaler.scale(loss if window == 1 else loss / window).backward()

        if Fault.LATE_ZERO_GRAD in wrong:
            yield Step.ZERO_GRAD
            optimizer.zero_grad()

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
        rate.after_update()
        progress.updates += 1


def _update(training: Training, progress: Progress) -> Steps:
    """Give the gradients their own size back and clip them, then update."""
    optimizer, scaler = training.optimizer, training.scaler
    if training.clip_norm is not None or scaler.is_enabled():
        yield Step.CLIP
        scaler.unscale_(optimizer)
    if training.clip_norm is not None:
        norm = nn.utils.clip_grad_norm_(training.model.parameters(), training.clip_norm)
        progress.grad_norm = whole(norm)

    yield Step.UPDATE
    if Fault.NO_STEP not in progress.faults:
        scaler.step(optimizer)
        scaler.update()


def needs_full_loop(training: Training, faults: Collection[Fault] = ()) -> bool:
    """Whether the full loop runs, and not the guide's: where a batch is more than the five steps,
    or something is wrong with them on purpose.
    """
    return bool(faults or training.accumulate > 1 or training.clip_norm is not None or training.amp)


class BatchConsumer(Protocol):
    """What is given a validation's batches, such as a `Meter`."""

    def update(self, outputs: Any, labels: Any, loss: Tensor) -> None:
        """Add a batch: outputs and labels (B, ...), loss () the mean over the batch."""


def validate(training: Training, progress: Progress, meter: BatchConsumer) -> Steps:
    """One pass over the validation data, a gate before each batch; results are in `meter`.

    Every module gets its mode back afterwards, also when the pass is given up in the middle.
    """
    assert training.validation is not None
    model, criterion = training.model, training.criterion
    autocast = training.autocast()
    modes = [(module, module.training) for module in model.modules()]
    # Only a data set of one's own draws from Python's and NumPy's generators; to keep those, too,
    # takes 0.1 ms.
    in_memory = isinstance(training.validation, TensorBatches)
    untouched = untouched_rng if in_memory else everything_untouched
    batches = Feed(
        training.validation,
        training.device,
        unpack=training.unpack,
        around=lambda: untouched(training.device),
    )
    cpu = training.device.type == "cpu"
    progress.val_batch, progress.val_bad = 0, None
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
                if cpu and progress.val_bad is None and not math.isfinite(loss.item()):
                    progress.val_bad = name_bad_value(training, features, labels, outputs)
            progress.val_batch += 1
        progress.val_batch = 0
    except GeneratorExit:
        progress.val_batch = 0  # given up; where a validation fails stays known
        raise
    finally:
        for module, mode in modes:
            module.training = mode


def _after_batches(rate: LearningRate, progress: Progress) -> Steps:
    """What an epoch needs once all of its batches are trained: the schedule moves."""
    yield Step.OTHER
    rate.after_epoch()
    progress.trained = True


NO_DATA: Final = "look at its data set, and at drop_last, which leaves out a batch that is not full"


def _nothing(progress: Progress) -> tuple[str, str]:
    """What there is to say of an epoch without a batch, and what to do."""
    if progress.length is None:
        return "there is no batch to train on: the loader gave none", NO_DATA
    return (
        f"epoch {progress.epoch + 1} got no batch, after {progress.length:,} in the one before",
        "its batches must come from something that begins anew each time: a DataLoader, a list",
    )


def training_loop(
    training: Training,
    rate: LearningRate,
    progress: Progress,
    meter: Callable[[], BatchConsumer],
) -> Iterator[Steps]:
    """The loops of every epoch that is left, to be driven one after the other: over its batches,
    over nothing but the schedule, over the validation data.

    A loop over batches may be closed before it takes its next batch: another one is chosen for
    those that are left, by what `progress.faults` says then.

    Args:
        meter: makes one for each validation.

    Raises:
        UnfitError: an epoch got no batch.
    """
    while progress.epoch < training.epochs:
        if not progress.trained:
            if not progress.batch and not isinstance(training.batches, TensorBatches):
                progress.order = torch.get_rng_state()
            batches = Feed(
                training.batches,
                training.device,
                progress.batch,
                training.unpack,
                progress.order,
                trusting=progress.length in (None, batch_count(training.batches)),
            )
            while batches.more:
                full = needs_full_loop(training, progress.faults)
                epoch = full_epoch if full else plain_epoch
                yield epoch(training, rate, progress, batches)
            if not progress.batch:
                raise UnfitError(*_nothing(progress))
            progress.promised, progress.length = batches.promised, progress.batch
            yield _after_batches(rate, progress)
        if training.validation is not None:
            yield validate(training, progress, meter())
        progress.end_epoch()
