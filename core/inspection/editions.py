"""Whether weights and gradients have changed since the last look, told from copies of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


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
            weight, grad = p.detach(), None if p.grad is None else _dense(p.grad)
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
    return t.detach() if t.layout is torch.strided else t.detach().to_dense()


def _copy(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.clone()


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether all values are the same; NaN is the same as NaN."""
    if a is None or b is None or a.shape != b.shape:
        return a is b
    return bool(((a == b) | (a.isnan() & b.isnan())).all())
