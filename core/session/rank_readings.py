"""`RankReadings`: losses of whole batches, of which each rank has trained a part."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..training.data_parallel import Replica
from ..training.nonfinite import (
    GradientCheck,
    NonFiniteError,
    NonFiniteGradientError,
    NonFiniteLossError,
    name_bad_gradient,
    name_bad_value,
    own_gradient_is_bad,
)
from ..training.rank_batches import counts
from ..training.ranks import RankGroup
from .readings import Readings
from .state import RunState

if TYPE_CHECKING:
    from ..training.shards import Shards


class RankReadings(Readings):
    """Knows a batch's loss only behind backward, with which it travels. What is NaN or infinite in
    one rank is so in all of them then, and ends or rewinds all.
    """

    def __init__(
        self,
        run: RunState,
        ranks: RankGroup,
        replica: Replica | Shards,
        asks: Callable[[], bool],
        *,
        stop_on_nonfinite: bool,
    ) -> None:
        super().__init__(run, stop_on_nonfinite=stop_on_nonfinite)
        self._ranks, self._replica, self._asks = ranks, replica, asks
        self._looks_at_gradients = self.checks
        self.checks = self._immediate = True  # ranks have to know at the same batch
        if self._gradients is not None:
            optimizer, device = run.training.optimizer, run.training.device
            self._gradients = GradientCheck(optimizer, device, waits=True)
        self._own_loss = math.nan
        self._counts = (0, 0)

    def read_loss(self) -> None:
        """Read this rank's loss, and send it with the gradients."""
        progress, loss = self._progress, self._progress.loss
        assert loss is not None
        mine, whole = self._counts = counts(self._training.batches, progress.batch) or (1, 1)
        self._own_loss = loss.item()
        self.read_lr()
        self._replica.write(loss, self._own_loss, mine / whole, asks=self._asks())

    def check_gradients(self) -> None:
        """Take the whole batch's loss, and look at the gradients' means.

        Raises:
            NonFiniteError: in every rank at the same batch, naming the one that it comes from.
        """
        progress = self._progress
        self._loss, _ = self._replica.read()
        if self._stops and not math.isfinite(self._loss):
            bad = not math.isfinite(self._own_loss)
            values = progress.features, progress.labels, progress.outputs
            place = name_bad_value(self._training, *values) if bad else ""
            told = f"the loss is {self._own_loss}, noticed before the update" if bad else ""
            self._raise(NonFiniteLossError, told, place)
        norm = self._replica.norm
        if norm is not None:  # each rank has a part of the gradients, of which any may be bad
            if self._looks_at_gradients and not math.isfinite(norm):
                place = name_bad_gradient(self._training.model, progress.features)
                self._raise(NonFiniteGradientError, "", place)
        elif self._looks_at_gradients:
            try:
                super().check_gradients()
            except NonFiniteGradientError as error:
                bad = own_gradient_is_bad(self._training, progress.features, progress.labels)
                self._raise(NonFiniteGradientError, str(error) if bad else "", error.place)

    def _raise(self, kind: type[NonFiniteError], told: str, place: str) -> None:
        each = self._ranks.exchange((told, place))
        for number, (text, where) in enumerate(each):
            if text:
                raise kind(f"rank {number}: {text}", where)
        place = next((where for _, where in each if where), "")
        raise kind("of one rank a loss or a gradient is NaN or infinite", place)

    def _norm(self) -> Tensor | None:
        norm = self._replica.norm
        there = any(p.grad is not None for p in self._training.model.parameters())
        if norm is None or self._progress.grad_norm is not None:
            return super()._norm()
        return torch.tensor(norm) if there else None

    def batch_done(self, ended: float) -> None:
        mine, whole = self._counts
        self._progress.samples_done += whole - max(1, mine)
        super().batch_done(ended)
