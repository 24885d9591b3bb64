"""Parameters that are spread over several ranks (`DTensor`): each process has a part of every one.

The classes for that are not loaded for a run that has none of them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def _spread(tensor: Any) -> Any:
    """The tensor as the `DTensor` that it is; None if it is another."""
    return tensor if hasattr(tensor, "full_tensor") else None


def is_spread(model: nn.Module) -> bool:
    """Whether it takes all ranks at the same time to run the model."""
    return any(_spread(p) is not None for p in model.parameters())


def own_part(tensor: Tensor) -> Tensor:
    """What of a tensor is in this process: a view, which asks no other rank for anything."""
    spread = _spread(tensor)
    return tensor if spread is None else spread.to_local()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor. Of one that is spread all ranks have to ask for it at the same place."""
    spread = _spread(tensor)
    return tensor if spread is None else spread.full_tensor()


def gathered(tensor: Tensor) -> Tensor:
    """The same for the first rank alone; nothing for the others, so that their memory holds one
    whole tensor at a time.
    """
    found, spread = whole(tensor), _spread(tensor)
    return found if spread is None or not spread.device_mesh.get_rank() else found.new_empty(0)


def part_like(value: Any, like: Tensor) -> Any:
    """This rank's part of a tensor that every rank has as a whole, spread as another one is. What
    is spread already, or has another shape, stays as it is.
    """
    spread = _spread(like)
    if spread is None or not isinstance(value, Tensor) or _spread(value) is not None:
        return value
    if value.shape != spread.shape:
        return value
    from torch.distributed.tensor import distribute_tensor

    there = value.to(spread.device)
    return distribute_tensor(there, spread.device_mesh, spread.placements, src_data_rank=None)
