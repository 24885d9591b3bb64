"""Charts as pure functions: values, width, height to lines. NaN and infinity are shown as ✗."""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any, Final, Literal

from ...core.protocol.snapshot import Curve
from .format import count, fit, tick
from .spans import EMPTY, Line, Span, joined, line, put, sized


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps `low`..`high` to 0..1. Halves before it subtracts: the largest floats don't overflow."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, values: Sequence[float], *, log: bool = False) -> Scale:
        """The scale that just holds `values` (finite, and above 0 if `log`)."""
        return cls(min(values, default=1.0), max(values, default=1.0), log)

    def __call__(self, value: float) -> float:
        return self.places((value,))[0]

    def places(self, values: Sequence[float]) -> list[float]:
        """Where each of the values is, 0 to 1."""
        low, high = self.low, self.high
        if self.log:
            low, high, values = math.log10(low), math.log10(high), [math.log10(v) for v in values]
        low, span = low / 2, high / 2 - low / 2
        if not span > 0:
            return [0.5] * len(values)
        return [min(1.0, max(0.0, (v / 2 - low) / span)) for v in values]


def nice_ticks(scale: Scale, most: int, *, whole: bool = False) -> list[float]:
    """At most about `most` round numbers inside the scale; on a log scale, of the form 1, 2, 5.
    With `whole`, whole numbers only.
    """
    low, high = scale.low, scale.high
    if not high > low:
        return [low]
    if scale.log:
        ticks = _log_ticks(low, high, most)
        if len(ticks) >= 2:
            return ticks
    raw = (high / 2 - low / 2) / max(1, most) * 2
    if not math.isfinite(raw) or raw <= 0:
        return [low, high]
    power = 10.0 ** math.floor(math.log10(raw))
    if power <= 0 or not math.isfinite(power):
        return [low, high]
    step = next((m * power for m in (1, 2, 5, 10) if m * power >= raw), 10 * power)
    if whole:
        step = max(1.0, step)
    first = math.ceil(low / step)
    ticks = [(first + i) * step for i in range(most + 2) if (first + i) * step <= high]
    return ticks or [low]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """Powers of ten, thinned if many; with 2 and 5 between them if few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**e for e in range(first, min(last, 307) + 1) for f in factors if e > -308]
        ticks = [t for t in ticks if low <= t <= high]
        if len(ticks) <= most:
            return ticks
    stride = -(-len(ticks) // most)
    return ticks[::stride]


_COLOR = re.compile(r"\x1b\[([0-9;]*)m")
BRAILLE: Final = "braille"
"""plotext's name of what draws in dots, eight in a cell: two across, four down."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """Points to draw: x and y from 0 to 1, y upwards."""

    x: Sequence[float]
    y: Sequence[float]
    style: str
    kind: Literal["line", "pairs", "points"] = "line"
    """"pairs" joins the points 0-1, 2-3, and so on; "points" joins none."""
    glyph: str = BRAILLE
    """A single character, or `BRAILLE`."""


@cache
def load_plotext() -> Any:
    """Import plotext: for the first chart, or before a run starts, which it would cost time."""
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
    return [_styled(row, styles) for row in rows]


def _styled(row: str, styles: list[str]) -> Line:
    """A row of plotext's output with its colour codes turned back into style names."""
    spans: list[tuple[str, str]] = []
    style, place = "", 0
    for code in _COLOR.finditer(row):
        spans.append((row[place : code.start()], style))
        number = code.group(1).rpartition(";")[2]
        style = styles[int(number) - 16] if code.group(1).startswith("38;5") else ""
        place = code.end()
    return line(*spans, (row[place:], style))


LEVELS: Final = "▁▂▃▄▅▆▇█"
BAD: Final = "✗"
HAND: Final = "▲"


