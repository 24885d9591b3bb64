"""Validation: the model judged in eval mode, without gradients, leaving no trace on the run."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ..protocol.steps import Step, Steps
from .data import Feed, TensorBatches
from .progress import Progress
from .rng import everything_untouched, untouched_rng
from .training import Training


class Taker(Protocol):
    """What takes in a validation's batches, such as a `Meter`."""

    def update(self, outputs: Any, labels: Any, loss: Tensor) -> None:
        """Add a batch: outputs and labels (B, ...), loss () the mean over the batch."""


def validate(training: Training, at: Progress, meter: Taker) -> Steps:
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
    at.val_batch = 0
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
            at.val_batch += 1
        at.val_batch = 0
    except GeneratorExit:
        at.val_batch = 0  # given up; where a validation fails is told
        raise
    finally:
        for module, mode in modes:
            module.training = mode
