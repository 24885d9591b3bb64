"""Several runs compared: which settings differ, where their numbers part, who does better."""

from __future__ import annotations

import math
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from ..protocol.conditions import Condition, ConditionError, Name, parse
from .numbers import Numbers, Points, in_order

LETTERS: Final = string.ascii_uppercase
"""What runs are called, in the order in which they were named."""


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two runs' numbers differ for the first time."""

    metric: str
    batches: int
    """Batches done, the one that differs included."""
    epoch: int
    batch: int
    """In its epoch, counted from 1."""
    values: tuple[float, float]
    """Of the first run and of the other; NaN if not finite."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike another run of ours is to the first one, bit by bit."""

    compared: int
    """Batches that both have."""
    parting: Parting | None
    """Where a loss or a validation differs first; None where none does."""
    lr: Parting | None
    """Where the learning rate differs first, if that is no later."""


class Comparison:
    """Runs next to each other, A, B, C, ...

    Args:
        runs: at least one, at most 26.
    """

    def __init__(self, runs: Sequence[Numbers]) -> None:
        self.runs = tuple(runs)
        self.letters = LETTERS[: len(self.runs)]

    @cached_property
    def metrics(self) -> list[str]:
        """Every metric that a run has, in the order in which they are listed."""
        own = {name for run in self.runs for name in run.higher}
        return in_order((name for run in self.runs for name in run.points), own)

    def is_higher_better(self, metric: str) -> bool | None:
        """Whether more of it is better; None if nobody says so."""
        said = (run.is_higher_better(metric) for run in self.runs)
        return next((one for one in said if one is not None), None)

    @cached_property
    def differing(self) -> dict[str, tuple[Any, ...]]:
        """The settings that are not the same in all runs, by key; None where a run has none."""
        known = [run for run in self.runs if run.settings]
        keys = dict.fromkeys(key for run in known for key in run.settings)
        rows = {key: tuple(run.settings.get(key) for run in self.runs) for key in keys}
        if len(known) < 2:
            return {}
        return {
            key: row for key, row in rows.items() if any(_other(row, i) for i in range(len(row)))
        }

    def trains_otherwise(self, letter: str) -> list[str]:
        """What of a run is not as in the first one, so that its first batch can't be the same:
        data, model, seed; nothing where the settings of one are not known.
        """
        i = self.letters.index(letter)
        if not (self.runs[i].settings and self.runs[0].settings):
            return []
        sections = {key.split(".")[0] for key, row in self.differing.items() if _other(row, i)}
        named = {"data": {"data", "dataset"}, "model": {"model"}, "seed": {"seed"}}
        return [name for name, those in named.items() if those & sections]

    @cached_property
    def likenesses(self) -> tuple[Likeness | None, ...]:
        """How alike each run is to the first one; None for the first, and where one of the two is
        not a run of ours.
        """
        first = self.runs[0]
        return tuple(
            likeness(first, run) if run is not first and run.ours and first.ours else None
            for run in self.runs
        )

    def values(self, run: Numbers) -> dict[str, float | None]:
        """A run's numbers as conditions name them: `val_loss` is the last, `best_val_loss` the
        best. None where there is none, NaN where it was not finite.
        """
        found: dict[str, float | None] = {}
        for name in self.metrics:
            points = run.points.get(name)
            found[name] = None if points is None or not len(points) else points.last
            best = run.best(name)
            found[f"best_{name}"] = None if best is None else best.value
        return found


def likeness(first: Numbers, other: Numbers) -> Likeness:
    """Two runs of ours compared bit by bit, as far as both have the same batches."""
    shared, parting, lr = 0, None, None
    for metric in in_order(first.points.keys() & other.points.keys()):
        if metric == "batches_per_second":  # never the same
            continue
        compared, found = _first_difference(metric, first, other)
        if metric == "loss":
            shared = compared
        if found is None:
            continue
        if metric.startswith("lr"):
            lr = found if lr is None or found.batches < lr.batches else lr
        elif parting is None or found.batches < parting.batches:
            parting = found
    if parting is not None and lr is not None and lr.batches > parting.batches:
        lr = None
    return Likeness(shared, parting, lr)


