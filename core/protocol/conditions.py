"""Breakpoints: conditions on a run's numbers, such as "grad_norm > 10 and epoch > 2"."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, Literal, NamedTuple

from .steps import CLASS_METRICS

Values = Mapping[str, float | None]
"""The run's numbers by name; None or missing where not known yet."""
Number = Callable[[Values], float | None]
Truth = Callable[[Values], bool | None]

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
    "lr": Name("begin", "learning rate of the batch under way, the largest of all groups"),
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

Whoever checks a condition supplies each at its gate and leaves it there until it changes: None
before its first value, and None for `loss` from a batch's begin to its loss gate, for
`grad_norm` to its update gate. `nonfinite` is made of these two here, so it is checked at both:
at the loss gate before a session that stops on such a loss does so.
"""

METRICS: Final = ("accuracy", *CLASS_METRICS, "r2", "mae", "perplexity")
"""Metrics that some task brings, for a condition read before the run is known."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition, quick to evaluate again and again."""

    text: str
    needs: frozenset[str]
    """Names whose values it asks for: without `grad_norm`, no norm has to be computed."""
    gates: tuple[Gate, ...]
    """Where one of these names changes, in a batch's order; at the last all are known."""
    evaluate: Truth = field(compare=False, repr=False)
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


def parse(
    text: str, metrics: Iterable[str] = METRICS, known: Mapping[str, Name] = NAMES
) -> Condition:
    """Read a condition: comparisons of `NAMES` and numbers with < <= > >= == !=, joined by and,
    or, not and parentheses; numbers may be computed with + - * /.

    NaN compares as false, except that it is != to all; `nonfinite` finds it.

    Args:
        text: such as "loss > 3 or nonfinite".
        metrics: names of the run's validation metrics.
        known: the other names that it may use.

    Raises:
        ConditionError: it can't be understood; one line.
    """
    if len(text) > LONGEST:
        raise _error(f"{len(text)} characters are too long; at most {LONGEST} are read")
    tokens = list(_tokens(text))
    if len(tokens) == 1:
        raise _error('there is no condition; write one such as "loss > 3"')
    names = {**known, **{name: Name("validation", "") for name in metrics if name not in known}}
    _check_order(tokens, names)
    builder = _Builder(tokens, names)
    evaluate = builder.condition()
    if not builder.used:
        raise ConditionError("this never changes; name something that does, such as loss")
    at = {names[name].gate for name in builder.used}
    gates = tuple(gate for gate in GATES if gate in at)
    return Condition(text, frozenset(builder.used), gates, evaluate)


LONGEST: Final = 200
"""Characters of a condition."""
DEEPEST: Final = 32
"""Brackets, signs and `not` inside each other."""

