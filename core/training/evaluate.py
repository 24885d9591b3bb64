"""Evaluating a model without training it: metrics, confusion matrix, residuals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from .device import computing_with
from .loop import validate
from .metrics import Meter, errors, meter_for
from .predictions import chosen_classes, predictions
from .progress import Progress, samples_in
from .training import Amp, Training, autocast

BINS: Final = 12
"""Of the histogram of residuals."""


@dataclass(frozen=True, slots=True)
class Residuals:
    """How label minus prediction is spread; all in the labels' units."""

    mean: float
    deviation: float
    low: float
    median: float
    high: float
    counts: tuple[int, ...]
    """In equal bins from `low` to `high`."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model is on one part of the data."""

    part: str
    """validation or test."""
    samples: int
    loss: float | None
    """Mean over the samples (or tokens)."""
    metrics: tuple[tuple[str, float], ...]
    """By name, the task's own first."""
    confusion: tuple[tuple[int, ...], ...] | None = None
    """Counts [label][prediction]; None unless each sample has one class."""
    residuals: Residuals | None = None
    """For regression."""


class _Findings:
    """A meter that also keeps what a sum can't tell."""

    def __init__(self, training: Training) -> None:
        self.meter: Meter = meter_for(training.task, training.metrics, training.criterion)
        self._criterion = training.criterion
        self.samples = 0
        self._task = training.task.name
        self._counts: Tensor | None = None
        self._residuals: list[Tensor] = []

    def update(self, outputs: Any, labels: Any, loss: Tensor) -> None:
        """Add a batch."""
        self.meter.update(outputs, labels, loss)
        self.samples += samples_in(labels, outputs)
        if self._task == "classification":
            self._confuse(outputs, labels)
        elif self._task == "regression":
            error, _ = errors(outputs, labels)
            self._residuals.append(-error.flatten().double().cpu())  # (N,)

    def _confuse(self, outputs: Any, labels: Tensor) -> None:
        """Count the classes of labels against those that the outputs choose."""
        true, chosen, classes = chosen_classes(predictions(outputs), labels, self._criterion)
        true, chosen = true.cpu(), chosen.cpu()
        known = true >= 0
        pairs = true[known] * classes + chosen[known]
        counts = torch.bincount(pairs, minlength=classes**2).view(classes, classes)
        self._counts = counts if self._counts is None else self._counts + counts

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...] | None:
        """Counts by label and prediction."""
        return None if self._counts is None else tuple(map(tuple, self._counts.tolist()))

    @property
    def residuals(self) -> Residuals | None:
        """Their spread; None without any, or where one is NaN or infinite."""
        values = torch.cat(self._residuals) if self._residuals else torch.empty(0)
        if not len(values) or not values.isfinite().all():
            return None
        low, high = values.min().item(), values.max().item()
        counts = torch.histc(values, BINS, low, high) if high > low else torch.tensor([len(values)])
        return Residuals(
            mean=values.mean().item(),
            deviation=values.std(correction=0).item(),
            low=low,
            median=values.median().item(),
            high=high,
            counts=tuple(int(count) for count in counts.tolist()),
        )


def evaluate(training: Training) -> tuple[Evaluation, ...]:
    """Evaluate the model as it is, on the validation data and the test data, where there are any.

    Nothing is trained: weights, buffers and torch's generators stay as they were.
    """
    with computing_with(training.threads):
        return tuple(
            _evaluate_part(replace(training, validation=batches), part)
            for part, batches in (("validation", training.validation), ("test", training.test))
            if batches is not None
        )


def outputs_for(
    model: nn.Module, features: Tensor, batch_size: int, device: torch.device, amp: Amp | None
) -> Tensor:
    """What a model gives for features (N, ...) without labels, as an evaluation computes it.

    The model is moved to the device and left in eval mode; the outputs (N, ...) are on the CPU.
    """
    model = model.to(device).eval()
    with torch.no_grad(), autocast(amp, device):
        found = [model(batch.to(device)).float().cpu() for batch in features.split(batch_size)]
    return torch.cat(found)  # (N, ...)


def _evaluate_part(training: Training, part: str) -> Evaluation:
    findings = _Findings(training)
    for _ in validate(training, Progress(), findings):
        pass
    loss, metrics = findings.meter.result()
    return Evaluation(
        part, findings.samples, loss, tuple(metrics.items()), findings.confusion, findings.residuals
    )
