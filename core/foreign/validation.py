"""The loss of a validation in a loop that is not ours: what torch's own losses give meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor, nn

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
    """The mean of what these functions give, or a criterion that calls them, weighted by samples,
    from `begin` to `end`.

    Meanwhile they are hooked, and never while a model trains: what is compiled then would see it.
    """

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._inside = False
        self._sum: Tensor | float = 0.0
        self._samples = self._calls = 0

    @property
    def under_way(self) -> bool:
        """Whether they are hooked."""
        return bool(self._undo)

    def begin(self, hooks: LoopHooks) -> None:
        """A validation begins, as far as can be told: hook them, if they are not."""
        if not self._undo:
            self._sum, self._samples, self._calls, self._inside = 0.0, 0, 0, False
            self._undo = [hooks.around(F, name, self._see) for name in LOSSES]

    def _see(self, bare: Callable[..., Any], *args: Any, **options: Any) -> Any:
        outer, self._inside = self._inside, True
        try:
            loss = bare(*args, **options)
        finally:
            self._inside = outer
        if not outer:
            first = args[0] if args else options.get("input")
            self._add(loss, first, options.get("reduction", "mean"))
        return loss

    def criterion_begins(self, criterion: nn.Module) -> None:
        """A criterion is called: of one that is not torch's, what it gives is the loss."""
        self._inside = not _is_torchs(criterion)

    def criterion_ends(self, criterion: nn.Module, given: Any, loss: Any) -> None:
        """It has given this for that."""
        if self._undo and not _is_torchs(criterion):
            self._inside = False
            self._add(loss, given[0] if given else None, getattr(criterion, "reduction", "mean"))

    def _add(self, loss: Any, first: Any, reduction: str) -> None:
        # While something is compiled, what comes here has no values.
        if type(loss) is not Tensor or not isinstance(first, Tensor) or not first.dim():
            return
        self._calls += 1
        value, samples = loss.detach(), first.size(0)
        if value.dim():
            value, samples = value.sum(), value.numel()
        elif reduction != "sum":
            value = value * samples
        self._sum, self._samples = self._sum + value, self._samples + samples

    def end(self, passes: int) -> float | None:
        """The validation is over: the loss, which waits for an accelerator; None if it is unknown.

        Args:
            passes: how often the model was called: a loss of several parts is not known.
        """
        if not self._undo:
            return None
        for undo in self._undo:
            undo()
        self._undo = []
        if not self._samples or self._calls != passes:
            return None
        try:
            return float(self._sum) / self._samples
        except RuntimeError:  # it has no value: it was inside of vmap
            return None


def _is_torchs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.")
