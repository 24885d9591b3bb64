"""The expressions of breakpoints: words and grammar. Nothing is executed.

    truth   := both ("or" both)*
    both    := denied ("and" denied)*
    denied  := "not" denied | compared
    compared := sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)*
    sum     := product (("+" | "-") product)*
    product := factor (("*" | "/") factor)*
    factor  := ("-" | "+") factor | number | name | "(" truth ")"

A number and a truth are different things: each place in the grammar takes one of them.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple

from .closures import (
    Judged,
    Number,
    Part,
    Truth,
    both,
    compared,
    computed,
    constant,
    divided,
    either,
)

LONGEST: Final = 200
"""Characters of an expression."""
DEEPEST: Final = 32
"""Brackets, signs and `not` inside each other."""

COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
WORDS: Final = ("and", "or", "not")
CONSTANTS: Final = {"inf": math.inf, "nan": math.nan}

_MEANT: Final = {"=": "==", "&": "and", "|": "or", "!": "not", "≤": "<=", "≥": ">=", "≠": "!="}
_TOKEN: Final = re.compile(
    r"(?P<space>[ \t\r\n]+)"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<sign><=|>=|==|!=|[<>+\-*/()])"
)


class ConditionError(ValueError):
    """A condition that can't be understood; one line that names the place."""


class Token(NamedTuple):
    """A word, number or sign, and where it begins."""

    kind: str
    text: str
    column: int
    """Counted from 1."""


def complain(problem: str, column: int | None = None) -> ConditionError:
    """The error, printable and on one line."""
    place = "" if column is None else f"column {column}: "
    return ConditionError(place + "".join(c if c.isprintable() else "?" for c in problem))


def shown(text: str) -> str:
    """Some of a text, quoted."""
    return f'"{text}"' if len(text) <= 40 else f'"{text[:37]}..."'


def tokens(text: str) -> Iterator[Token]:
    """The words of an expression, and one token of kind "end".

    Raises:
        ConditionError: a character that belongs to none.
    """
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            meant = _MEANT.get(text[at])
            hint = f"; write {meant}" if meant else ""
            raise complain(f"{shown(text[at])} means nothing here{hint}", at + 1)
        kind = found.lastgroup or ""
        if kind != "space":
            yield Token(kind, found.group(), at + 1)
        at = found.end()
    yield Token("end", "", len(text) + 1)


class Parser:
    """Recursive descent over one expression.

    Args:
        text: the expression.
        name: gives the part that a name stands for; None for an unknown one.
        known: every name, for a hint at what may have been meant.

    Raises:
        ConditionError: it is too long.
    """

    def __init__(self, text: str, name: Callable[[str], Part | None], known: list[str]) -> None:
        if len(text) > LONGEST:
            raise complain(f"{len(text)} characters are too long; at most {LONGEST} are read")
        self._tokens = list(tokens(text))
        self._at, self._depth = 0, 0
        self._name, self._known = name, known

    def condition(self) -> Judged:
        """The whole expression.

        Raises:
            ConditionError: it isn't one.
        """
        if self._next.kind == "end":
            raise complain('there is no condition; write one such as "loss > 3"')
        first = self._next
        part = self._truth()
        if self._next.kind != "end":
            raise self._unexpected()
        return self._true(part, first)

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> Token | None:
        """The next token if it is one of these."""
        token = self._next
        if token.kind != "end" and token.text in texts:
            self._at += 1
            return token
        return None

    def _unexpected(self) -> ConditionError:
        token = self._next
        if token.kind == "end":
            return complain("something is missing at the end", token.column)
        return complain(f"{shown(token.text)} is not expected here", token.column)

    def _deeper(self, take: Callable[[], Part]) -> Part:
        self._depth += 1
        if self._depth > DEEPEST:
            raise complain(f"more than {DEEPEST} levels inside each other", self._next.column)
        part = take()
        self._depth -= 1
        return part

    def _true(self, part: Part, token: Token) -> Judged:
        if isinstance(part, Number):
            raise complain(
                f"a number alone is neither true nor false; compare it, as in {part.name or 'loss'}"
                " > 3",
                token.column,
            )
        return part.value

    def _number(self, part: Part, token: Token) -> Number:
        if isinstance(part, Truth):
            raise complain("what is true or false can't be compared or computed with", token.column)
        return part

    # One method a line of the grammar.

    def _truth(self) -> Part:
        return self._joined("or", self._both, either)

    def _both(self) -> Part:
        return self._joined("and", self._denied, both)

    def _joined(
        self, word: str, operand: Callable[[], Part], join: Callable[[Judged, Judged], Judged]
    ) -> Part:
        token = self._next
        part = operand()
        while self._take(word):
            left = self._true(part, token)
            token = self._next
            part = Truth(join(left, self._true(operand(), token)))
        return part

    def _denied(self) -> Part:
        if not self._take("not"):
            return self._compared()
        token = self._next
        value = self._true(self._deeper(self._denied), token)
        return Truth(lambda values: None if (true := value(values)) is None else not true)

    def _compared(self) -> Part:
        token = self._next
        part = self._sum()
        result: Judged | None = None
        while sign := self._take(*COMPARISONS):
            left = self._number(part, token)
            token = self._next
            part = right = self._number(self._sum(), token)
            here = compared(left, COMPARISONS[sign.text], right)
            result = here if result is None else both(result, here)
        return part if result is None else Truth(result)

    def _sum(self) -> Part:
        return self._computed({"+": operator.add, "-": operator.sub}, self._product)

    def _product(self) -> Part:
        return self._computed({"*": operator.mul, "/": divided}, self._factor)

    def _computed(
        self, signs: Mapping[str, Callable[[float, float], float]], operand: Callable[[], Part]
    ) -> Part:
        token = self._next
        part = operand()
        while sign := self._take(*signs):
            left = self._number(part, token)
            token = self._next
            part = computed(left, signs[sign.text], self._number(operand(), token))
        return part

    def _factor(self) -> Part:
        token = self._next
        if sign := self._take("-", "+"):
            inner = self._next
            number = self._number(self._deeper(self._factor), inner)
            return number if sign.text == "+" else computed(constant(-1.0), operator.mul, number)
        if self._take("("):
            part = self._deeper(self._truth)
            if not self._take(")"):
                raise complain("this bracket is never closed", token.column)
            return part
        if token.kind == "number":
            self._at += 1
            return constant(float(token.text))
        if token.kind != "word" or token.text in WORDS:
            raise self._unexpected()
        self._at += 1
        if token.text in CONSTANTS:
            return constant(CONSTANTS[token.text])
        named = self._name(token.text)
        if named is None:
            raise complain(f"there is no {shown(token.text)}{self._hint(token.text)}", token.column)
        return named

    def _hint(self, word: str) -> str:
        by_lower = {name.lower(): name for name in (*self._known, *WORDS)}
        close = get_close_matches(word.lower()[:40], by_lower, n=1)
        return f"; did you mean {by_lower[close[0]]}?" if close else f"; known: {self._all()}"

    def _all(self) -> str:
        return ", ".join(self._known)
