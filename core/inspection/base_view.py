"""The base class of views, and the probabilities that outputs give to classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..protocol.inside import ViewResult
from ..training.predictions import PROBABILITIES, is_one_of, is_single
from ..training.training import Training
from .eval_mode import eval_without_trace


class View(ABC):
    """One way to look at what a model knows."""

    name: ClassVar[str]
    """For commands and records, such as "confusion"."""
    title: ClassVar[str]
    """For people, such as "confusion matrix"."""

    def compute(self, training: Training) -> ViewResult:
        """The picture as of now. Leaves no trace on the run, and waits for an accelerator.

        Raises:
            Exception: whatever the model raises; the run is left untouched then, too.
        """
        with eval_without_trace(training) as model:
            return self.see(model, training)

    @abstractmethod
    def see(self, model: nn.Module, training: Training) -> ViewResult:
        """The picture, the model being in eval mode and without gradients."""


_MANY_LABELS: Final = (
    *PROBABILITIES,
    nn.BCEWithLogitsLoss,
    F.binary_cross_entropy_with_logits,
    nn.MultiLabelMarginLoss,
    F.multilabel_margin_loss,
    nn.MultiLabelSoftMarginLoss,
    F.multilabel_soft_margin_loss,
)
"""Criteria for which each of several outputs is a question of its own."""


def is_choice(outputs: Any, labels: Any, criterion: Any) -> bool:
    """Whether outputs and labels are a choice between classes, one for each sample or position."""
    if not isinstance(outputs, Tensor) or not isinstance(labels, Tensor):
        return False
    if not outputs.is_floating_point() or not outputs.dim():
        return False
    if is_single(outputs.shape):
        return outputs.numel() == labels.numel()
    each = outputs.shape[:1] + outputs.shape[2:]
    return labels.shape in (outputs.shape, each) and not is_one_of(criterion, _MANY_LABELS)


def probabilities(outputs: Tensor, criterion: Any) -> Tensor:
    """Of each class, (N, C): a row for each sample, or for each position of one."""
    if is_single(outputs.shape):
        one = outputs.flatten().float()  # (N,)
        one = one if is_one_of(criterion, PROBABILITIES) else one.sigmoid()  # (N,)
        return torch.stack((1 - one, one), 1)
    return outputs.movedim(1, -1).flatten(0, -2).float().softmax(1)


def predicted(chances: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest class (N,), -1 where the model gave NaN, and its probability (N,)."""
    best, which = chances.max(1)  # a NaN is larger than anything
    return torch.where(best.isnan(), -1, which), best.nan_to_num(0.0)
