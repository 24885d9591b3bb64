"""A model taken apart into the layers that a table of it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..protocol.inside import LayerRow
from .dead_units import RELUS


@dataclass(frozen=True, slots=True)
class Layer:
    """A module that owns parameters, or an activation whose units can die."""

    row: LayerRow
    """What is known of it without reading a tensor."""
    module: nn.Module
    parameters: list[Tensor]
    """Its own, without those that an earlier layer has, and those that are not made yet (lazy)."""


def layers_of(model: nn.Module) -> Iterator[Layer]:
    """Afresh each time: layers may come to life late, be frozen, or be replaced."""
    owners: dict[Tensor, str] = {}
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if not is_lazy(p)]
        if not own and not isinstance(module, RELUS):
            continue
        called = name.removeprefix("_orig_mod").removeprefix(".") or "model"
        fresh = [p for p in own if p not in owners]
        shared = dict.fromkeys(owners[p] for p in own if p in owners)
        shapes = [*([_shapes(fresh)] if fresh else []), *(f"= {owner}" for owner in shared)]
        owners |= dict.fromkeys(fresh, called)
        count = sum(p.numel() for p in fresh)
        row = LayerRow(called, type(module).__name__, " + ".join(shapes), count)
        yield Layer(row, module, fresh)


def _shapes(parameters: Sequence[Tensor]) -> str:
    """The matrices' shapes, equal ones counted; the vectors' where there is nothing else."""
    matrices = [p for p in parameters if p.dim() > 1] or list(parameters)
    times: dict[str, int] = {}
    for p in matrices:
        shape = "x".join(str(size) for size in p.shape) or "1"
        times[shape] = times.get(shape, 0) + 1
    if matrices[0].dim() < 2:
        return next(iter(times))  # a norm's weight and bias are as long as each other
    return " + ".join(shape if n == 1 else f"{n} of {shape}" for shape, n in times.items())
