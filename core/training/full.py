"""The fuller loop: the same five steps with accumulation, clipping and mixed precision."""

from __future__ import annotations

from torch import nn

from ..protocol.steps import Step, Steps
from .data import Feed
from .lr import LearningRate
from .progress import Progress
from .training import Training


def full_epoch(training: Training, rate: LearningRate, at: Progress, batches: Feed) -> Steps:
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
    part, window = at.batch % training.accumulate, training.accumulate
    while batches.more:
        yield Step.DATA
        batch = batches.take()
        if batch is None:
            break
        features, labels = batch  # (B, ...), (B, ...)
        at.begin_batch(features, labels)
        if batches.left is not None:
            window = min(training.accumulate, part + 1 + batches.left)

        if part == 0:
            yield Step.ZERO_GRAD
            optimizer.zero_grad()

        yield Step.FORWARD
        with autocast:
            outputs = model(features)  # (B, ...)
        at.outputs = outputs

        yield Step.LOSS
        with autocast:
            loss = criterion(outputs, labels)  # ()
        at.loss = loss

        yield Step.BACKWARD
        scaler.scale(loss if window == 1 else loss / window).backward()

        part += 1
        if part == window:
            yield from _update(training, at)
        yield Step.OTHER
        if part == window:
            rate.after_update()
        at.end_batch(updated=part == window)
        part %= window

    if part:  # only a loader that could not tell its length leaves a window open
        for p in model.parameters():
            if p.grad is not None:
                p.grad.mul_(window / part)
        yield from _update(training, at)
        yield Step.OTHER
        rate.after_update()
        at.updates += 1


def _update(training: Training, at: Progress) -> Steps:
    """Give the gradients their own size back and clip them, then update."""
    optimizer, scaler = training.optimizer, training.scaler
    if training.clip_norm is not None or scaler.is_enabled():
        yield Step.OTHER
        scaler.unscale_(optimizer)
    if training.clip_norm is not None:
        at.grad_norm = nn.utils.clip_grad_norm_(training.model.parameters(), training.clip_norm)

    yield Step.UPDATE
    scaler.step(optimizer)
    scaler.update()
