"""Every parameter in numbers: its gradient, and what the optimizer's rule made of it in the last
update, read from the real values before and after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ..protocol.at_hand import Formula, ParameterRow, ParameterTable
from ..training.spread import own_part
from .layer_stats import Transfer, grouped_norms, numbers_of, real
from .update_rules import NumberUpdate, update_formulas

FEW: Final = 8
"""Numbers of a parameter that are shown one by one; of larger ones one is picked."""


@dataclass(frozen=True, slots=True)
class _Number:
    """One number of a parameter before an update, and what the update goes by."""

    place: int
    value: float
    grad: float
    options: dict[str, Any]
    state: dict[str, float]


class ParameterWatch:
    """Looks at the parameters of a model at gates, in the thread that trains it."""

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._grads: dict[Tensor, tuple[float, ...]] = {}
        self._added: dict[Tensor, tuple[Formula, ...]] = {}
        self._before: dict[Tensor, list[_Number]] = {}
        self._update: dict[Tensor, tuple[Formula, ...]] = {}
        self._updated: int | None = None

    def before_backward(self) -> None:
        """Keep the gradients that are there, of parameters of a few numbers."""
        self._added = {}
        self._grads = {p: _all(p.grad) for _, p in self._named() if _is_small(p)}

    def after_backward(self) -> None:
        """See what the backward pass has added to them."""
        for p, before in self._grads.items():
            if any(before):
                sums = enumerate(zip(before, _all(p.grad), strict=False))
                self._added[p] = tuple(
                    Formula(f"gradient{_place(p, i)}", (old, "+", now - old), now)
                    for i, (old, now) in sums
                )
        self._grads = {}

    def before_update(self) -> None:
        """Keep what the update will go by, of a few numbers."""
        groups = {p: group for group in self._optimizer.param_groups for p in group["params"]}
        learning = [p for _, p in self._named() if p in groups and _has_grad(p)]
        small = [p for p in learning if _is_small(p)]
        self._before = {}
        for p in small or learning[:1]:
            options = {name: value for name, value in groups[p].items() if name != "params"}
            options["lr"] = float(options["lr"])  # a tensor that the schedule moves, maybe
            places = range(own_part(p).numel()) if small else [_largest(p.grad)]
            self._before[p] = [
                _Number(i, _at(p, i), _at(p.grad, i), options, self._state(p, i)) for i in places
            ]

    def after_update(self, batch: int) -> None:
        """Put what the update of this batch has made of them into formulas."""
        self._update, self._updated = {}, batch
        for p, numbers in self._before.items():
            self._update[p] = tuple(line for one in numbers for line in self._formulas(p, one))
        self._before = {}

    def _formulas(self, p: Tensor, one: _Number) -> tuple[Formula, ...]:
        i, precision = one.place, torch.finfo(p.dtype).eps
        update = NumberUpdate(
            one.value, one.grad, _at(p, i), one.options, one.state, self._state(p, i), precision
        )
        return update_formulas(self._optimizer, f"w{_place(p, i)}", update)

    def look(self, note: str = "") -> ParameterTable:
        """All of them as they are now; waits for an accelerator."""
        named = list(self._named())
        owned = {p for group in self._optimizer.param_groups for p in group["params"]}
        transfer = Transfer(next((p.device for _, p in named), torch.device("cpu")))
        norms = transfer.add(grouped_norms([numbers_of(p) for _, p in named]))
        grads = transfer.add(
            grouped_norms([[] if p.grad is None else [real(p.grad)] for _, p in named])
        )
        numbers = transfer.read()
        graded = any(p in owned and p.grad is not None for _, p in named)
        return ParameterTable(
            tuple(
                ParameterRow(
                    name,
                    tuple(p.shape),
                    numbers[norm][0] if numbers[norm] else None,
                    numbers[grad][0] if numbers[grad] else None,
                    _why(p, owned=p in owned, graded=graded),
                    _all(p) if _is_small(p) else (),
                    _all(p.grad) if _is_small(p) else (),
                    self._added.get(p, ()) if p.grad is not None else (),
                    self._update.get(p, ()),
                )
                for (name, p), norm, grad in zip(named, norms, grads, strict=True)
            ),
            type(self._optimizer).__name__,
            self._updated,
            note,
        )

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for name, p in self._model.named_parameters():
            if not is_lazy(p):
                yield name.removeprefix("_orig_mod."), p

    def _state(self, p: Tensor, place: int) -> dict[str, float]:
        """What the optimizer keeps of one number."""
        kept = self._optimizer.state.get(p, {})
        return {
            name: _at(value, place if value.numel() == p.numel() else 0)
            for name, value in kept.items()
            if isinstance(value, Tensor) and value.numel() in (1, p.numel())
        }


def _is_small(p: Tensor) -> bool:
    return 0 < p.numel() <= FEW and p.is_floating_point()


def _has_grad(p: Tensor) -> bool:
    grad = p.grad
    return (
        p.is_floating_point()
        and grad is not None
        and grad.layout is torch.strided
        and p.numel() > 0
    )


def _all(t: Tensor | None) -> tuple[float, ...]:
    """Its numbers in a row; none where there is none, or it is sparse."""
    if t is None or t.layout is not torch.strided:
        return ()
    return tuple(own_part(t.detach()).reshape(-1).tolist())


def _largest(t: Any) -> int:
    """The place of the number that is farthest from 0."""
    return int(own_part(t.detach()).abs().argmax())


def _at(t: Any, place: int) -> float:
    return float(own_part(t.detach()).reshape(-1)[place])


def _place(p: Tensor, number: int) -> str:
    """What stands behind the name of one of its numbers: "[0,3]"; nothing for the only one."""
    place: list[str] = []
    for size in reversed(p.shape):
        number, at = divmod(number, size)
        place.insert(0, str(at))
    return f"[{','.join(place)}]" if p.numel() > 1 else ""


def _why(p: Tensor, *, owned: bool, graded: bool) -> str:
    """Why it has no gradient, or does not learn; `graded`: others have theirs."""
    if not p.requires_grad:
        return "frozen: requires_grad is False"
    if not owned:
        return "not in the optimizer: it is never updated"
    if p.grad is None and graded:
        return "unused: it had no part in this loss"
    return ""
