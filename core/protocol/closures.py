"""What the parts of a condition's expression do, as closures: quicker than to walk a tree.

A value that isn't known yet is None, and so is what is computed from it. Truths are those of
Kleene's three-valued logic: None where the unknown decides, so `a or b` is true as soon as a is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Values = Mapping[str, float | None]
Numeric = Callable[[Values], float | None]
Judged = Callable[[Values], bool | None]


@dataclass(frozen=True, slots=True)
class Number:
    """Part of an expression that has a number."""

    value: Numeric
    constant: float | None = None
    """Set where the number is the same for all values."""
    name: str | None = None
    """Set where the number is a value as it stands."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Part of an expression that is true, false or unknown."""

    value: Judged


Part = Number | Truth


def constant(number: float) -> Number:
    """A number that is written out."""
    return Number(lambda values: number, constant=number)


def named(name: str) -> Number:
    """A value by its name; as a float, since whole numbers could grow past what one holds."""

    def value(values: Values) -> float | None:
        found = values.get(name)
        return None if found is None else float(found)

    return Number(value, name=name)


def divided(a: float, b: float) -> float:
    """Quotient as IEEE 754 has it: infinite or NaN where `b` is 0."""
    if b:
        return a / b
    if not a or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def computed(left: Number, apply: Callable[[float, float], float], right: Number) -> Number:
    """Two numbers with + - * or / between them."""
    if left.constant is not None and right.constant is not None:
        return constant(apply(left.constant, right.constant))
    a, b = left.value, right.value

    def value(values: Values) -> float | None:
        x, y = a(values), b(values)
        return None if x is None or y is None else apply(x, y)

    return Number(value)


def compared(left: Number, holds: Callable[[float, float], bool], right: Number) -> Judged:
    """Two numbers with a comparison between them; the usual `name > number` is the fast one."""
    name, limit = left.name, right.constant
    if name is not None and limit is not None:

        def against(values: Values) -> bool | None:
            x = values.get(name)
            return None if x is None else holds(x, limit)

        return against
    a, b = left.value, right.value

    def judged(values: Values) -> bool | None:
        x, y = a(values), b(values)
        return None if x is None or y is None else holds(x, y)

    return judged


def both(a: Judged, b: Judged) -> Judged:
    """True if both are, false if one is, otherwise unknown."""

    def judged(values: Values) -> bool | None:
        first = a(values)
        if first is False:
            return False
        second = b(values)
        return second if first or second is False else None

    return judged


def either(a: Judged, b: Judged) -> Judged:
    """True if one is, false if neither is, otherwise unknown."""

    def judged(values: Values) -> bool | None:
        first = a(values)
        if first:
            return True
        second = b(values)
        return second if first is False or second else None

    return judged
