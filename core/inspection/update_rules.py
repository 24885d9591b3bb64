"""The rules of torch's optimizers as arithmetic on one number, with the real values in it.

What is computed here is compared with what the update really gave: where they differ, or the rule
is not known, only the move itself is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from torch import optim
from torch.optim import Optimizer

from ..protocol.at_hand import Formula

CLOSE: Final = 1e-3
"""How far a rule's result may be from the real one, as a share of the move: floats round."""
Parts = tuple[str | float, ...]


@dataclass(frozen=True, slots=True)
class NumberUpdate:
    """One number of a parameter, before and after an update."""

    before: float
    grad: float
    """As the update found it."""
    after: float
    options: dict[str, Any]
    """The optimizer's, of its parameter group."""
    state: dict[str, float]
    """What the optimizer kept of it before; empty for a first update."""
    new_state: dict[str, float]
    precision: float
    """Smallest difference from 1 that its type can tell."""


def update_formulas(optimizer: Optimizer, name: str, at: NumberUpdate) -> tuple[Formula, ...]:
    """The update of one number, line by line, the last one giving its new value."""
    rule = next((r for kind, r in _RULES if type(optimizer).__name__ == kind.__name__), None)
    try:
        lines = [] if rule is None or at.options.get("maximize") else list(rule(at))
    except (LookupError, TypeError, ArithmeticError):  # it keeps something else, or overflows
        lines = []
    error = CLOSE * abs(at.after - at.before) + 4 * at.precision * abs(at.before)
    if not lines or not abs(lines[-1].result - at.after) <= error:
        return (Formula(name, (at.before, "moved by", at.after - at.before), at.after),)
    return (*lines[:-1], Formula(name, lines[-1].parts, at.after))


def _sgd(at: NumberUpdate) -> Iterator[Formula]:
    o, grad = at.options, at.grad
    if o["weight_decay"]:
        decayed = grad + o["weight_decay"] * at.before
        yield Formula("g", (grad, "+", o["weight_decay"], "×", at.before), decayed)
        grad = decayed
    if o["momentum"]:
        old, new = at.state.get("momentum_buffer"), at.new_state["momentum_buffer"]
        if old is None:
            yield Formula("momentum", (grad,), new)
        else:
            kept: Parts = (o["momentum"], "×", old, "+")
            damped: Parts = (1 - o["dampening"], "×") if o["dampening"] else ()
            yield Formula("momentum", (*kept, *damped, grad), new)
        if o["nesterov"]:
            ahead = grad + o["momentum"] * new
            yield Formula("nesterov", (grad, "+", o["momentum"], "×", new), ahead)
            new = ahead
        grad = new
    yield Formula("w", (at.before, "-", o["lr"], "×", grad), at.before - o["lr"] * grad)


def _adam(at: NumberUpdate) -> Iterator[Formula]:
    o, grad, w = at.options, at.grad, at.before
    start: Parts = (w,)
    if o["weight_decay"] and o.get("decoupled_weight_decay"):
        w *= 1 - o["lr"] * o["weight_decay"]
        yield Formula("decayed w", (at.before, "× (1 -", o["lr"], "×", o["weight_decay"], ")"), w)
        start = (w,)
    elif o["weight_decay"]:
        grad += o["weight_decay"] * w
        yield Formula("g", (at.grad, "+", o["weight_decay"], "×", w), grad)
    (beta1, beta2), step = o["betas"], round(at.new_state["step"])
    m, v = at.new_state["exp_avg"], at.new_state["exp_avg_sq"]
    old_m, old_v = at.state.get("exp_avg", 0.0), at.state.get("exp_avg_sq", 0.0)
    yield Formula("m", (beta1, "×", old_m, "+", 1 - beta1, "×", grad), m)
    yield Formula("v", (beta2, "×", old_v, "+", 1 - beta2, "×", grad, "²"), v)
    if o["amsgrad"]:
        v = at.new_state["max_exp_avg_sq"]
        yield Formula("largest v", (), v)
    own_m, own_v = m / (1 - beta1**step), v / (1 - beta2**step)
    yield Formula("m corrected", (m, "/ (1 -", beta1, f"^{step} )"), own_m)
    yield Formula("v corrected", (v, "/ (1 -", beta2, f"^{step} )"), own_v)
    move = o["lr"] * own_m / (math.sqrt(own_v) + o["eps"])
    yield Formula(
        "w", (*start, "-", o["lr"], "×", own_m, "/ (√", own_v, "+", o["eps"], ")"), w - move
    )


def _rmsprop(at: NumberUpdate) -> Iterator[Formula]:
    o, grad = at.options, at.grad
    if o["weight_decay"]:
        grad += o["weight_decay"] * at.before
        yield Formula("g", (at.grad, "+", o["weight_decay"], "×", at.before), grad)
    v, alpha = at.new_state["square_avg"], o["alpha"]
    old = at.state.get("square_avg", 0.0)
    yield Formula("v", (alpha, "×", old, "+", 1 - alpha, "×", grad, "²"), v)
    own = grad / (math.sqrt(v) + o["eps"])
    if not o["momentum"]:
        parts: Parts = (at.before, "-", o["lr"], "×", grad, "/ (√", v, "+", o["eps"], ")")
        yield Formula("w", parts, at.before - o["lr"] * own)
        return
    old, new = at.state.get("momentum_buffer", 0.0), at.new_state["momentum_buffer"]
    parts = (o["momentum"], "×", old, "+", grad, "/ (√", v, "+", o["eps"], ")")
    yield Formula("momentum", parts, new)
    yield Formula("w", (at.before, "-", o["lr"], "×", new), at.before - o["lr"] * new)


_RULES: Final = (
    (optim.SGD, _sgd), (optim.Adam, _adam), (optim.AdamW, _adam), (optim.RMSprop, _rmsprop)
)  # fmt: skip
