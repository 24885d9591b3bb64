"""What is read off weights and gradients of any make-up, on their device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Groups = list[list[Tensor]]
"""Tensors by layer."""


def numbers_of(p: Tensor) -> list[Tensor]:
    """A parameter's values as real numbers; none of them if they are whole or quantised."""
    return [real(p)] if p.is_floating_point() or p.is_complex() else []


def real(t: Tensor) -> Tensor:
    """The values as real numbers: complex ones in pairs, of a sparse gradient those that it has."""
    t = t.detach()
    if t.layout is not torch.strided:
        t = t.coalesce().values() if t.layout is torch.sparse_coo else t.to_dense()
    return torch.view_as_real(t) if t.is_complex() else t


def grad_like(p: Tensor, values: Tensor) -> Tensor:
    """The gradient in the shape of `values`, or a zero: without one, or for a sparse one."""
    grad = None if p.grad is None else real(p.grad)
    return values.new_zeros(()) if grad is None or grad.shape != values.shape else grad


def norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The norm of each, shape (); half precision is widened, it would overflow."""
    if not tensors:
        return []
    return list(torch._foreach_norm([t.float() if t.element_size() < 4 else t for t in tensors]))


def grouped_norms(groups: Groups) -> Groups:
    """The norm of each, in the same groups."""
    found = iter(norms([t for group in groups for t in group]))
    return [[next(found) for _ in group] for group in groups]
