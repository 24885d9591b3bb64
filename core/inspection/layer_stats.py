"""Histograms counted where the tensors are, so that nothing but the counts has to travel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from ..protocol.inside import Histogram

BINS: Final = 20
MOST: Final = 2**16
"""Values binned of each row; of more, so many evenly spaced ones."""
SIZE: Final = BINS + 3
"""Numbers that `count_values` gives."""


def count_values(tensors: Sequence[Tensor], wide: torch.dtype) -> Tensor:
    """Low, high, how many are not finite, and the counts, in one tensor (SIZE,) on the device.

    Args:
        tensors: real floating point, of any shapes, at least one value in all.
        wide: what to count in.
    """
    flat = [t.reshape(-1) for t in tensors]
    bad = torch.stack([t.isfinite().logical_not().sum() for t in flat]).sum()  # ()
    stride = -(-sum(len(t) for t in flat) // MOST)
    values = torch.cat([t[::stride] for t in flat]).to(wide)  # (N,)
    finite = values.isfinite()  # (N,)
    low = torch.where(finite, values, math.inf).min()  # ()
    high = torch.where(finite, values, -math.inf).max()  # ()
    # Halved before they are subtracted: the largest floats don't overflow.
    span = high / 2 - low / 2
    place = (torch.where(finite, values, low) / 2 - low / 2) / span  # (N,)
    place = torch.where(span > 0, place, 0.5)
    number = (place * BINS).nan_to_num(0).long().clamp(0, BINS - 1)  # (N,)
    counts = torch.zeros(BINS, dtype=torch.long, device=values.device)
    counts.scatter_add_(0, number, finite.long())
    return torch.cat((torch.stack((low, high, bad.to(wide))), counts.to(wide)))


def as_histogram(numbers: Sequence[float]) -> Histogram:
    """What `count_values` counted, once it has been read."""
    low, high, bad, *counts = numbers
    if low > high:  # not a single finite value
        low = high = 0.0
    return Histogram(low, high, tuple(int(n) for n in counts), int(bad))
