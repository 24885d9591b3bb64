"""Lazy layers (`nn.LazyLinear` and its kin): their weights are made by the first batch they meet.

Until then their tensors have no shape, and torch refuses nearly everything that is asked of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

UNMADE: Final = "its lazy layers are made by the first batch"


def unmade(model: nn.Module) -> bool:
    """Whether a parameter or a buffer has no shape yet."""
    return any(is_lazy(tensor) for tensor in chain(model.parameters(), model.buffers()))


def learnable(model: nn.Module) -> int | None:
    """How many numbers the model can learn; None while some have no shape yet."""
    learned = [p for p in model.parameters() if p.requires_grad]
    return None if any(map(is_lazy, learned)) else sum(p.numel() for p in learned)


def made_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The model's parameters by name, without those that have no shape yet."""
    for name, p in model.named_parameters():
        if not is_lazy(p):
            yield name, p


def made_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The model's buffers by name, without those that have no shape yet."""
    for name, buffer in model.named_buffers():
        if not is_lazy(buffer):
            yield name, buffer
