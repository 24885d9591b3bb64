"""Metric series of a run: recent points in full, the whole run in a bounded number of buckets."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch

from ..protocol.snapshot import Curve
from ..storage.buckets import BUCKETS, X, curve_of, folded

RECENT: Final = 240
"""Recent points kept one by one."""
_BLOCK: Final = 1024
"""Points that are put into buckets at a time. Sums round, so when this happens may depend on
nothing but the number of points, and not on when a curve or a state is asked for."""


class Series:
    """One metric over the whole run.

    A bucket keeps minimum, mean and maximum of its points and how many were NaN or infinite, so
    that neither a spike nor a NaN is ever lost. Memory does not grow with the run.
    """

    def __init__(self, buckets: int = BUCKETS) -> None:
        self._limit = max(2, buckets)
        self._before: list[float] = []
        """The last points that are in buckets already, one by one."""
        self._x: list[float] = []
        self._y: list[float] = []
        self._table = np.empty((6, 0))
        self._width = 1
        self._points = 0
        self._curve: tuple[int, Curve] | None = None
        """As it was built last, and of how many points."""

    def __len__(self) -> int:
        return self._points + len(self._y)

    @property
    def recent(self) -> tuple[float, ...]:
        """The last points one by one, oldest first."""
        newest = self._y[-RECENT:]
        older = RECENT - len(newest)
        return tuple(self._before[-older:] + newest if older else newest)

    @property
    def last(self) -> float | None:
        """The newest point; None before the first."""
        if self._y:
            return self._y[-1]
        return self._before[-1] if self._before else None

    @property
    def last_x(self) -> float:
        """Where the newest point is; 0 before the first."""
        if self._x:
            return self._x[-1]
        return float(self._table[X, -1]) if self._points else 0.0

    def add(self, x: float, y: float) -> None:
        """Append a point; x (a batch number) must not go down."""
        self._x.append(x)
        self._y.append(y)
        if len(self._y) == _BLOCK:
            self._put_away()

    def extend(self, x: int, values: list[float]) -> None:
        """Append points at x, x + 1, x + 2, ..."""
        while values:
            room = _BLOCK - len(self._y)
            some, values = values[:room], values[room:]
            self._x += range(x, x + len(some))
            self._y += some
            x += len(some)
            if len(some) == room:
                self._put_away()

    def _put_away(self) -> None:
        """Put a whole block of waiting points into buckets."""
        self._table, self._width = self._folded()
        self._before = list(self.recent)
        self._points += _BLOCK
        self._x.clear()
        self._y.clear()

    def curve(self) -> Curve:
        """The whole run in at most `BUCKETS` buckets."""
        if self._curve is None or self._curve[0] != len(self):
            self._curve = len(self), curve_of(self._folded()[0])
        return self._curve[1]

    def state(self) -> dict[str, Any]:
        """Everything there is to the series, in tensors and plain numbers."""
        return {
            "table": torch.from_numpy(self._table.copy()),  # (6, buckets)
            "width": self._width,
            "points": self._points,
            "waiting": torch.tensor([self._x, self._y], dtype=torch.float64),  # (2, points)
            "recent": list(self.recent),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become the series that gave `state`."""
        self._table = state["table"].numpy().copy()
        self._width, self._points = state["width"], state["points"]
        self._x, self._y = state["waiting"].tolist()
        recent = list(state["recent"])
        self._before = recent[: max(0, len(recent) - len(self._y))]
        self._curve = None

    def _folded(self) -> tuple[np.ndarray, int]:
        """The table (6, buckets) with the waiting points in it, and how wide its buckets are."""
        if not self._y:
            return self._table, self._width
        y = np.array(self._y)
        fine = np.isfinite(y)
        low, value, high = (np.where(fine, y, empty) for empty in (np.inf, 0.0, -np.inf))
        points = np.stack([self._x, low, value, high, fine, ~fine])  # (6, points)
        table = np.concatenate([self._table, points], axis=1)
        return folded(table, self._width, self._limit)