COMPARISONS: Final[dict[type[ast.cmpop], Callable[[float, float], bool]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
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
_WIDTH: Final = 5
"""Columns that each token takes up in the source that `ast` parses: "_199" and a space."""


class ConditionError(ValueError):
    """A condition that can't be understood; one line that names the place."""


class Token(NamedTuple):
    """A word, number or sign."""

    kind: str
    text: str
    column: int
    """Where it begins, counted from 1."""

    @property
    def is_operand(self) -> bool:
        return self.kind == "number" or (self.kind == "word" and self.text not in WORDS)


def _error(problem: str, column: int | None = None) -> ConditionError:
    """The error, printable and on one line."""
    place = "" if column is None else f"column {column}: "
    return ConditionError(place + "".join(c if c.isprintable() else "?" for c in problem))


def _quoted(text: str) -> str:
    return f'"{text}"' if len(text) <= 40 else f'"{text[:37]}..."'


def _tokens(text: str) -> Iterator[Token]:
    """The tokens of a condition, and one of kind "end".

    Raises:
        ConditionError: a character that belongs to none.
    """
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            meant = _MEANT.get(text[at])
            hint = f"; write {meant}" if meant else ""
            raise _error(f"{_quoted(text[at])} means nothing here{hint}", at + 1)
        kind = found.lastgroup or ""
        if kind != "space":
            yield Token(kind, found.group(), at + 1)
        at = found.end()
    yield Token("end", "", len(text) + 1)


def _check_order(tokens: list[Token], names: Mapping[str, Name]) -> None:
    """Raise a ConditionError at the first token that can't stand where it does, or names nothing.

    Python would say so too, but in words and columns of its own.
    """
    nested: list[Token] = []  # brackets, signs and `not` whose operand is not complete
    wants_operand = True
    before = ""
    for token in tokens:
        if len(nested) > DEEPEST:
            raise _error(f"more than {DEEPEST} levels inside each other", token.column)
        if not wants_operand and token.text in ("and", "or", ")"):
            _close(nested, "not")
        brackets = [outer for outer in nested if outer.text == "("]
        if wants_operand and token.is_operand:
            if token.kind == "word" and token.text not in (*names, *CONSTANTS):
                hint = _hint(token.text, names)
                raise _error(f"there is no {_quoted(token.text)}{hint}", token.column)
            wants_operand = False
            _close(nested, "+", "-")
        elif wants_operand and (
            token.text in ("(", "+", "-")
            or (token.text == "not" and before in ("", "(", "and", "or", "not"))
        ):
            nested.append(token)
        elif not wants_operand and token.text == ")" and brackets:
            nested.pop()
            _close(nested, "+", "-")
        elif not wants_operand and (
            token.text in ("and", "or") or (token.kind == "sign" and token.text not in "()")
        ):
            wants_operand = True
        elif not wants_operand and brackets:
            raise _error("this bracket is never closed", brackets[-1].column)
        elif token.kind != "end":
            raise _error(f"{_quoted(token.text)} is not expected here", token.column)
        elif wants_operand:
            raise _error("something is missing at the end", token.column)
        before = token.text


def _hint(word: str, names: Mapping[str, Name]) -> str:
    """What an unknown word may have meant."""
    by_lower = {name.lower(): name for name in (*names, *WORDS)}
    close = get_close_matches(word.lower()[:40], by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]}?" if close else f"; known: {', '.join(names)}"


def _close(nested: list[Token], *texts: str) -> None:
    while nested and nested[-1].text in texts:
        nested.pop()


class _Builder:
    """Makes a function of the run's values from a condition's tokens.

    `ast` parses the tokens with each name and number replaced by "_" and its index, so that it
    sees nothing but operators and such placeholders. Nothing is ever executed.
    """

    def __init__(self, tokens: list[Token], names: Mapping[str, Name]) -> None:
        self.tokens = tokens
        self.names = names
        self.used: set[str] = set()
        """Names whose values the condition asks for."""

    def condition(self) -> Truth:
        """Whether the whole condition is true.

        Raises:
            ConditionError: it isn't one.
        """
        source = "".join(
            (f"_{index}" if token.is_operand else token.text).ljust(_WIDTH)
            for index, token in enumerate(self.tokens)
        )
        try:
            tree = ast.parse(source, mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            raise _error("this can't be read as a condition") from error
        return self._truth(tree.body)

    def _truth(self, node: ast.expr) -> Truth:
        match node:
            case ast.BoolOp(op=op, values=values):
                return _joined([self._truth(value) for value in values], isinstance(op, ast.Or))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                value = self._truth(operand)
                return lambda values: None if (true := value(values)) is None else not true
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                numbers = [self._number(part) for part in (left, *comparators)]
                pairs = zip(numbers, ops, numbers[1:], strict=False)
                parts = [_compared(a, COMPARISONS[type(op)], b) for a, op, b in pairs]
                return parts[0] if len(parts) == 1 else _joined(parts, False)
            case ast.Name() if self._token(node).text == "nonfinite":
                self.used.update(("loss", "grad_norm"))
                return nonfinite
        self._number(node)  # what is wrong inside it comes first
        name = self._token(node).text if isinstance(node, ast.Name) else ""
        example = name if name in self.names else "loss"
        raise _error(
            f"a number alone is neither true nor false; compare it, as in {example} > 3",
            self._column(node),
        )

    def _number(self, node: ast.expr) -> Number:
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                return _computed(self._number(left), ARITHMETIC[type(op)], self._number(right))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._number(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _computed(lambda values: -1.0, operator.mul, self._number(operand))
            case ast.Name() if self._token(node).text != "nonfinite":
                return self._operand(self._token(node))
        self._truth(node)  # what is wrong inside it comes first
        problem = "what is true or false can't be compared or computed with"
        raise _error(problem, self._column(node))

    def _operand(self, token: Token) -> Number:
        """A number as it is written, or a value by its name."""
        if token.kind == "number" or token.text in CONSTANTS:
            number = CONSTANTS.get(token.text)
            constant = float(token.text) if number is None else number
            return lambda values: constant
        name = self.names[token.text].stands_for or token.text
        self.used.add(name)
        # As a float: computing with whole numbers could give more than a float holds.
        return lambda values: None if (found := values.get(name)) is None else float(found)

    def _token(self, node: ast.expr) -> Token:
        return self.tokens[node.col_offset // _WIDTH]

    def _column(self, node: ast.expr) -> int:
        """Where a part begins, with the brackets around it."""
        first, after = node.col_offset // _WIDTH, (node.end_col_offset or 0) // _WIDTH + 1
        while first and self.tokens[first - 1].text == "(" and self.tokens[after].text == ")":
            first, after = first - 1, after + 1
        return self.tokens[first].column


def _divide(a: float, b: float) -> float:
    """Quotient as IEEE 754 has it: infinite or NaN where `b` is 0."""
    if b:
        return a / b
    if not a or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


ARITHMETIC: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _divide,
}


def _computed(a: Number, apply: Callable[[float, float], float], b: Number) -> Number:
    def number(values: Values) -> float | None:
        x, y = a(values), b(values)
        return None if x is None or y is None else apply(x, y)

    return number


def _compared(a: Number, holds: Callable[[float, float], bool], b: Number) -> Truth:
    def truth(values: Values) -> bool | None:
        x, y = a(values), b(values)
        return None if x is None or y is None else holds(x, y)

    return truth


def _joined(parts: list[Truth], decisive: bool) -> Truth:
    """`or` (True is decisive) or `and` (False is): unknown if what is not known could decide."""

    def truth(values: Values) -> bool | None:
        result: bool | None = not decisive
        for part in parts:
            true = part(values)
            if true is decisive:
                return decisive
            if true is None:
                result = None
        return result

    return truth


def nonfinite(values: Values) -> bool | None:
    """Whether loss or gradient norm is NaN or infinite, as far as they are known."""
    known = [x for x in (values.get("loss"), values.get("grad_norm")) if x is not None]
    if not all(map(math.isfinite, known)):
        return True
    return False if len(known) == 2 else None
