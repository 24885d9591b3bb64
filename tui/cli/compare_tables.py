"""A comparison as tables for people, and as an object for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from ...core.comparison.comparison import Comparison, FailIf, Likeness, Parting
from ...core.protocol.conditions import ConditionError
from ...core.protocol.record_fields import finite
from ...core.storage.run_directory import RunError, shown
from ..render.comparison import comparison_lines

if TYPE_CHECKING:
    from ...core.comparison.numbers import Numbers

WIDE: Final = 200
"""Cells of a table that nobody looks at in a window."""


def checked(text: str, comparison: Comparison) -> list[str]:
    """The letters of the runs of which a `--fail-if` is true.

    Raises:
        RunError: it can't be understood, or asks for what is not known.
    """
    try:
        return FailIf(text, comparison).failing()
    except ConditionError as error:
        raise RunError(f"--fail-if {shown(text)}: {error}") from error


def as_text(comparison: Comparison, failing: dict[str, list[str]], width: int | None) -> str:
    """Tables for people, in so many cells if that matters, and which conditions hold."""
    rows = ["".join(text for text, _ in row) for row in comparison_lines(comparison, width or WIDE)]
    if failing:
        rows.append("")
    for condition, letters in failing.items():
        told = f"true of {', '.join(letters)}" if letters else "true of none"
        rows.append(f"--fail-if {shown(condition)}: {told}")
    return "".join(row.rstrip() + "\n" for row in rows)


def as_json(comparison: Comparison, failing: dict[str, list[str]]) -> str:
    """One object; README tells its fields."""
    record = {
        "runs": [
            {
                "letter": letter,
                "name": run.name,
                "path": str(run.path),
                "kind": run.kind,
                "metrics": {name: _values(comparison, run, name) for name in run.points},
            }
            for letter, run in zip(comparison.letters, comparison.runs, strict=True)
        ],
        "settings": {key: list(row) for key, row in comparison.differing.items()},
        "partings": [
            {"runs": [comparison.letters[0], letter]} | _likeness(found)
            for letter, found in zip(comparison.letters, comparison.likenesses, strict=True)
            if found is not None
        ],
        "fail_if": failing,
    }
    return json.dumps(record, allow_nan=False) + "\n"


def _values(comparison: Comparison, run: Numbers, name: str) -> dict[str, Any]:
    points, best = run.points[name], run.best(name)
    return {
        "last": finite(points.last),
        "best": best and best.value,
        "best_batches_done": best and best.batches,
    }


def _likeness(found: Likeness) -> dict[str, Any]:
    parting = found.parting
    return {
        "batches_compared": found.compared,
        "first": None if parting is None else _place(parting),
        "lr": None if found.lr is None else _place(found.lr),
    }


def _place(at: Parting) -> dict[str, Any]:
    return {
        "metric": at.metric,
        "batches_done": at.batches,
        "epoch": at.epoch,
        "batch": at.batch,
        "values": [finite(one) for one in at.values],
    }
