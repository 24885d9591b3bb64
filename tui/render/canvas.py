"""Strokes in a unit square, drawn by plotext into lines of styled characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from .spans import Line, line

_COLOR = re.compile(r"\x1b\[([0-9;]*)m")


@dataclass(frozen=True, slots=True)
class Stroke:
    """Points to draw: x and y from 0 to 1, y upwards."""

    x: Sequence[float]
    y: Sequence[float]
    style: str
    kind: Literal["line", "pairs", "points"] = "line"
    """"pairs" joins the points 0-1, 2-3, and so on; "points" joins none."""
    glyph: str = "braille"
    """A single character, or plotext's name of a fine marker."""


@cache
def load_plotext() -> Any:
    """plotext, loaded with the first chart, or before a run begins to which that would cost time:
    nothing else needs it.
    """
    import plotext

    plotext.terminal.limit(False, False)
    return plotext


def paint(strokes: Sequence[Stroke], width: int, height: int) -> list[Line]:
    """The strokes on a canvas of `width` x `height` cells, later ones on top."""
    if width < 1 or height < 1:
        return []
    plotext = load_plotext()
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    figure.canvas("default")
    figure.axes(False)
    for axis in ("x", "y"):
        figure.ruler(axis).frequency(0)
        figure.ruler(axis).lim(0.0, 1.0)
    styles = [""]
    for stroke in strokes:
        if stroke.style not in styles:
            styles.append(stroke.style)
        # The colour is no colour: it carries the number of the style through plotext.
        pen = plotext.marker(stroke.glyph, plotext.pixel(16 + styles.index(stroke.style)))
        signal = figure.signal(list(stroke.x), list(stroke.y), marker=pen)
        if stroke.kind == "line":
            signal.lines(True)
        elif stroke.kind == "pairs":
            for i in range(1, len(stroke.x), 2):
                signal.line(i)
        # plotext would look at every point for colours that it must not give to later signals.
        signal._get_unique_pixels = list
        figure.draw(signal)
    rows = figure.build().string().split("\n")[:height]
    return [_runs(row, styles) for row in rows]


def _runs(row: str, styles: list[str]) -> Line:
    """A row of plotext's output with its colour codes turned back into style names."""
    runs: list[tuple[str, str]] = []
    style, place = "", 0
    for code in _COLOR.finditer(row):
        runs.append((row[place : code.start()], style))
        number = code.group(1).rpartition(";")[2]
        style = styles[int(number) - 16] if code.group(1).startswith("38;5") else ""
        place = code.end()
    return line(*runs, (row[place:], style))