def sparkline(values: Sequence[float], width: int, height: int = 1, style: str = "") -> list[Line]:
    """The newest `width` values, one a column, in `height` lines; ✗ for NaN and infinity."""
    if width < 1 or height < 1:
        return []
    shown = list(values[-width:])
    fine = [v for v in shown if math.isfinite(v)]
    scale = Scale.of(fine)
    steps = 8 * height
    rows: list[list[Span]] = [[] for _ in range(height)]
    for value in shown:
        bad = not math.isfinite(value)
        level = 1 if bad else 1 + round(scale(value) * (steps - 1))
        for row, cells in enumerate(rows):
            filled = level - 8 * (height - 1 - row)
            if bad:
                cells.append((BAD, "bad") if row == height - 1 else (" ", ""))
            else:
                cells.append((" ", "") if filled <= 0 else (LEVELS[min(filled, 8) - 1], style))
    return [sized(joined(cells), width) for cells in rows]


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """One curve of a chart."""

    curve: Curve
    style: str
    mark: str = ""
    """Marks the points themselves, which tells the curve from others without colour."""
    line: bool = True
    """Join the points."""
    glyph: str = "*"
    """What draws the line where there is nothing but ASCII."""
    smooth: float = 0.0
    """How much of the last value an exponential mean keeps, 0 to 1; the envelope stays raw."""


