"""A row of the table that `make bench` prints."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure: a ratio of pairs measured in turn, or a plain value."""

    what: str
    value: float
    """The median."""
    least: float
    most: float
    reach: float | None = None
    """What it should stay at or below; None where nothing was promised."""
    unit: str = ""
    """Empty for a ratio."""
    note: str = ""

    @classmethod
    def of(
        cls,
        what: str,
        values: Sequence[float],
        reach: float | None = None,
        unit: str = "",
        note: str = "",
    ) -> Row:
        """The median of several measurements, with their spread."""
        return cls(what, statistics.median(values), min(values), max(values), reach, unit, note)

    def __str__(self) -> str:
        reach = "" if self.reach is None else f"{self.reach:g}"
        met = "" if self.reach is None else "ok" if self.value <= self.reach else "MISSED"
        spread = f"{self.least:.3g}-{self.most:.3g}"
        return (
            f"{self.what:52} {self.value:7.3g} {self.unit:5} {spread:>13}  {reach:>5} {met:6} "
            f"{self.note}"
        ).rstrip()


HEAD = f"{'what':52} {'median':>7} {'':5} {'spread':>13}  {'reach':>5}"


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For a file."""
    return [
        {k: None if isinstance(v, float) and v != v else v for k, v in asdict(row).items()}
        for row in rows
    ]
