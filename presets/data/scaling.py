"""Numbers shifted and scaled to mean 0 and spread 1, as the training samples have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scaling:
    """Columns shifted and scaled so that those of some samples have mean 0 and spread 1."""

    mean: Tensor
    """(D,)"""
    spread: Tensor
    """(D,) 1 where a column never varies, which becomes 0."""

    @classmethod
    def of(cls, values: Tensor) -> Scaling:
        """By the samples (n, D) alone."""
        known = values.double()  # (n, D)
        spread = known.std(0, correction=0)  # (D,)
        return cls(known.mean(0), torch.where(spread > 0, spread, torch.ones_like(spread)))

    @classmethod
    def of_facts(cls, facts: Any) -> Scaling:
        """What gave these facts, of one column. Raises TypeError or ValueError if nothing did."""
        mean, spread = (torch.tensor([float(one)], dtype=torch.float64) for one in facts)
        return cls(mean, spread)

    def facts(self) -> list[float]:
        """One column's mean and spread, as plain numbers."""
        return [self.mean.item(), self.spread.item()]

    def apply(self, values: Tensor) -> Tensor:
        """Values (N, D), scaled."""
        return ((values.double() - self.mean) / self.spread).float()  # (N, D)

    def undo(self, scaled: Tensor) -> Tensor:
        """What scaled values (N, D) were before, as float64."""
        return scaled.double() * self.spread + self.mean  # (N, D)

    def columns(self) -> list[Scaling]:
        """The same, column by column."""
        pairs = zip(self.mean.split(1), self.spread.split(1), strict=True)
        return [Scaling(mean, spread) for mean, spread in pairs]
