"""A comparison of runs in lines: who they are, best and last values, settings, where they part."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from rich.cells import cell_len

from ...core.comparison.comparison import Comparison, Likeness, Parting
from .format import NOTHING, clean, count, counted, fit, learning_rate, metric, wrap
from .glyphs import GLYPHS
from .spans import Line, line

CELL: Final = 19
"""Cells of a column of values."""
SETTING: Final = 34
"""Cells that a setting's value takes, at most."""


def mark_of(index: int) -> str:
    """What marks the points of a run's curve; with `style_of` it stands for the run alone."""
    return GLYPHS[index % len(GLYPHS)]


def style_of(index: int) -> str:
    """A run's colour: the seventh has the mark of the first, and the colour of the second."""
    return f"class-{(index + index // len(GLYPHS)) % len(GLYPHS)}"


def runs_lines(comparison: Comparison) -> list[Line]:
    """Letter, mark, name and kind of each run."""
    width = max(cell_len(run.name) for run in comparison.runs)
    return [
        line(
            (f"{mark_of(i)} {letter}  ", style_of(i)),
            (f"{fit(run.name, width)}  ", "bold"),
            (clean(run.about), "dim"),
        )
        for i, (letter, run) in enumerate(zip(comparison.letters, comparison.runs, strict=True))
    ]


def value(name: str, found: float | None) -> str:
    """A metric's value for people; None is not known, NaN was not finite."""
    if found is None or math.isnan(found):
        return NOTHING if found is None else "NaN or inf"
    return learning_rate(found) if name.startswith("lr") else metric(name, found)


def values_lines(comparison: Comparison, width: int) -> list[Line]:
    """The best and the last value of each metric, a column a run; those that do not fit in
    `width` cells come below.
    """
    labels = {name: cell_len(clean(name)) for name in comparison.metrics}
    gutter = max(labels.values(), default=0) + 7
    at_once = max(1, (width - gutter) // CELL)
    rows: list[Line] = []
    for start in range(0, len(comparison.runs), at_once):
        rows += [()] if rows else []
        rows += _block(comparison, range(start, min(start + at_once, len(comparison.runs))), gutter)
    return rows


def _block(comparison: Comparison, columns: range, gutter: int) -> Iterator[Line]:
    yield line(" " * gutter, *((fit(comparison.letters[i], CELL), style_of(i)) for i in columns))
    everything = [comparison.values(run) for run in comparison.runs]
    for name in comparison.metrics:
        best = [run.best(name) for run in comparison.runs]
        higher = comparison.is_higher_better(name)
        known = [one.value for one in best if one is not None]
        winner = (max if higher else min)(known, default=None)
        cells = [
            (
                NOTHING if one is None else f"{value(name, one.value)}  @ {count(one.batches)}",
                "good" if one is not None and one.value == winner and len(known) > 1 else "",
            )
            for one in best
        ]
        label = fit(clean(name), gutter - 6)
        if known:
            yield line(
                label, ("best  ", "dim"), *((fit(cells[i][0], CELL), cells[i][1]) for i in columns)
            )
            label = " " * len(label)
        last = [value(name, values[name]) for values in everything]
        yield line(label, ("last  ", "dim"), *(fit(last[i], CELL) for i in columns))


def settings_lines(comparison: Comparison) -> list[Line]:
    """The settings that differ, a row each."""
    rows = {
        clean(key): [clean(_setting(one)) for one in values]
        for key, values in comparison.differing.items()
    }
    if not rows:
        known = sum(bool(run.settings) for run in comparison.runs)
        return [
            line(
                "the same settings" if known > 1 else "settings are not known of both",
            )
        ]
    gutter = max(map(cell_len, rows)) + 2
    widths = [
        min(SETTING, max(cell_len(values[i]) for values in rows.values())) + 2
        for i in range(len(comparison.runs))
    ]
    head = ((fit(one, widths[i]), style_of(i)) for i, one in enumerate(comparison.letters))
    return [
        line(" " * gutter, *head),
        *(
            line(
                (fit(key, gutter), "dim"),
                *(fit(fit(one, widths[i] - 2).rstrip(), widths[i]) for i, one in enumerate(values)),
            )
            for key, values in rows.items()
        ),
    ]


def _setting(found: Any) -> str:
    return NOTHING if found is None else found if isinstance(found, str) else repr(found)


def partings_lines(comparison: Comparison, width: int) -> list[Line]:
    """Where each run of ours parts from the first one, bit by bit."""
    rows: list[Line] = []
    for letter, likeness in zip(comparison.letters, comparison.likenesses, strict=True):
        if likeness is None:
            continue
        others = comparison.trains_otherwise(letter)
        rows += [line(text) for text in wrap(_parting(letter, likeness, others), width)]
        if likeness.parting is not None and not others:
            hint = f"fivestep replay {comparison.runs[0].name} --at {likeness.parting.batches}"
            rows.append(line((f"  to go there: {hint}", "dim")))
    return rows


def _parting(letter: str, found: Likeness, others: list[str]) -> str:
    lr = f"; {_differs(found.lr)} from batch {count(found.lr.batches)} on" if found.lr else ""
    at = found.parting
    if at is not None:
        place = f"batch {at.batches:,} (batch {at.batch:,} of epoch {at.epoch:,})"
        if others:
            differ = f"A and {letter} differ in {' and '.join(others)}"
            return f"{differ}, and so from {place}: {_differs(at)}{lr}"
        return f"A and {letter} part at {place}: {_differs(at)}{lr}"
    if not found.compared:
        return f"A and {letter} have no batch in common"
    batches = counted(found.compared, "batch")
    return f"A and {letter} are the same, bit by bit, in the {batches} that both have{lr}"


def _differs(at: Parting) -> str:
    a, b = ("NaN or inf" if math.isnan(one) else repr(one) for one in at.values)
    return f"{clean(at.metric)} {a} / {b}"


def comparison_lines(comparison: Comparison, width: int) -> list[Line]:
    """All of it."""
    return [*runs_lines(comparison), (), *tables_lines(comparison, width)]


def tables_lines(comparison: Comparison, width: int) -> list[Line]:
    """Where the numbers part, which settings differ, and how good the runs were."""
    rows: list[Line] = []
    if partings := partings_lines(comparison, width):
        rows += [line(("where the numbers part", "bold")), *partings, ()]
    rows += [line(("settings that differ", "bold")), *settings_lines(comparison), ()]
    return [*rows, line(("best and last", "bold")), *values_lines(comparison, width)]
