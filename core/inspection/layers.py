"""A table of the model's layers, read at a gate: norms, updates, dead units, histograms.

Reading never touches what is trained: no generator, gradient, buffer, mode or graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ..protocol.inside import LayerRow
from ..training.lr import group_names
from .layer_stats import (
    RELUS,
    DeadUnits,
    Editions,
    Groups,
    Transfer,
    as_histogram,
    count_values,
    grad_like,
    grouped_norms,
    norms,
    numbers_of,
    real,
)

DROPOUTS: Final = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout
)  # fmt: skip
NORMS: Final = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """A module that owns parameters, an activation whose units can die, or dropout."""

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
        if not own and not isinstance(module, (*RELUS, *DROPOUTS)):
            continue
        called = name.removeprefix("_orig_mod").removeprefix(".") or "model"
        fresh = [p for p in own if p not in owners]
        shared = dict.fromkeys(owners[p] for p in own if p in owners)
        shapes = [*([_shapes(fresh)] if fresh else []), *(f"= {owner}" for owner in shared)]
        owners |= dict.fromkeys(fresh, called)
        count = sum(p.numel() for p in fresh)
        kind, mode = type(module).__name__, _mode(module)
        yield Layer(LayerRow(called, kind, " + ".join(shapes), count, mode=mode), module, fresh)


def _mode(module: nn.Module) -> str:
    """What its mode makes of a layer that behaves differently in eval mode; "" of any other."""
    if isinstance(module, DROPOUTS):
        return f"zeros {module.p:.0%}" if module.training else "off"
    kept = isinstance(module, NORMS) and module.track_running_stats
    return "(eval)" if kept and not module.training else ""


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


class LayerWatch:
    """Reads the layers of a model, at gates, in the thread that trains it.

    Everything is computed on the device and read in one transfer. Nothing is kept or hooked
    while nobody asks: `before_update` and `after_update` are for an update that somebody looks
    at, `watch_activations` for the time in which dead units are shown.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._dead = DeadUnits(model)
        self._editions = Editions()
        self._before: tuple[list[Tensor], list[Tensor]] | None = None
        self._updates: dict[Tensor, Tensor] = {}

    def watch_activations(self, on: bool) -> None:
        """Count dead units from the next training pass on, or stop counting."""
        self._dead.watch(on)

    def forget(self) -> None:
        """Drop what was measured: the run goes back to before it."""
        self._before, self._updates = None, {}
        self._dead.found.clear()
        self._editions.release()

    @torch.no_grad()
    def before_update(self) -> None:
        """Keep the weights, at the gate before an update that is to be measured."""
        learning = self._learning()
        kept = [p for x in layers_of(self._model) for p in x.parameters if p in learning]
        self._before = kept, [real(p).clone() for p in kept]

    @torch.no_grad()
    def after_update(self) -> None:
        """Measure the update, at the gate behind it; the weights kept before are let go."""
        if self._before is None:
            return
        (kept, old), self._before = self._before, None
        sizes = norms(old)
        for p, moved in zip(kept, old, strict=True):
            moved.sub_(real(p))  # minus the update
        grads = [grad_like(p, moved) for p, moved in zip(kept, old, strict=True)]
        along = [(moved * g).sum() for moved, g in zip(old, grads, strict=True)]
        self._updates = {
            p: torch.stack([number.float() for number in numbers])
            for p, *numbers in zip(kept, sizes, norms(old), norms(grads), along, strict=True)
        }

    @torch.no_grad()
    def look(self, *, histograms: bool = False, exact: bool = False) -> tuple[LayerRow, ...]:
        """One row for each layer, in the model's order.

        Args:
            histograms: count how weights and gradients are spread, too.
            exact: keep copies of weights and gradients until the next look, to tell whether any
                value has changed (`LayerRow.editions`): for a run that is paused.
        """
        layers = list(layers_of(self._model))
        owned = [layer.parameters for layer in layers]
        if exact:
            self._editions.take([p for group in owned for p in group])
        else:
            self._editions.release()
        weights = [[t for p in group for t in numbers_of(p)] for group in owned]
        grads = [[real(p.grad) for p in group if p.grad is not None] for group in owned]
        counted = [self._dead.found.get(layer.module) for layer in layers]

        device = next((p.device for group in owned for p in group), torch.device("cpu"))
        transfer = Transfer(device)
        places = [
            transfer.add(grouped_norms(weights)),
            transfer.add(grouped_norms(grads)),
            transfer.add([[self._updates[p] for p in g if p in self._updates] for g in owned]),
            transfer.add([[] if found is None else [found[0]] for found in counted]),
            transfer.add(_spreads(weights, transfer.wide, wanted=histograms)),
            transfer.add(_spreads(grads, transfer.wide, wanted=histograms)),
        ]
        numbers = transfer.read()

        learning = self._learning()
        rows = []
        for i, layer in enumerate(layers):
            weight, grad, update, dead, spread, grad_spread = (numbers[x[i]] for x in places)
            ratio, against = _update(update)
            units = counted[i]
            rows.append(
                replace(
                    layer.row,
                    weight_norm=math.hypot(*weight) if weight else None,
                    grad_norm=math.hypot(*grad) if grad else None,
                    update_ratio=ratio,
                    against=against,
                    dead_share=None if units is None else dead[0] / units[1],
                    weights=as_histogram(spread) if spread else None,
                    grads=as_histogram(grad_spread) if grad_spread else None,
                    frozen=bool(owned[i]) and learning.keys().isdisjoint(owned[i]),
                    groups=frozenset(learning[p] for p in owned[i] if learning.get(p)),
                    editions=self._editions.of(owned[i]) if exact else None,
                )
            )
        return tuple(rows)

    def whole_update(self) -> tuple[float | None, float | None]:
        """`LayerRow.update_ratio` and `LayerRow.against` of all parameters together."""
        return _update([n for numbers in self._updates.values() for n in numbers.tolist()])

    def _learning(self) -> dict[Tensor, str]:
        """The parameters that an update can move, with the name of one of several groups."""
        names = group_names(self._optimizer) or ("",)
        return {
            p: name
            for name, group in zip(names, self._optimizer.param_groups, strict=True)
            for p in group["params"]
            if p.requires_grad and not is_lazy(p)
        }


def _spreads(groups: Groups, wide: torch.dtype, *, wanted: bool) -> Groups:
    """Each row's histogram as numbers; nothing where there are no values."""
    return [
        [count_values(group, wide)] if wanted and any(t.numel() for t in group) else []
        for group in groups
    ]


def _update(numbers: Sequence[float]) -> tuple[float | None, float | None]:
    """Ratio and direction of an update, from four numbers for each parameter of a row."""
    if not numbers:
        return None, None
    size, move, slope = (math.hypot(*numbers[i::4]) for i in range(3))
    ratio = move / size if size else 0.0 if move == 0 else math.inf
    lengths = move * slope
    return ratio, sum(numbers[3::4]) / lengths if lengths else None
