"""Validation metrics, added up batch by batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .tasks import Task


def meter_for(task: Task) -> Meter:
    """A fresh meter for one pass over the validation data."""
    return {
        "classification": ClassificationMeter,
        "regression": RegressionMeter,
        "language-model": PerplexityMeter,
        "custom": Meter,
    }[task.name]()


class Meter:
    """Adds up one validation pass as (sums, count), so that several could be merged.

    Sums stay on the device until `result`, so that a batch costs no synchronisation.
    """

    def __init__(self) -> None:
        self._sums: list[Tensor] = []

    def update(self, outputs: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Add a batch: outputs and labels (B, ...), loss () the mean over the batch."""
        count = self.count(outputs, labels)
        parts = [loss.new_tensor(count), loss * count, *self.sums(outputs, labels)]
        self._sums.append(torch.stack([p.detach().to(_wide(loss)) for p in parts]))

    def count(self, outputs: Tensor, labels: Tensor) -> int:
        """What the batch's mean loss was taken over: samples (or tokens)."""
        return len(labels)

    def sums(self, outputs: Tensor, labels: Tensor) -> list[Tensor]:
        """The task's own sums for one batch, each of shape ()."""
        return []

    def result(self) -> tuple[float | None, dict[str, float]]:
        """The mean loss and the metrics by name; (None, {}) if nothing was added."""
        if not self._sums:
            return None, {}
        count, loss, *rest = torch.stack(self._sums).cpu().double().sum(0).tolist()
        return loss / count, self.metrics(count, loss / count, rest)

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