def _first_difference(metric: str, a: Numbers, b: Numbers) -> tuple[int, Parting | None]:
    """How many batches both have of a metric, and where it differs first."""
    one, two = a.points[metric], b.points[metric]
    i = j = compared = 0
    while i < len(one) and j < len(two):
        if one.batches[i] == two.batches[j]:
            compared = int(one.batches[i])
            if _point(one, i) != _point(two, j):
                epoch, batch = a.place(compared)
                return compared, Parting(metric, compared, epoch, batch, (one.mean[i], two.mean[j]))
            i, j = i + 1, j + 1
        elif one.batches[i] < two.batches[j]:
            i += 1
        else:
            j += 1
    return compared, None


def _point(points: Points, i: int) -> tuple[bytes | int, ...]:
    """A point's bits: minus zero is not zero, and NaN is NaN."""
    return (
        *(row[i : i + 1].tobytes() for row in (points.low, points.mean, points.high)),
        points.bad[i],
    )


def _other(row: tuple[Any, ...], i: int) -> bool:
    return _said(row[i]) != _said(row[0])


def _said(value: Any) -> str:
    return repr(float(value)) if isinstance(value, (int, float)) else repr(value)


class FailIf:
    """A condition that a comparison must not meet, such as "val_loss > 1.02 * A".

    Metrics are those of each run but the first; a letter stands for the same metric of that run.
    Nothing is executed.

    Args:
        text: the condition.
        comparison: whose metrics and letters it may name.

    Raises:
        ConditionError: it can't be understood; one line.
    """

    def __init__(self, text: str, comparison: Comparison) -> None:
        self.text, self._comparison = text, comparison
        metrics = [*comparison.metrics, *(f"best_{name}" for name in comparison.metrics)]
        known = {
            name
            for run in comparison.runs
            for name, value in comparison.values(run).items()
            if value is not None and re.fullmatch(r"[^\W\d]\w*", name)
        }
        self._metrics = [name for name in metrics if name in known]
        names = {name: Name("validation", "") for name in (*self._metrics, *comparison.letters)}
        parse(text, (), names)  # what is wrong is told in its own columns
        self._condition = self._with_letters(names)

    def _with_letters(self, names: Mapping[str, Name]) -> Condition:
        """Each comparison's letters made to stand for its metric: A for `A_val_loss`, say."""
        letters, parts = self._comparison.letters, re.split(r"\b(and|or)\b", self.text)
        named = dict(names)
        for i, part in enumerate(parts):
            words = re.findall(r"[^\W\d]\w*", part)
            metrics = {word for word in words if word in self._metrics}
            if not set(words) & set(letters):
                continue
            if len(metrics) != 1:
                raise ConditionError(
                    f'in "{part.strip()}" a letter stands for the same number of another run: '
                    "name exactly one metric beside it, as in val_loss > 1.02 * A"
                )
            (metric,) = metrics
            parts[i] = re.sub(rf"\b([{letters}])\b", rf"\1_{metric}", part)
            named |= {f"{letter}_{metric}": Name("validation", "") for letter in letters}
        return parse("".join(parts), (), named)

    def failing(self) -> list[str]:
        """The letters of the runs that it is true of, or whose numbers were NaN or infinite.

        Raises:
            ConditionError: a number that it names is not known; one line.
        """
        comparison = self._comparison
        each = [comparison.values(run) for run in comparison.runs]
        fixed = {
            f"{letter}_{name}": value
            for letter, values in zip(comparison.letters, each, strict=True)
            for name, value in values.items()
        }
        found = []
        for letter, values in zip(comparison.letters[1:], each[1:], strict=True):
            known = {**fixed, **values}
            missing = [name for name in sorted(self._condition.needs) if known.get(name) is None]
            if missing:
                raise ConditionError(self._unknown(missing[0], letter))
            bad = any(math.isnan(known[name] or 0.0) for name in self._condition.needs)
            if bad or self._condition.holds(known):
                found.append(letter)
        return found

    def _unknown(self, name: str, letter: str) -> str:
        """What to say of a number that a run does not have."""
        head, _, metric = name.partition("_")
        if head in self._comparison.letters and metric:
            letter, name = head, metric
        run = self._comparison.runs[self._comparison.letters.index(letter)]
        return f"{letter} ({run.name}) has no {name}"
