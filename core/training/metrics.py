"""Validation metrics, added up batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..protocol.steps import Task
from .own_code import first_line
from .predictions import chosen_classes, predictions
from .progress import samples_in
from .unfit import UnfitError

Metrics = Mapping[str, Callable[[Any, Any], Tensor | float]]
"""Functions of one's own by name: from outputs and labels of a batch to their mean, shape ()."""


def meter_for(task: Task, metrics: Metrics | None = None, criterion: Any = None) -> Meter:
    """A fresh meter for one pass over the validation data.

    Args:
        task: what is measured.
        metrics: of a person's own, besides.
        criterion: tells which labels it ignores, and whether outputs are probabilities.
    """
    if task.name == "classification":
        return ClassificationMeter(metrics, criterion)
    kinds = {"regression": RegressionMeter, "language-model": PerplexityMeter}
    return kinds.get(task.name, Meter)(metrics)


class Meter:
    """Adds up one validation pass as (sums, count), so that several could be merged.

    Sums stay on the device until `result`, so that a batch costs no synchronisation.
    """

    def __init__(self, own: Metrics | None = None) -> None:
        self._own = dict(own or {})
        self._sums: list[Tensor] = []
        self._first_bad: int | None = None
        """The same as `first_bad`, of several ranks."""

    def update(self, outputs: Any, labels: Any, loss: Tensor) -> None:
        """Add a batch: outputs and labels (B, ...), loss () the mean over the batch.

        Raises:
            TypeError: the task can't measure such outputs or labels.
        """
        loss = _whole(loss).reshape(())
        sums = self.sums(outputs, labels)
        count = loss.new_tensor(self.count(outputs, labels))
        parts = [count, loss * count, *self._own_sums(outputs, labels, loss), *sums]
        self._sums.append(torch.stack([p.detach().to(loss.device, _wide(loss)) for p in parts]))

    def _own_sums(self, outputs: Any, labels: Any, loss: Tensor) -> list[Tensor]:
        """The samples, and each metric of the person's own times them, shapes ()."""
        if not self._own:
            return []
        samples = samples_in(labels, outputs) or 1
        values = [_value(name, measure, outputs, labels) for name, measure in self._own.items()]
        return [loss.new_tensor(samples), *(value * samples for value in values)]

    def count(self, outputs: Any, labels: Any) -> int:
        """How many samples (or tokens) the batch's mean loss is over."""
        return samples_in(labels, outputs) or 1  # of what holds no tensor, a batch counts once

    def sums(self, outputs: Any, labels: Any) -> list[Tensor]:
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

    def merge(self, exchange: Callable[[Any], list[Any]]) -> None:
        """Add what other ranks have counted.

        Args:
            exchange: gives what each rank brings, this one too, in an order that all have.
        """
        mine = torch.stack(self._sums).cpu() if self._sums else None
        parts = exchange((mine, self.first_bad))
        self._sums = [row for rows, _ in parts if rows is not None for row in rows]
        self._first_bad = min((bad for _, bad in parts if bad is not None), default=None)

    @property
    def first_bad(self) -> int | None:
        """The first batch whose loss was NaN or infinite, counted from 1; None if none was."""
        if self._first_bad is not None:
            return self._first_bad
        losses = torch.stack(self._sums)[:, 1].cpu() if self._sums else torch.empty(0)
        bad = losses.isfinite().logical_not().nonzero()  # (K, 1)
        return int(bad[0]) + 1 if len(bad) else None

    def metrics(self, count: float, loss: float, sums: list[float]) -> dict[str, float]:
        """The task's metrics from the summed `sums`."""
        return {"val_loss": loss}


