"""Points and windows of points of a series, in a bounded number of buckets, by where they are."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..protocol.snapshot import Curve

BUCKETS: Final = 512
"""Most buckets a series is kept in; more points make wider buckets, never more of them."""
X, LOW, SUM, HIGH, COUNT, BAD = range(6)
"""Rows of a table of buckets (6, n): where each ends; minimum, sum, maximum and count of its finite
points; how many others it has."""


def curve_of(table: np.ndarray) -> Curve:
    """A table of buckets as it is drawn."""
    x, low, total, high, count, bad = table
    some = count > 0
    mean = np.divide(total, count, out=np.zeros_like(total), where=some)
    return Curve(
        x=tuple(x.tolist()),
        low=_filled(low, some),
        mean=_filled(mean, some),
        high=_filled(high, some),
        bad=tuple(int(n) for n in bad),
    )


def _filled(row: np.ndarray, some: np.ndarray) -> tuple[float | None, ...]:
    """The values where there are some, None elsewhere."""
    return tuple(v if ok else None for v, ok in zip(row.tolist(), some.tolist(), strict=True))


def folded(table: np.ndarray, width: int, most: int = BUCKETS) -> tuple[np.ndarray, int]:
    """A table of buckets, none of them empty, with those put together that are in the same place;
    places get twice as wide until there are at most so many. The table, and the width of a place.
    """
    while True:
        starts = np.flatnonzero(np.diff((table[X] - 1) // width, prepend=-np.inf))
        if len(starts) <= most:
            break
        width *= 2
    ends = np.append(starts[1:], table.shape[1]) - 1
    rows = [
        table[X][ends],
        np.minimum.reduceat(table[LOW], starts),
        np.add.reduceat(table[SUM], starts),
        np.maximum.reduceat(table[HIGH], starts),
        np.add.reduceat(table[COUNT], starts),
        np.add.reduceat(table[BAD], starts),
    ]
    return np.stack(rows), width


class Buckets:
    """One metric of a log, whose records are batches at first, then windows of ever more."""

    def __init__(self) -> None:
        self._table = np.empty((6, 0))
        self._width = 1

    def extend(self, columns: list[tuple[float, ...]]) -> None:
        """Append buckets, each a column of a table; where they end must not go down."""
        if columns:
            table = np.concatenate([self._table, np.array(columns, dtype=float).T], axis=1)
            self._table, self._width = folded(table, self._width)

    def curve(self) -> Curve:
        """The whole run in at most `BUCKETS` buckets."""
        return curve_of(self._table)


def point(x: float, y: float | None) -> tuple[float, ...]:
    """A single point as a column; None is one that was NaN or infinite."""
    return (x, np.inf, 0.0, -np.inf, 0.0, 1.0) if y is None else (x, y, y, y, 1.0, 0.0)
