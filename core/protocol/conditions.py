"""Breakpoints: conditions on a run's numbers, such as "grad_norm > 10 and epoch > 2"."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, Literal, NamedTuple

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


__all__ = ["GATES", "NAMES", "Breakpoint", "Condition", "ConditionError", "Name", "Values", "parse"]

Gate = Literal["begin", "loss", "update", "end", "validation"]

GATES: Final[tuple[Gate, ...]] = ("begin", "loss", "update", "end", "validation")
"""Where a run's numbers change, in a batch's order:

- begin: a batch was fetched and none of the five steps taken;
- loss: before backward, so before anything can reach the weights;
- update: before the update, once the gradients are complete;
- end: the batch is counted;
- validation: a validation is over, at an epoch's end or asked for.
"""


@dataclass(frozen=True, slots=True)
class Name:
    """A number that conditions may name."""

    gate: Gate
    """Where it takes a new value."""
    about: str
    """What it is, with its unit."""
    stands_for: str | None = None
    """Set where this is another word for that name."""


NAMES: Final[dict[str, Name]] = {
    "loss": Name("loss", "loss of the batch under way, in the criterion's unit"),
    "grad_norm": Name("update", "norm of all gradients together, before clipping"),
    "nonfinite": Name("update", "true or false: loss or grad_norm is NaN or infinite"),
    "lr": Name("begin", "learning rate that the batch under way uses"),
    "epoch": Name("begin", "the epoch under way, counted from 1"),
    "batch": Name("begin", "the batch under way in its epoch, counted from 1"),
    "batches_done": Name("end", "batches finished in the whole run"),
    "step": Name("end", "another word for batches_done", "batches_done"),
    "update": Name("end", "optimizer updates made in the whole run"),
    "epoch_loss": Name("end", "mean loss of the batches of this epoch so far"),
    "val_loss": Name("validation", "mean loss over the validation data, the latest"),
    "val_metric": Name("validation", "the task's own metric on the validation data, the latest"),
    "best": Name("validation", "the best val_metric so far"),
    "val_worse": Name("validation", "validations in a row whose val_metric was worse than best"),
}
"""Every name. Besides them, each validation metric by its own name, such as accuracy.

What judges a condition supplies each at its gate and leaves it there until it changes: None
before its first value, and None for `loss` from a batch's begin to its loss gate, for
`grad_norm` to its update gate. `nonfinite` is made of these two here, so it is judged at both:
at the loss gate before a session that stops on such a loss does so.
"""

METRICS: Final = ("accuracy", "r2", "mae", "perplexity")
"""Metrics that some task brings, for a condition read before the run is known."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition, quick to judge again and again."""

    text: str
    needs: frozenset[str]
    """Names whose values it asks for: without `grad_norm`, no norm has to be computed."""
    gates: tuple[Gate, ...]
    """Where one of these names changes, in a batch's order; at the last all are known."""
    evaluate: Judged = field(compare=False, repr=False)
    """Whether it is true of these values; None where one that is not known yet decides it."""

    def holds(self, values: Values) -> bool:
        """Whether it is true of these values; what isn't known yet makes nothing true."""
        return self.evaluate(values) is True


class Breakpoint:
    """A condition that fires when it *becomes* true, so that a run that goes on can get past it."""

    def __init__(self, condition: Condition) -> None:
        self.condition = condition
        self.held = False
        """Whether it was true when last it was known."""

    def check(self, values: Values) -> bool:
        """Whether to stop here. To be asked at each of the condition's gates.

        As long as the condition is unknown (the gradient's norm before backward), what it was
        before stands.
        """
        true = self.condition.evaluate(values)
        if true is None or true is self.held:
            return False
        self.held = true
        return true


def parse(text: str, metrics: Iterable[str] = METRICS) -> Condition:
    """Read a condition: comparisons of `NAMES` and numbers with < <= > >= == !=, joined by and,
    or, not and parentheses; numbers may be computed with + - * /.

    NaN compares as false, except that it is != to all; `nonfinite` finds it.

    Args:
        text: such as "loss > 3 or nonfinite".
        metrics: names of the run's validation metrics.

    Raises:
        ConditionError: it can't be understood; one line.
    """
    names = {**NAMES, **{name: Name("validation", "") for name in metrics if name not in NAMES}}
    used: set[str] = set()

    def part(word: str) -> Part | None:
        if word == "nonfinite":
            used.update(("loss", "grad_norm"))
            return Truth(nonfinite)
        if word not in names:
            return None
        name = names[word].stands_for or word
        used.add(name)
        return named(name)

    evaluate = Parser(text, part, list(names)).condition()
    if not used:
        raise ConditionError("this never changes; name something that does, such as loss")
    at = {names[name].gate for name in used}
    return Condition(text, frozenset(used), tuple(gate for gate in GATES if gate in at), evaluate)


def nonfinite(values: Values) -> bool | None:
    """Whether loss or gradient norm is NaN or infinite, as far as they are known."""
    known = [x for x in (values.get("loss"), values.get("grad_norm")) if x is not None]
    if not all(map(math.isfinite, known)):
        return True
    return False if len(known) == 2 else None