MARKED: Final = ("lr", "schedule", "switch", "rewind", "resumed")
"""Kinds of changes that a curve may bend at."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was done, or happened, at a batch."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class ChartView:
    """How a chart looks at its series."""

    span: tuple[float, float] | None = None
    """The batches shown; None shows all."""
    log: bool = False
    ascii: bool = False
    across: str = "batches"
    """What the x axis counts."""
    label: Callable[[float], str] = count
    """Writes a place on it."""

    @property
    def floor(self) -> float:
        """What values have to be above to be drawn."""
        return 0.0 if self.log else -math.inf


def chart(
    series: Sequence[ChartSeries],
    width: int,
    height: int,
    view: ChartView | None = None,
    marks: Sequence[Mark] = (),
) -> list[Line]:
    """Curves with axes: an envelope from low to high, and the mean on top of it.

    A row of ✗ above the canvas shows where values were NaN or infinite, with their number; a row
    of ▲ below it what was changed, or happened, in the middle of the run.
    """
    view = view or ChartView()
    if width < 1 or height < 1:
        return []
    # No finer than the canvas can show.
    most = width * (1 if view.ascii else 2)
    curves = [replace(s, curve=thinned(_within(s.curve, view.span), most)) for s in series]
    left, right = _span(curves, view.span)
    values = [
        v
        for s in curves
        for row in (s.curve.low, s.curve.high)
        for v in row
        if v is not None and view.floor < v < math.inf
    ]
    bad = sum(sum(s.curve.bad) for s in curves)
    if not values and not bad:
        return _message("no values yet", width, height)
    scale = Scale.of(values, log=view.log)
    marks = [m for m in marks if left <= m.x <= right]
    rows = height - (2 if height >= 4 else 0) - (bad > 0) - bool(marks)
    labels = _y_labels(scale, rows)
    gutter = max(map(len, labels.values()), default=0) + 1
    if bad:
        gutter = max(gutter, len(f"{count(bad)} {BAD}") + 1)
    inner = width - gutter - 1
    if rows < 1 or inner < 4:
        return _message("", width, height)
    across = Scale(left, right)

    def column(x: float) -> int:
        return min(inner - 1, max(0, round(across(x) * (inner - 1))))

    strokes: list[Stroke] = []
    for s in curves:
        strokes += _strokes(s, across, scale, inner, rows, view)
    lines: list[Line] = []
    if bad:
        cells: list[Span] = [(" ", "")] * inner
        for s in curves:
            for x, n in zip(s.curve.x, s.curve.bad, strict=True):
                if n:
                    cells[column(x)] = (BAD, "bad")
        lines.append((_gutter(f"{count(bad)} {BAD}", gutter, " ", "bad"), *joined(cells)))
    for i, painted in enumerate(paint(strokes, inner, rows)):
        corner = "┤" if i in labels else "│"
        lines.append((_gutter(labels.get(i, ""), gutter, corner), *sized(painted, inner)))
    if marks:
        lines.append((_gutter("", gutter, "│"), *_marks(marks, column, inner)))
    if height >= 4:
        lines += _x_axis(across, inner, gutter, column, view)
    return [sized(row, width) for row in lines]


def _y_labels(scale: Scale, rows: int) -> dict[int, str]:
    """What stands beside which rows: round values, told apart, with a row between two of them."""
    ticks = nice_ticks(scale, max(2, min(8, rows // 2)))
    places: dict[int, float] = {}
    for value in ticks:
        row = rows - 1 - round(scale(value) * (rows - 1))
        if rows < 4 or not places.keys() & {row - 1, row, row + 1}:
            places[row] = value
    return dict(zip(places, told_apart(list(places.values())), strict=True))


def told_apart(values: Sequence[float]) -> list[str]:
    """Labels of different values, with as many digits as differ."""
    labels = [tick(v) for v in values]
    for digits in range(4, 18):
        if len(set(labels)) == len(values):
            break
        labels = [tick(v, digits) for v in values]
    return labels


def _strokes(
    s: ChartSeries, across: Scale, scale: Scale, inner: int, rows: int, view: ChartView
) -> list[Stroke]:
    """The envelope, the mean and the marks of one series."""
    c, floor = s.curve, view.floor
    glyph = s.glyph if view.ascii else BRAILLE
    strokes: list[Stroke] = []
    if s.line:
        kept = [
            (x, low if low > floor else high, high)
            for x, low, high in zip(c.x, c.low, c.high, strict=True)
            if low is not None and high is not None and floor < high < math.inf
        ]
        places = zip(
            across.places([x for x, _, _ in kept]),
            scale.places([low for _, low, _ in kept]),
            scale.places([high for _, _, high in kept]),
            strict=True,
        )
        seen = [(x, low, high) for x, low, high in places if (high - low) * rows * 4 >= 1]
        if seen:
            xs = [x for x, _, _ in seen for _ in range(2)]
            ys = [y for _, low, high in seen for y in (low, high)]
            faint = ":" if view.ascii else glyph
            strokes.append(Stroke(xs, ys, f"{s.style}-range", "pairs", faint))
    means = [
        (x, mean)
        for x, mean in zip(c.x, c.mean, strict=True)
        if mean is not None and floor < mean < math.inf
    ]
    mean_x = across.places([x for x, _ in means])
    mean_y: list[float] = []
    # Smoothed as it is seen: on a log scale a mean of the values would trail far above them.
    for place in scale.places([mean for _, mean in means]):
        mean_y.append(s.smooth * mean_y[-1] + (1 - s.smooth) * place if mean_y else place)
    if s.line and len(means) > 1:
        strokes.append(Stroke(mean_x, mean_y, s.style, "line", glyph))
    if s.mark and means:
        every = -(-len(means) * 4 // inner)  # a mark needs room to be seen as one
        strokes.append(Stroke(mean_x[::-every], mean_y[::-every], s.style, "points", s.mark))
    elif len(means) == 1:
        strokes.append(Stroke(mean_x, mean_y, s.style, "points", "•"))
    return strokes


def thinned(curve: Curve, most: int) -> Curve:
    """The curve in at most `most` buckets; lows, highs and bad points all stay."""
    n = len(curve.x)
    if n <= most or most < 1:
        return curve
    groups = [slice(a, b) for a, b in pairwise(i * n // most for i in range(most + 1))]

    def of(
        row: tuple[float | None, ...], fold: Callable[[list[float]], float]
    ) -> tuple[float | None, ...]:
        kept = ([v for v in row[g] if v is not None] for g in groups)
        return tuple(fold(values) if values else None for values in kept)

    return Curve(
        x=tuple(curve.x[g.stop - 1] for g in groups),
        low=of(curve.low, min),
        mean=of(curve.mean, lambda values: sum([v / len(values) for v in values])),
        high=of(curve.high, max),
        bad=tuple(sum(curve.bad[g]) for g in groups),
    )


def _within(curve: Curve, span: tuple[float, float] | None) -> Curve:
    if span is None:
        return curve
    part = slice(bisect_left(curve.x, span[0]), bisect_right(curve.x, span[1]))
    return Curve(
        curve.x[part], curve.low[part], curve.mean[part], curve.high[part], curve.bad[part]
    )


def _span(curves: Sequence[ChartSeries], span: tuple[float, float] | None) -> tuple[float, float]:
    xs = [x for s in curves for x in (s.curve.x[:1] + s.curve.x[-1:])]
    return span or (min(xs, default=0.0), max(xs, default=1.0))


def _gutter(label: str, width: int, corner: str, style: str = "dim") -> Span:
    return f"{label:>{width}}{corner}", style


def _marks(marks: Sequence[Mark], column: Callable[[float], int], inner: int) -> Line:
    """▲ at each change, followed by its text where that fits before the next one."""
    cells: list[Span] = [(" ", "")] * inner
    places = sorted({column(m.x): m.text for m in marks}.items())
    taken = -1
    for i, (place, text) in enumerate(places):
        after = places[i + 1][0] if i + 1 < len(places) else inner
        put(cells, place, HAND, "hand")
        if place + 2 + len(text) < after + (i + 1 == len(places)):
            put(cells, place + 2, text, "dim")
            taken = place + 1 + len(text)
        elif i + 1 == len(places) and place - 1 - len(text) > taken + 1:
            put(cells, place - 1 - len(text), text, "dim")
        else:
            taken = place
    return joined(cells)


def _x_axis(
    across: Scale, inner: int, gutter: int, column: Callable[[float], int], view: ChartView
) -> list[Line]:
    """The axis with ticks at round numbers, and under it their labels and its name."""
    name = view.across
    axis = ["─"] * inner
    labels: list[Span] = [(" ", "dim")] * inner
    ticks = nice_ticks(across, max(2, inner // 8), whole=True)
    in_a_row = len(ticks) > 1 and ticks[-1] - ticks[-2] == 1  # of these none may be missing
    if in_a_row and column(ticks[-1]) == inner - 1 and inner >= 3 * len(name):
        axis[-1] = "┬"
        name = f"{view.label(ticks.pop())} {name}"  # they stand in the same corner
    room = inner - len(name) - 2 if inner >= 3 * len(name) else inner
    free = 0
    for at in ticks:
        place, text = column(at), view.label(at)
        start = min(inner - len(text), max(0, place - len(text) // 2))
        if start < free or start + len(text) > room:
            continue
        axis[place] = "┬"
        put(labels, start, text, "dim")
        free = start + len(text) + 2
    if room < inner:
        put(labels, inner - len(name), name, "dim")
    return [
        line((" " * gutter + "└" + "".join(axis), "dim")),
        line((" " * (gutter + 1), "dim"), *joined(labels)),
    ]


def framed(
    rows: Sequence[Line], columns: int, gutter: int, up: tuple[str, str], across: tuple[str, str]
) -> list[Line]:
    """A canvas of `columns` cells between two axes, with `gutter` cells left of them. The lowest
    and the highest value of each, `up` and `across`, are beside and below it.
    """
    labels = {0: up[1], len(rows) - 1: up[0]}
    below = across[0] + f"{across[1]:>{max(0, columns - len(across[0]))}}"
    return [
        *(
            line(_gutter(labels.get(i, ""), gutter, "┤" if i in labels else "│"), *row)
            for i, row in enumerate(rows)
        ),
        line((" " * gutter + "└" + "─" * columns, "dim")),
        line((" " * (gutter + 1) + fit(below, columns), "dim")),
    ]


def _message(text: str, width: int, height: int) -> list[Line]:
    """An empty chart that says why."""
    blank = [sized(EMPTY, width)] * height
    pad = max(0, (width - len(text)) // 2)
    blank[height // 2] = sized(line((" " * pad + text, "dim")), width)
    return blank
