"""The loop with something wrong in it on purpose, for whoever wants to see what breaks."""

from __future__ import annotations

from typing import Final

from torch import nn

from ..protocol.faults import Switch
from ..protocol.steps import Step, Steps
from .data import Feed
from .lr import LearningRate
from .progress import Progress
from .training import Training

NOT_SCALED: Final = (
    "the loop can't be broken under amp fp16: its GradScaler divides what is left in .grad, and "
    "refuses an update without gradients; amp bf16 or off shows it"
)


def broken_epoch(training: Training, rate: LearningRate, at: Progress, batches: Feed) -> Steps:
    """The batches of one epoch, with what `at.switches` names left out or misplaced.

    A step that is left out is announced all the same, and then not taken.

    Raises:
        ValueError: the loss is scaled, as it is for fp16.
    """
    if training.scaler.is_enabled():
        raise ValueError(NOT_SCALED)
    model, criterion, optimizer = training.model, training.criterion, training.optimizer
    autocast = training.autocast()
    wrong = at.switches
    model.train(Switch.EVAL_MODE not in wrong)
    part, window = at.batch % training.accumulate, training.accumulate
    while batches.more:
        yield Step.DATA
        batch = batches.take()
        if batch is None:
            return
        features, labels = batch  # (B, ...), (B, ...)
        at.begin_batch(features, labels)
        if batches.left is not None:
            window = min(training.accumulate, part + 1 + batches.left)

        if part == 0:
            yield Step.ZERO_GRAD
            if not wrong & {Switch.NO_ZERO_GRAD, Switch.LATE_ZERO_GRAD}:
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
        if Switch.NO_BACKWARD not in wrong:
            (loss if window == 1 else loss / window).backward()

        if Switch.LATE_ZERO_GRAD in wrong:
            yield Step.ZERO_GRAD
            optimizer.zero_grad()

        part += 1
        if part == window:
            if training.clip_norm is not None:
                yield Step.OTHER
                at.grad_norm = nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)

            yield Step.UPDATE
            if Switch.NO_STEP not in wrong:
                optimizer.step()

        yield Step.OTHER
        if part == window:
            rate.after_update()
        at.end_batch(updated=part == window)
        part %= window
