"""The presets as a table for people and as objects for programs. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from ..presets import recipe, registry
from ..presets.catalogue import DATASETS
from . import text
from .output import Output

GAP: Final = "  "
Row = tuple[str, ...]
NARROW: Final = 28
"""Cells that the last column needs; with fewer, it goes under its row."""


def as_json() -> str:
    """A list of objects, one a preset, one a line."""
    rows = ",\n".join(json.dumps(_object(recipe.load(name))) for name in registry.names())
    return f"[\n{rows}\n]\n"


def _object(preset: recipe.Recipe) -> dict[str, Any]:
    expect = preset.expect or recipe.Expect()
    return {
        "name": preset.name,
        "description": preset.description,
        "dataset": preset.dataset.name,
        "data": DATASETS[preset.dataset.name].about,
        "model": preset.model.name,
        "task": preset.task,
        "parameters": expect.parameters,
        "epochs": preset.epochs,
        "expect": expect.text,
        "metric_name": expect.metric,
        "metric": expect.value,
        "seconds": expect.seconds,
        "default": preset.name == registry.DEFAULT,
        "command": preset.command,
    }


def as_table(output: Output) -> str:
    """Columns that fit the terminal; elsewhere one line a preset, however long."""
    rows: list[Row] = [("preset", "data", "model", "parameters", "what to expect")]
    rows += [_row(recipe.load(name)) for name in registry.names()]
    return table(rows, output.columns if output.is_terminal else None)


def _row(preset: recipe.Recipe) -> Row:
    expect = preset.expect or recipe.Expect()
    return (
        preset.name,
        DATASETS[preset.dataset.name].about,
        preset.model.name,
        text.count(expect.parameters),
        expect.text,
    )


def table(rows: Sequence[Row], columns: int | None) -> str:
    """Rows as lines: the last but one right-aligned, the last wrapped into what room is left.

    Args:
        rows: cells of text, the first row the headings.
        columns: width of the terminal in cells; None is as wide as it takes.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines: list[str] = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        cells[-1] = row[-2].rjust(widths[-1])
        head = GAP.join(cells)
        if columns is None:
            lines.append(f"{head}{GAP}{row[-1]}")
            continue
        room = columns - len(head) - len(GAP) - 1
        if room >= NARROW:
            first, *more = text.wrap(row[-1], room)
            indent = " " * (len(head) + len(GAP))
            lines += [f"{head}{GAP}{first}", *(indent + line for line in more)]
        else:
            lines.append(text.fit(head, min(len(head), columns - 1)))
            lines += [GAP + line for line in text.wrap(row[-1], max(1, columns - 3))]
    return "".join(line.rstrip() + "\n" for line in lines)
