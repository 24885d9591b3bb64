"""Train mode and eval mode side by side: the same features through the model in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from ..training.progress import tensors_in
from ..training.training import Training
from .looking import looking

Buffers = dict[str, Tensor]
"""Copies, by qualified name."""


@dataclass(frozen=True, slots=True)
class Modes:
    """What the same features give in train mode and in eval mode, twice in each."""

    layers: tuple[tuple[str, str], ...]
    """Name and class of the layers that are known to do something else in eval mode: dropout,
    and norms that keep averages."""
    train_apart: float
    """Largest difference between the outputs of two passes in train mode."""
    eval_apart: float
    """The same in eval mode."""
    between: float
    """The same between a pass in train mode and one in eval mode."""
    train_loss: float
    eval_loss: float
    train_moves: tuple[str, ...]
    """Names of the buffers that a pass in train mode changed."""
    eval_moves: tuple[str, ...]


def compare_modes(training: Training, features: Any, labels: Any) -> Modes:
    """Run a batch in both modes; leaves no trace on the run.

    Args:
        training: of the model.
        features: (B, ...), or nested, on the training's device.
        labels: (B, ...), or nested.
    """

    def twice(*, train: bool) -> tuple[Any, float, float, tuple[str, ...]]:
        """Outputs, loss, difference to the second pass, buffers that moved."""
        model.train(train)
        before = buffers_of(model)
        outputs = model(features)  # (B, ...)
        moved = moved_buffers(before, buffers_of(model))
        loss = float(training.criterion(outputs, labels))
        return outputs, loss, apart(outputs, model(features)), moved

    with looking(training) as model, training.autocast():
        outputs, eval_loss, eval_apart, eval_moves = twice(train=False)
        others, train_loss, train_apart, train_moves = twice(train=True)
        between = apart(outputs, others)
    return Modes(
        tuple((name, type(layer).__name__) for name, layer in model.named_modules() if _two(layer)),
        train_apart,
        eval_apart,
        between,
        train_loss,
        eval_loss,
        train_moves,
        eval_moves,
    )


def _two(layer: nn.Module) -> bool:
    """Whether a layer is known to behave in two ways."""
    if isinstance(layer, _DropoutNd):
        return layer.p > 0
    if isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)):
        return layer.dropout > 0
    return isinstance(layer, _NormBase) and bool(layer.track_running_stats)


@torch.no_grad()
def apart(some: Any, others: Any) -> float:
    """Largest difference between two outputs of the same make-up; NaN and NaN are the same."""
    largest = 0.0
    for a, b in zip(tensors_in(some), tensors_in(others), strict=True):
        if a.numel() and not a.is_complex():
            distance = (a.cpu().double() - b.cpu().double()).abs()
            distance[(a == b).cpu() | (a.isnan() & b.isnan()).cpu()] = 0.0
            largest = max(largest, float(distance.nan_to_num(torch.inf).max()))
    return largest


def buffers_of(model: nn.Module) -> Buffers:
    """A copy of every buffer as it is now."""
    return {name: buffer.detach().clone() for name, buffer in model.named_buffers()}


def moved_buffers(before: Buffers, after: Buffers) -> tuple[str, ...]:
    """Names of those whose content is another one."""
    return tuple(
        name
        for name, buffer in after.items()
        if name not in before
        or before[name].shape != buffer.shape
        or not torch.equal(before[name].nan_to_num(), buffer.nan_to_num())
    )
