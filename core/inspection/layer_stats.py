"""Histograms counted where the tensors are, so that nothing but the counts has to travel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

import torch
from torch import Tensor, nn

from ..protocol.inside import Histogram
from ..training.compile import is_compiled
from ..training.spread import own_part

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


RELUS: Final = (nn.ReLU, nn.ReLU6)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class DeadUnits:
    """Counts, by forward hooks that are there only while asked for, in training passes only.

    A unit is a channel where the model has convolutions, else an entry of the last dimension. It
    is dead if it gave 0 for every sample of the batch, at every position. A ReLU that is used
    several times in a pass counts its units each time.

    Left out are compiled models, which hooks would make compile again, and activations inside an
    `nn.TransformerEncoderLayer`, whose faster kernel for eval mode turns itself off at the sight
    of a hook, and rounds differently.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._channels_first = any(isinstance(m, _CONVOLUTIONS) for m in model.modules())
        self._hooks: ExitStack | None = None
        self._found: dict[nn.Module, tuple[Tensor, int]] = {}

    @property
    def found(self) -> dict[nn.Module, tuple[Tensor, int]]:
        """By activation: dead units of the last training pass, shape (), and units in all."""
        return self._found

    def watch(self, on: bool) -> None:
        """Add the hooks, or remove them and forget what they counted."""
        if on == (self._hooks is not None):
            return
        if self._hooks is not None:
            self._hooks.close()
            self._hooks, self._found = None, {}
            return
        with ExitStack() as hooks:
            watched = [] if is_compiled(self._model) else self._activations()
            if watched:
                hooks.callback(self._model.register_forward_pre_hook(self._begin).remove)
            for module in watched:
                hooks.callback(module.register_forward_hook(self._count).remove)
            self._hooks = hooks.pop_all()

    def _activations(self) -> list[nn.Module]:
        layers = [m for m in self._model.modules() if isinstance(m, nn.TransformerEncoderLayer)]
        left_out = {inner for layer in layers for inner in layer.modules()}
        return [m for m in self._model.modules() if isinstance(m, RELUS) and m not in left_out]

    def _begin(self, *_: Any) -> None:
        if torch.is_grad_enabled():
            self._found = {}

    def _count(self, module: nn.Module, _: Any, output: Any) -> None:
        if (
            not torch.is_grad_enabled()  # validation, or a view
            or not isinstance(output, Tensor)
            or output.layout is not torch.strided
            or output.dim() < 2
            or not output.numel()
        ):
            return
        with torch.no_grad():
            alive = (output.detach() != 0).any(0)  # (C, H, W), (T, E) or (E,)
            if alive.dim() > 1:
                alive = alive.flatten(1).any(1) if self._channels_first else _last(alive)
            dead, units = alive.logical_not().sum(), len(alive)
        before = self._found.get(module)
        if before is not None:
            dead, units = dead + before[0], units + before[1]
        self._found[module] = dead, units


def _last(alive: Tensor) -> Tensor:
    return alive.flatten(0, -2).any(0)


Groups = list[list[Tensor]]
"""Tensors by layer."""


def numbers_of(p: Tensor) -> list[Tensor]:
    """A parameter's values as real numbers; none of them if they are whole or quantised."""
    return [real(p)] if p.is_floating_point() or p.is_complex() else []


def real(t: Tensor) -> Tensor:
    """The values as real numbers: complex ones in pairs, of a sparse gradient those that it has, of
    a tensor that is spread over ranks this one's.
    """
    t = own_part(t.detach())
    if t.layout is not torch.strided:
        t = t.coalesce().values() if t.layout is torch.sparse_coo else t.to_dense()
    return torch.view_as_real(t) if t.is_complex() else t


def grad_like(p: Tensor, values: Tensor) -> Tensor:
    """The gradient in the shape of `values`, or a zero: without one, or for a sparse one."""
    grad = None if p.grad is None else real(p.grad)
    return values.new_zeros(()) if grad is None or grad.shape != values.shape else grad


def norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The norm of each, shape (); half precision is widened, it would overflow."""
    wide = (t.float() if t.element_size() < 4 else t for t in tensors)
    return [torch.linalg.vector_norm(t) for t in wide]


def grouped_norms(groups: Groups) -> Groups:
    """The norm of each, in the same groups."""
    found = iter(norms([t for group in groups for t in group]))
    return [[next(found) for _ in group] for group in groups]


class Transfer:
    """Gathers numbers on their device; `read` copies them all at once, which is the one wait."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.wide = torch.float32 if device.type == "mps" else torch.float64
        """What they travel in: double where the device has it (MPS does not)."""
        self._parts: list[Tensor] = []
        self._count = 0

    def add(self, groups: Sequence[Sequence[Tensor]]) -> list[slice]:
        """Take groups of tensors of real numbers; the place of each group in what `read` gives."""
        flat = [t.detach().reshape(-1).to(self._device) for group in groups for t in group]
        if flat:
            self._parts.append(torch.cat(flat).to(self.wide))
        slices = []
        for group in groups:
            end = self._count + sum(t.numel() for t in group)
            slices.append(slice(self._count, end))
            self._count = end
        return slices

    def read(self) -> list[float]:
        """All of them, in the order in which they were added."""
        numbers: list[float] = torch.cat(self._parts).tolist() if self._parts else []
        return numbers


class Editions:
    """Numbers the contents of parameters and gradients: another content, another number."""

    def __init__(self) -> None:
        self._held: dict[Tensor, tuple[Tensor, Tensor | None]] = {}
        self._numbers: dict[Tensor, tuple[int, int]] = {}

    def release(self) -> None:
        """Let the copies go; the numbers stay."""
        self._held = {}

    def take(self, parameters: Sequence[Tensor]) -> None:
        """Count up the numbers of what differs from its copy, and copy what is there now."""
        before, self._held = self._held, {}
        for p in parameters:
            weight, grad = own_part(p.detach()), None if p.grad is None else _dense(p.grad)
            moved, changed = self._numbers.get(p, (0, 0))
            held = before.get(p)
            if held is None:
                held = weight.clone(), _copy(grad)
            else:
                if not _same(held[0], weight):
                    held, moved = (weight.clone(), held[1]), moved + 1
                if not _same(held[1], grad):
                    held, changed = (held[0], _copy(grad)), changed + 1
            self._held[p], self._numbers[p] = held, (moved, changed)

    def of(self, parameters: Sequence[Tensor]) -> tuple[int, int]:
        """Of weights and of gradients, for all the parameters together."""
        numbers = [self._numbers[p] for p in parameters]
        return sum(n[0] for n in numbers), sum(n[1] for n in numbers)


def _dense(t: Tensor) -> Tensor:
    t = own_part(t.detach())
    return t if t.layout is torch.strided else t.to_dense()


def _copy(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.clone()


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether all values are the same; NaN is the same as NaN."""
    if a is None or b is None or a.shape != b.shape:
        return a is b
    return bool(((a == b) | (a.isnan() & b.isnan())).all())