class ClassificationMeter(Meter):
    """How often the label's class is chosen; what labels and outputs may be, `chosen_classes` says.

    Four metrics, each from 0 to 1 and over the labels that the criterion does not ignore: accuracy;
    the share of the largest class, which is the accuracy of always choosing that one; balanced
    accuracy, the mean of each class's own accuracy over the classes that occur; and F1, the mean
    over the classes that occur or are chosen ("macro").
    """

    def __init__(self, own: Metrics | None = None, criterion: Any = None) -> None:
        super().__init__(own)
        self._criterion = criterion
        self._counts: Tensor | None = None
        """(3, C) of each class: right choices, labels, choices; on the device."""

    def merge(self, exchange: Callable[[Any], list[Any]]) -> None:
        super().merge(exchange)
        counts = None if self._counts is None else self._counts.cpu()
        parts = [part for part in exchange(counts) if part is not None]
        self._counts = torch.stack(parts).sum(0) if parts else None

    def count(self, outputs: Any, labels: Tensor) -> int:
        return labels.numel() if labels.dim() < predictions(outputs).dim() else len(labels)

    def sums(self, outputs: Any, labels: Any) -> list[Tensor]:
        labels = _tensor(labels)
        outputs = predictions(outputs)
        true, chosen, classes = chosen_classes(outputs, labels, self._criterion)
        if self._counts is None:
            self._counts = torch.zeros(3 * classes, dtype=torch.long, device=outputs.device)
        known = true >= 0
        true = true.clamp(min=0)
        rows = torch.cat((true, classes + true, 2 * classes + chosen))  # (3N,)
        once = torch.cat((known & (true == chosen), known, known)).long()
        self._counts.index_add_(0, rows, once)
        return []

    def metrics(self, count: float, loss: float, sums: list[float]) -> dict[str, float]:
        assert self._counts is not None
        right, labels, chosen = self._counts.cpu().double().view(3, -1)  # (C,) each
        total, there, met = labels.sum(), labels > 0, labels + chosen > 0
        return {
            "accuracy": (right.sum() / total).item(),
            "majority_share": (labels.max() / total).item(),
            "balanced_accuracy": (right / labels)[there].mean().item(),
            "f1": (2 * right / (labels + chosen))[met].mean().item(),
        }

    @property
    def classes(self) -> int:
        """How many classes occur among the labels so far."""
        return 0 if self._counts is None else int((self._counts.view(3, -1)[1] > 0).sum())


class RegressionMeter(Meter):
    """R² (1 minus the residuals' share of the labels' variance) and the mean absolute error."""

    def sums(self, outputs: Any, labels: Any) -> list[Tensor]:
        error, y = errors(outputs, labels)
        n = y.new_tensor(y.numel())
        return [n, y.sum(), (y * y).sum(), (error * error).sum(), error.abs().sum()]

    def metrics(self, count: float, loss: float, sums: list[float]) -> dict[str, float]:
        n, y, yy, ee, e = sums
        spread = yy - y * y / n
        return {"r2": 1 - ee / spread if spread > 0 else math.nan, "mae": e / n}


def errors(outputs: Any, labels: Any) -> tuple[Tensor, Tensor]:
    """Prediction minus label, and the labels, in double precision where the device has it; both as
    the outputs are, (B, ...), which may be (B, 1) where the labels are (B,), or the other way
    round.

    Raises:
        TypeError: there is not one label for each prediction.
    """
    outputs, labels = predictions(outputs), _tensor(labels)
    if outputs.numel() != labels.numel():
        raise TypeError(
            f"labels {tuple(labels.shape)} are not one number for each of the outputs "
            f"{tuple(outputs.shape)}"
        )
    y = labels.to(_wide(outputs)).reshape(outputs.shape)
    return outputs.to(y.dtype) - y, y


class PerplexityMeter(Meter):
    """Perplexity: exp of the mean cross entropy per token, labels (B, T)."""

    def count(self, outputs: Any, labels: Any) -> int:
        return _tensor(labels).numel()

    def metrics(self, count: float, loss: float, sums: list[float]) -> dict[str, float]:
        return {"perplexity": math.inf if loss >= 700 else math.exp(loss)}


def _tensor(labels: Any) -> Tensor:
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels are a {type(labels).__name__}, not a tensor")
    return labels


def _value(name: str, measure: Callable[[Any, Any], Any], outputs: Any, labels: Any) -> Tensor:
    """What a metric of a person's own gives for a batch, shape ().

    Raises:
        UnfitError: it fails, or gives no number.
    """
    advice = "a metric is called with outputs and labels, and gives one number: their mean"
    try:
        given = measure(outputs, labels)
        value = _whole(torch.as_tensor(given))
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UnfitError(f"metric {name}: {first_line(error)}", advice) from error
    if value.numel() != 1:
        raise UnfitError(f"metric {name}: it gives {tuple(value.shape)}, not a number", advice)
    return value.reshape(())


def _wide(like: Tensor) -> torch.dtype:
    """Double where the device has it (MPS does not)."""
    return torch.float32 if like.device.type == "mps" else torch.float64


def _whole(value: Tensor) -> Tensor:
    """Half precision, which mixed precision may give, is too coarse to be added up in."""
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
