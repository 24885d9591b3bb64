"""What the keys of a recipe may hold. Standard library only.

Every option knows its default, checks a value as TOML gives it, and says in words what it
expects. A check gives the value back in its one canonical form, or raises ValueError with a
text that goes on after "key: ".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from .errors import nearest, shown

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]


class Option(Protocol):
    """One key of a recipe."""

    @property
    def default(self) -> Value | None:
        """The value where a recipe has none; None if the recipe must have one."""

    @property
    def expected(self) -> str:
        """What is accepted, in words: "a number above 0"."""

    def check(self, value: object) -> Value:
        """The value in canonical form. Raises ValueError where it is not acceptable."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, or one of a few words."""

    default: int | str
    low: int
    high: int
    words: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        return _or_words(f"a whole number from {self.low} to {self.high}", self.words)

    def check(self, value: object) -> int | str:
        if isinstance(value, str) and value in self.words:
            return value
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        ):
            return value
        raise _refusal(self, value)


@dataclass(frozen=True, slots=True)
class Real:
    """A finite number from `low` to `high`; `above` and `below` leave the end itself out."""

    default: float | str
    low: float = 0.0
    high: float = 1e6
    above: bool = False
    below: bool = False
    words: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        low = f"a number {'above' if self.above else 'from'} {self.low:g}"
        to = ", below" if self.below else ", at most" if self.above else " to"
        return _or_words(f"{low}{to} {self.high:g}", self.words)

    def check(self, value: object) -> float | str:
        if isinstance(value, str) and value in self.words:
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            low_ok = value > self.low if self.above else value >= self.low
            high_ok = value < self.high if self.below else value <= self.high
            if low_ok and high_ok and math.isfinite(value):
                return float(value)
        raise _refusal(self, value)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    default: bool

    @property
    def expected(self) -> str:
        return "true or false"

    def check(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        raise _refusal(self, value)


@dataclass(frozen=True, slots=True)
class Word:
    """One of a few words, in any case; `refused` has words never accepted, each with the reason."""

    default: str | None
    choices: tuple[str, ...]
    refused: Mapping[str, str] | None = None

    @property
    def expected(self) -> str:
        return "one of " + ", ".join(self.choices)

    def check(self, value: object) -> str:
        if not isinstance(value, str):
            raise _refusal(self, value)
        for choice in self.choices:
            if choice.lower() == value.lower():
                return choice
        for name, reason in (self.refused or {}).items():
            if name.lower() == value.lower():
                raise ValueError(f"{name} can't be used here: {reason}")
        guess = nearest(value, self.choices)
        hint = f"; did you mean {guess}?" if guess else ""
        raise ValueError(f"expected {self.expected}, not {shown(value)}{hint}")


@dataclass(frozen=True, slots=True)
class Text:
    """Words for people, on one line; what can't be printed is left out."""

    default: str
    limit: int = 500

    @property
    def expected(self) -> str:
        return f"a text of at most {self.limit} characters"

    def check(self, value: object) -> str:
        if isinstance(value, str) and len(value) <= self.limit:
            return "".join(c for c in value if c.isprintable())
        raise _refusal(self, value)


@dataclass(frozen=True, slots=True)
class Matching:
    """A text that fits a pattern as a whole."""

    default: str | None
    pattern: str
    expected: str

    def check(self, value: object) -> str:
        if isinstance(value, str) and re.fullmatch(self.pattern, value):
            return value
        raise _refusal(self, value)


@dataclass(frozen=True, slots=True)
class Several:
    """A list of `least` to `most` values of one kind."""

    default: tuple[Scalar, ...]
    item: Whole | Matching
    least: int
    most: int

    @property
    def expected(self) -> str:
        return f"a list of {self.least} to {self.most} values, each {self.item.expected}"

    def check(self, value: object) -> tuple[Scalar, ...]:
        if not isinstance(value, (list, tuple)) or not self.least <= len(value) <= self.most:
            raise _refusal(self, value)
        return tuple(self.item.check(v) for v in value)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two numbers, each with bounds of its own; `rising` wants the first below the second."""

    first: Real
    second: Real
    rising: bool = False

    @property
    def default(self) -> tuple[Scalar, ...]:
        return (self.first.default, self.second.default)

    @property
    def expected(self) -> str:
        rising = ", the first below the second" if self.rising else ""
        return f"two numbers: {self.first.expected}, and {self.second.expected}{rising}"

    def check(self, value: object) -> tuple[Scalar, ...]:
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise _refusal(self, value)
        pair = (self.first.check(value[0]), self.second.check(value[1]))
        if self.rising and not float(pair[0]) < float(pair[1]):
            raise _refusal(self, value)
        return pair


Options = Mapping[str, Option]


def _or_words(text: str, words: tuple[str, ...]) -> str:
    return text + "".join(f' or "{word}"' for word in words)


def _refusal(option: Option, value: object) -> ValueError:
    return ValueError(f"expected {option.expected}, not {shown(value)}")
