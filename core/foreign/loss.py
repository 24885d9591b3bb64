"""The loss of a loop of one's own: what `backward()` is called on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any, TypeGuard

import torch
from torch import Tensor

Loss = float | Tensor
"""A float, or a copy, shape (), on an accelerator, which is not waited for."""


class LossReader:
    """Reads the loss in what `backward()` is called on.

    A loss that was only multiplied by a number counts as what it was before: for a `GradScaler`'s
    output, and for what the criterion gave, or the model as its loss, and was then divided by the
    number of batches that make an update.
    """

    def __init__(self) -> None:
        self._scaled: tuple[Tensor, Tensor] | None = None
        """What a GradScaler gave, and what it was given."""
        self._given: tuple[Loss, Any] | None = None
        """A loss that was computed, as it was then (a loop may divide it in place), and the node of
        autograd's graph that it comes from."""
        self.composite: bool | None = None
        """Whether the first loss was a sum of several parts, none of which is all of it."""

    def computed(self, loss: Any) -> None:
        """The criterion has given this."""
        if _is_number(loss) and (node := loss.grad_fn) is not None:
            try:
                self._given = _value(loss), node
            except RuntimeError:  # it has no value: inside of vmap, or of an export
                self._given = None

    def in_outputs(self, outputs: Any) -> None:
        """The model has given this, no tensor: `loss` by name, or the one tensor of shape () of a
        tuple.
        """
        if isinstance(outputs, Mapping):
            self.computed(outputs.get("loss"))
        elif isinstance(outputs, (tuple, list)):
            numbers = [one for one in outputs if isinstance(one, Tensor) and not one.dim()]
            if len(numbers) == 1:
                self.computed(numbers[0])
        else:
            self.computed(getattr(outputs, "loss", None))

    def scaled(self, scaled: Tensor, outputs: Tensor) -> None:
        """A GradScaler has given this for that."""
        self._scaled = scaled, outputs

    def read(self, of: Any) -> Loss | None:
        """The loss in what `backward()` is about to be called on: the sum, of several tensors;
        None if one of them is no single number.
        """
        if isinstance(of, Tensor):
            return self._read(of)
        return _sum([self._read(tensor) for tensor in of]) if isinstance(of, Sequence) else None

    def _read(self, of: Any) -> Loss | None:
        scaled, given = self._scaled, self._given
        loss = scaled[1] if scaled is not None and of is scaled[0] else of
        if given is not None and isinstance(loss, Tensor):
            node = loss.grad_fn
            if node is given[1] or _multiple_of(node, given[1]):
                self.composite = bool(self.composite)
                return given[0]
        if self.composite is None and isinstance(loss, Tensor):
            self.composite = _is_sum(loss.grad_fn)
        return _value(loss) if _is_number(loss) else None

    def let_go(self) -> None:
        """`backward()` is over: what was computed for it may go."""
        self._given = self._scaled = None


class LossSum:
    """Adds up the losses that reach an optimizer's parameters until its next update."""

    def __init__(self) -> None:
        self._parts: list[Loss | None] = []

    def add(self, loss: Loss | None) -> None:
        """`backward()` on this has reached the parameters."""
        self._parts.append(loss)

    def forget(self) -> bool:
        """The gradients were cleared; whether there were any that no update has used."""
        unused = bool(self._parts)
        self._parts.clear()
        return unused

    def take(self) -> Loss | None:
        """The sum since it was taken last; None if there is none, or it can't be known."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else _sum(parts)

    def take_first(self) -> Loss | None:
        """The first since something was taken last, of a closure that was called repeatedly."""
        parts, self._parts = self._parts, []
        return parts[0] if parts else None


def _is_number(loss: Any) -> TypeGuard[Tensor]:
    return isinstance(loss, Tensor) and loss.numel() == 1 and not loss.is_complex()


def _value(loss: Tensor) -> Loss:
    if loss.is_cpu:
        return float(loss.item())
    return loss.detach().reshape(()).to(torch.float32, copy=True)


def _sum(parts: list[Loss | None]) -> Loss | None:
    known = [part for part in parts if part is not None]
    return reduce(add, known) if known and len(known) == len(parts) else None


def _multiple_of(node: Any, origin: Any) -> bool:
    """Whether a node of autograd's graph is another one, or only multiplies it by a number."""
    while node is not None:
        if node is origin:
            return True
        node = _multiplied(node)
    return False


def _multiplied(node: Any) -> Any:
    """What a node of autograd's graph multiplies by a number; None if it does something else."""
    if not node.name().startswith(("Mul", "Div")):
        return None
    inputs = _inputs(node)
    return inputs[0] if len(inputs) == 1 else None


def _is_sum(node: Any) -> bool:
    """Whether a node of autograd's graph adds several up, multiplied by a number or not."""
    while node is not None and (inner := _multiplied(node)) is not None:
        node = inner
    return node is not None and node.name().startswith(("Add", "Sub")) and len(_inputs(node)) > 1


def _inputs(node: Any) -> list[Any]:
    return [inner for inner, _ in node.next_functions if inner is not None]
