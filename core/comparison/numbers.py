"""The numbers of one run, by metric and point, whichever tool has written them."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from ..protocol.snapshot import Curve

Across = Literal["batches", "epochs", "seconds"]
"""What a point's place is counted in: batches done, epochs done, seconds since the start."""

FIRST: Final = ("loss", "train_loss", "val_loss")
"""Metrics that come first wherever they are listed."""
_FALLS: Final = frozenset("loss error mae mse rmse perplexity ppl wer cer".split())
_RISES: Final = frozenset("accuracy acc f1 r2 auc auroc precision recall bleu map iou dice".split())
"""Words in the name of a metric of which less, or more, is better."""


class BestPoint(NamedTuple):
    """The best value of a metric."""

    value: float
    batches: int
    """Batches done when it was reached."""


class Points:
    """One metric's points, in the order of their batches. NaN stands for NaN, infinity and what
    is not known.

    A point may stand for a window of batches; then `low` and `high` are their extremes.
    """

    __slots__ = ("bad", "batches", "epochs", "high", "low", "mean", "seconds")

    def __init__(self) -> None:
        self.batches, self.epochs, self.seconds = array("d"), array("d"), array("d")
        self.low, self.mean, self.high = array("d"), array("d"), array("d")
        self.bad = array("q")
        """How many of a point's values were NaN or infinite."""

    def add(
        self,
        batches: float,
        value: float | None,
        *,
        epochs: float | None = None,
        seconds: float | None = None,
        span: tuple[float | None, float | None] | None = None,
        bad: int | None = None,
    ) -> None:
        """Append a point.

        Args:
            batches, epochs, seconds: how many are done or have passed; see `Across`.
            value: the metric, or its mean over a window.
            span: its lowest and its highest value in a window.
            bad: values of a window that were not finite.
        """
        mean = _or_nan(value)
        low, high = (mean, mean) if span is None else (_or_nan(span[0]), _or_nan(span[1]))
        self.batches.append(batches)
        self.epochs.append(_or_nan(epochs))
        self.seconds.append(_or_nan(seconds))
        self.low.append(low)
        self.mean.append(mean)
        self.high.append(high)
        self.bad.append(int(math.isnan(mean)) if bad is None else bad)

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def last(self) -> float:
        """The newest value; NaN also where that was not finite."""
        return self.mean[-1] if self.mean else math.nan

    def best(self, *, higher: bool) -> BestPoint | None:
        """The best value, and the first place of it; None if none is finite."""
        sign = 1.0 if higher else -1.0
        fine = [(sign * v, -i) for i, v in enumerate(self.mean) if math.isfinite(v)]
        if not fine:
            return None
        _, at = max(fine)
        return BestPoint(self.mean[-at], int(self.batches[-at]))

    def curve(self, across: Across) -> Curve:
        """The points as a curve; without those whose place is not known."""
        x: array[float] = getattr(self, across)
        at = [i for i, place in enumerate(x) if math.isfinite(place)]

        def of(values: Sequence[float]) -> tuple[float | None, ...]:
            return tuple(values[i] if math.isfinite(values[i]) else None for i in at)

        return Curve(
            tuple(x[i] for i in at),
            of(self.low),
            of(self.mean),
            of(self.high),
            tuple(self.bad[i] for i in at),
        )


@dataclass(slots=True)
class Numbers:
    """What there is of one run."""

    name: str
    """For people; clean."""
    path: Path
    kind: str
    """Whose numbers they are: "run" (ours), or the tool's file in words."""
    points: dict[str, Points] = field(default_factory=dict)
    """By metric."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What the run was started with, by dotted keys; plain values."""
    higher: dict[str, bool] = field(default_factory=dict)
    """Of metrics of which that is known: whether more is better."""
    ends: list[int] = field(default_factory=list)
    """Batches done at the end of each epoch, as far as that is known."""
    about: str = ""
    """What it is and how far it came, in a few words."""

    @property
    def ours(self) -> bool:
        return self.kind == "run"

    def metric(self, name: str) -> Points:
        """The points of a metric, to be added to."""
        if name not in self.points:
            self.points[name] = Points()
        return self.points[name]

    def is_higher_better(self, name: str) -> bool | None:
        """Whether more of a metric is better; None if its name does not say so."""
        if name in self.higher:
            return self.higher[name]
        words = set(name.lower().replace("/", "_").replace("-", "_").split("_"))
        return False if words & _FALLS else True if words & _RISES else None

    def best(self, name: str) -> BestPoint | None:
        """The best value of a metric; None where what is better is not known, or nothing is."""
        higher, points = self.is_higher_better(name), self.points.get(name)
        return None if higher is None or points is None else points.best(higher=higher)

    def place(self, batches: int) -> tuple[int, int]:
        """Epoch and batch in it, both counted from 1, of the last of so many batches."""
        epoch = bisect_left(self.ends, batches)
        return epoch + 1, batches - (self.ends[epoch - 1] if epoch else 0)

    def count_epochs(self) -> None:
        """Say of each point how many epochs were done, as far as their lengths are known."""
        sizes = [end - start for start, end in pairwise((0, *self.ends))]
        for points in self.points.values() if sizes else ():
            epoch = start = 0
            for i, batches in enumerate(points.batches):
                while epoch < len(sizes) and batches > self.ends[epoch]:
                    start, epoch = self.ends[epoch], epoch + 1
                size = max(1, sizes[min(epoch, len(sizes) - 1)])
                points.epochs[i] = epoch + (batches - start) / size


def in_order(names: Iterable[str], own: Container[str] = ()) -> list[str]:
    """Metrics as they are listed: losses, what a run is judged by, other metrics, the rest."""

    def rank(name: str) -> tuple[int, str]:
        if name in FIRST:
            return FIRST.index(name), ""
        return (3 if name in own else 5 if name.startswith(("lr", "batches_per")) else 4), name

    return sorted(set(names), key=rank)


def _or_nan(value: Any) -> float:
    if type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return math.nan
        try:
            value = float(value)
        except OverflowError:
            return math.nan
    return value if math.isfinite(value) else math.nan
