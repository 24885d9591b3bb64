"""`fivestep presets`: the presets as a table or as JSON. Needs no torch."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any, Final

from ...presets import recipe, registry
from ...presets.catalogue import DATASETS
from ..render.format import clean, count, fit, wrap
from ..terminal.output import Output

GAP: Final = "  "
Row = tuple[str, ...]
NARROWEST: Final = 28
"""Cells that the last column needs; with fewer, it goes under its row."""


def as_json() -> str:
    """A list of objects, one a preset, one a line."""
    rows = ",\n".join(json.dumps(_object(preset)) for preset in registry.everything())
    return f"[\n{rows}\n]\n"


def _loaded(found: registry.Preset) -> recipe.Recipe | str:
    """The preset's recipe, or why there is none to be had by this name."""
    if found.hidden:
        way = f"fivestep train {shlex.quote(str(found.path))}"
        return f"hidden by {found.hidden}'s preset of that name; {way} runs it"
    try:
        return recipe.load(found.name)
    except recipe.RecipeError as error:
        return str(error)


def _object(found: registry.Preset) -> dict[str, Any]:
    preset = _loaded(found)
    source = {"name": found.name, "source": found.source or "fivestep"}
    if isinstance(preset, str):
        return source | {"path": str(found.path), "error": preset}
    expect = preset.expect or recipe.Expect()
    return source | {
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
        "default": found.name == registry.DEFAULT,
        "command": preset.command,
    }


def as_table(output: Output) -> str:
    """Columns that fit the terminal; elsewhere one line a preset, however long."""
    rows: list[Row] = [("preset", "data", "model", "parameters", "what to expect")]
    rows += [_row(preset) for preset in registry.everything()]
    return table(rows, output.columns if output.is_terminal else None)


def _row(found: registry.Preset) -> Row:
    preset = _loaded(found)
    name = clean(found.name) + (f" ({clean(found.source)})" if found.source else "")
    if isinstance(preset, str):
        return (name, "", "", "", clean(f"can't be used: {preset}"))
    expect = preset.expect or recipe.Expect()
    return (
        name,
        DATASETS[preset.dataset.name].about,
        preset.model.name,
        count(expect.parameters),
        clean(expect.text),
    )


def table(rows: Sequence[Row], columns: int | None) -> str:
    """Rows as lines: the last cell but one right-aligned, the last one wrapped into what room is
    left of `columns` cells; None is as wide as it takes.
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
        if room >= NARROWEST:
            first, *more = wrap(row[-1], room)
            indent = " " * (len(head) + len(GAP))
            lines += [f"{head}{GAP}{first}", *(indent + line for line in more)]
        else:
            lines.append(fit(head, min(len(head), columns - 1)))
            lines += [GAP + line for line in wrap(row[-1], max(1, columns - 3))]
    return "".join(line.rstrip() + "\n" for line in lines)
