"""Validation metrics, added up batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..protocol.steps import Task
from .progress import samples_in

Metrics = Mapping[str, Callable[[Any, Any], Tensor | float]]
"""Functions of one's own by name: from outputs and labels of a batch to their mean, shape ()."""


def meter_for(task: Task, metrics: Metrics | None = None) -> Meter:
    """A fresh meter for one pass over the validation data."""
    return {
        "classification": ClassificationMeter,
        "regression": RegressionMeter,
        "language-model": PerplexityMeter,
        "custom": Meter,
    }[task.name](metrics or {})


class Meter:
    """Adds up one validation pass as (sums, count), so that several could be merged.

    Sums stay on the device until `result`, so that a batch costs no synchronisation.
    """

    def __init__(self, own: Metrics | None = None) -> None:
        self._own = dict(own or {})
        self._sums: list[Tensor] = []

    def update(self, outputs: Any, labels: Any, loss: Tensor) -> None:
        """Add a batch: outputs and labels (B, ...), loss () the mean over the batch."""
        loss, count = _whole(loss), self.count(outputs, labels)
        parts = [loss.new_tensor(count), loss * count, *self._own_sums(outputs, labels, loss)]
        parts += self.sums(outputs, labels)
        self._sums.append(torch.stack([p.detach().to(loss.device, _wide(loss)) for p in parts]))

    def _own_sums(self, outputs: Any, labels: Any, loss: Tensor) -> list[Tensor]:
        """The samples, and each metric of the person's own times them, shapes ()."""
        if not self._own:
            return []
        samples = samples_in(labels, outputs) or 1
        values = [
            _whole(torch.as_tensor(measure(outputs, labels))) for measure in self._own.values()
        ]
        return [loss.new_tensor(samples), *(value * samples for value in values)]

    def count(self, outputs: Any, labels: Any) -> int:
        """How many samples (or tokens) the batch's mean loss is over."""
        return samples_in(labels, outputs) or 1  # of what holds no tensor, a batch counts once

    def sums(self, outputs: Tensor, labels: Tensor) -> list[Tensor]:
        """The task's own sums for one batch, each of shape ()."""
        return []

    def result(self) -> tuple[float | None, dict[str, float]]:
        """The mean loss and the metrics by name; (None, {}) if nothing was added."""
        if not self._sums:
            return None, {}
        count, loss, *rest = torch.stack(self._sums).cpu().double().sum(0).tolist()
        own: dict[str, float] = {}
        if self._own:
            samples, *rest = rest
            own = {name: rest.pop(0) / samples for name in self._own}
        return loss / count, self.metrics(count, loss / count, rest) | own

    def metrics(self, count: float, loss: float, sums: list[float]) -> dict[str, float]:
        """The task's metrics from the summed `sums`."""
        return {"val_loss": loss}


class ClassificationMeter(Meter):
    """Accuracy: the share of labels that the largest output names.

    Outputs (B, C, ...) with labels (B, ...) of class numbers, or with labels (B, C, ...) of
    probabilities; a single output (B,) or (B, 1) counts as a logit of class 1.
    """

    def count(self, outputs: Tensor, labels: Tensor) -> int:
        return labels.numel() if labels.dim() < outputs.dim() else len(labels)

    def sums(self, outputs: Tensor, labels: Tensor) -> list[Tensor]:
        if outputs.shape == labels.shape and (outputs.dim() == 1 or outputs.shape[1] == 1):
            right = (outputs > 0) == (labels > 0.5)
        elif outputs.shape == labels.shape:
            right = outputs.argmax(1) == labels.argmax(1)
        else:
            right = outputs.argmax(1) == labels
        return [right.sum()]

    def metrics(self, count: float, loss: float, sums: list[float]) -> dict[str, float]:
        return {"accuracy": sums[0] / count}


class RegressionMeter(Meter):
    """R² (1 minus the residuals' share of the labels' variance) and the mean absolute error."""

    def sums(self, outputs: Tensor, labels: Tensor) -> list[Tensor]:
        y = labels.to(_wide(outputs))
        error = outputs.to(y.dtype) - y
        n = y.new_tensor(y.numel())
        return [n, y.sum(), (y * y).sum(), (error * error).sum(), error.abs().sum()]

    def metrics(self, count: float, loss: float, sums: list[float]) -> dict[str, float]:
        n, y, yy, ee, e = sums
        spread = yy - y * y / n
        return {"r2": 1 - ee / spread if spread > 0 else math.nan, "mae": e / n}


class PerplexityMeter(Meter):
    """Perplexity: exp of the mean cross entropy per token, labels (B, T)."""

    def count(self, outputs: Tensor, labels: Tensor) -> int:
        return labels.numel()

    def metrics(self, count: float, loss: float, sums: list[float]) -> dict[str, float]:
        return {"perplexity": math.inf if loss >= 700 else math.exp(loss)}


def _wide(like: Tensor) -> torch.dtype:
    """Double where the device has it (MPS does not)."""
    return torch.float32 if like.device.type == "mps" else torch.float64


def _whole(value: Tensor) -> Tensor:
    """Half precision, which mixed precision may give, is too coarse to be added up in."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
