"""`fivestep compare`: runs of ours, and files of other trainers, next to each other."""

from __future__ import annotations

import math
from json import dumps as encode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ...core.comparison.comparison import LETTERS, Comparison, FailIf, Likeness, Parting
from ...core.comparison.foreign import is_foreign, read_foreign
from ...core.comparison.kept_run import read_run
from ...core.protocol.conditions import ConditionError
from ...core.storage.run_directory import RunDirectory, RunError, is_run, shown
from ..render.comparison import comparison_lines
from ..setup.options import runs_folder
from ..terminal.output import BROKE, stdout, written
from .errors import refusals
from .options import OneObjectOption, RunsDirOption

if TYPE_CHECKING:
    from ...core.comparison.numbers import Numbers

WIDE: Final = 200
"""Cells of a table that nobody looks at in a window."""


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="A B ...",
            help="Runs by name or folder, or files of other trainers: metrics.csv, "
            "trainer_state.json, event files.",
        ),
    ],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            metavar="CONDITION",
            help='End with 3 where it is true of a run but the first, as "val_loss > 1.02 * A". '
            "May be repeated.",
        ),
    ] = None,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Lines instead of the screen.")] = False,
    json: OneObjectOption = False,
    runs_dir: RunsDirOption = None,
) -> None:
    """Compare runs: curves, best and last values, settings, where they part."""
    with refusals():
        comparison = read_all(runs_folder(runs_dir), runs)
        failing = {text: checked(text, comparison) for text in fail_if or ()}
    output = stdout()
    if json:
        output.write(as_json(comparison, failing))
    else:
        width = output.columns if output.is_terminal else None
        output.write(as_text(comparison, failing, width))
    output.flush()
    raise typer.Exit(written(output) or (BROKE if any(failing.values()) else 0))


def read_all(folder: Path, words: list[str]) -> Comparison:
    """What a command line names: runs by name or folder, and files of other trainers.

    Raises:
        RunError: one of them can't be read, or they are too few or too many.
    """
    if not 2 <= len(words) <= len(LETTERS):
        raise RunError(f"name 2 to {len(LETTERS)} runs or files to compare, not {len(words)}")
    return Comparison([_read(folder, word) for word in words])


def _read(folder: Path, word: str) -> Numbers:
    named = "/" not in word and is_run(folder / word)
    if not named and is_foreign(word):
        return read_foreign(word)
    return read_run(RunDirectory.look(folder, word))


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
    return encode(record, allow_nan=False) + "\n"


def _values(comparison: Comparison, run: Numbers, name: str) -> dict[str, Any]:
    points, best = run.points[name], run.best(name)
    return {
        "last": _finite(points.last),
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
        "values": [_finite(one) for one in at.values],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
