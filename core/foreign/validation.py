"""The loss of a validation in a loop that is not ours: what torch's own losses give meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor

from .hooks import LoopHooks

LOSSES: Final = (
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss",
    "cross_entropy", "ctc_loss", "gaussian_nll_loss", "hinge_embedding_loss", "huber_loss",
    "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "nll_loss", "poisson_nll_loss",
    "smooth_l1_loss", "soft_margin_loss", "triplet_margin_loss",
)  # fmt: skip
"""Functions, which torch's criteria call, too."""


class ValidationLoss:
    """The mean of what these functions give, weighted by samples, from `begin` to `end`.

    Meanwhile they are hooked, and never while a model trains: what is compiled then would see it.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._inside = False
        self._sum: Tensor | float = 0.0
        self._samples = self._calls = 0

    def begin(self, hooks: LoopHooks) -> None:
        """A forward pass of a validation: hook them, if they are not."""
        if not self._undo:
            self._sum, self._samples, self._calls = 0.0, 0, 0
            self._undo = [hooks.around(F, name, self._see) for name in LOSSES]

    def _see(self, bare: Callable[..., Any], *args: Any, **options: Any) -> Any:
        outer, self._inside = self._inside, True
        try:
            loss = bare(*args, **options)
        finally:
            self._inside = outer
        first = args[0] if args else options.get("input")
        if not outer and isinstance(loss, Tensor) and isinstance(first, Tensor) and first.dim():
            self._calls += 1
            value, samples = loss.detach(), first.size(0)
            if value.dim():
                value, samples = value.sum(), value.numel()
            elif options.get("reduction", "mean") != "sum":
                value = value * samples
            self._sum, self._samples = self._sum + value, self._samples + samples
        return loss

    def end(self, passes: int) -> float | None:
        """The validation is over: the loss, which waits for an accelerator; None if it is unknown.

        Args:
            passes: how often the model was called: a loss of several parts is not known.
        """
        for undo in self._undo:
            undo()
        known = bool(self._undo) and self._calls == passes and self._samples > 0
        self._undo = []
        return float(self._sum) / self._samples if known else None
