"""Breakpoints: conditions on a run's numbers, such as "grad_norm > 10 and epoch > 2"."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from .closures import Judged, Part, Truth, Values, named
from .expressions import ConditionError, Parser

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
