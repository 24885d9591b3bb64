"""Charts as pure functions: values, width, height to lines. NaN and infinity are shown as ✗."""

from __future__ import annotations

import math
import re
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
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        span = high / 2 - low / 2
        if not span > 0:
            return 0.5
        return min(1.0, max(0.0, (value / 2 - low / 2) / span))


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
    points: bool = False
    """Mark the points themselves, which tells the curve from others without colour."""
    glyph: str = "*"
    """What draws it where there is nothing but ASCII."""
    smooth: float = 0.0
    """How much of the last value an exponential mean keeps, 0 to 1; the envelope stays raw."""


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
    label: Callable[[float], str] = tick
    """Writes the values beside the y axis."""


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
    curves = [_within(s, view.span) for s in series]
    left, right = _span(curves, view.span)
    values = [
        v
        for s in curves
        for v in (*s.curve.low, *s.curve.high)
        if v is not None and _drawn(v, view)
    ]
    if not values and not any(sum(s.curve.bad) for s in curves):
        return _message("no values yet", width, height)
    scale = Scale.of(values, log=view.log)
    bad = sum(sum(s.curve.bad) for s in curves)
    marks = [m for m in marks if left <= m.x <= right]
    rows = height - (2 if height >= 4 else 0) - (bad > 0) - bool(marks)
    ticks = nice_ticks(scale, max(2, min(8, rows // 2)))
    gutter = max((len(view.label(t)) for t in ticks), default=0) + 1
    if bad:
        gutter = max(gutter, len(f"{count(bad)} {BAD}") + 1)
    inner = width - gutter - 1
    if rows < 1 or inner < 4:
        return _message("", width, height)

    def across(x: float) -> float:
        return 0.5 if right <= left else (x - left) / (right - left)

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
    labels = {rows - 1 - round(scale(t) * (rows - 1)): view.label(t) for t in ticks}
    for i, painted in enumerate(paint(strokes, inner, rows)):
        corner = "┤" if i in labels else "│"
        lines.append((_gutter(labels.get(i, ""), gutter, corner), *sized(painted, inner)))
    if marks:
        lines.append((_gutter("", gutter, "│"), *_marks(marks, column, inner)))
    if height >= 4:
        lines += _x_axis(left, right, inner, gutter, column)
    return [sized(row, width) for row in lines]


def _strokes(
    s: ChartSeries,
    across: Callable[[float], float],
    scale: Scale,
    inner: int,
    rows: int,
    view: ChartView,
) -> list[Stroke]:
    """The envelope and the mean of one series, no finer than the canvas can show."""
    curve = thinned(s.curve, inner * (1 if view.ascii else 2))
    envelope_x: list[float] = []
    envelope_y: list[float] = []
    for x, low, high in zip(curve.x, curve.low, curve.high, strict=True):
        if low is None or high is None or not (_drawn(high, view)):
            continue
        bottom, top = scale(low if _drawn(low, view) else high), scale(high)
        if (top - bottom) * rows * 4 >= 1:
            envelope_x += (across(x), across(x))
            envelope_y += (bottom, top)
    mean_x: list[float] = []
    mean_y: list[float] = []
    level: float | None = None
    for x, mean in zip(curve.x, curve.mean, strict=True):
        if mean is None or not _drawn(mean, view):
            continue
        # Smoothed as it is seen: on a log scale a mean of the values would trail far above them.
        place = scale(mean)
        level = place if level is None else s.smooth * level + (1 - s.smooth) * place
        mean_x.append(across(x))
        mean_y.append(level)
    glyph = s.glyph if view.ascii else "braille"
    strokes = []
    if envelope_x:
        faint = ":" if view.ascii else glyph
        strokes.append(Stroke(envelope_x, envelope_y, f"{s.style}-range", "pairs", faint))
    if len(mean_x) > 1:
        strokes.append(Stroke(mean_x, mean_y, s.style, "line", glyph))
    if s.points and mean_x:
        mark = "o" if view.ascii else "◆"
        every = -(-len(mean_x) * 4 // inner)  # a mark needs room to be seen as one
        strokes.append(Stroke(mean_x[::-every], mean_y[::-every], s.style, "points", mark))
    elif len(mean_x) == 1:
        strokes.append(Stroke(mean_x, mean_y, s.style, "points", "*" if view.ascii else "•"))
    return strokes


def thinned(curve: Curve, most: int) -> Curve:
    """The curve in at most `most` buckets; lows, highs and bad points all stay."""
    n = len(curve.x)
    if n <= most or most < 1:
        return curve
    edges = [i * n // most for i in range(most + 1)]
    groups = [range(a, b) for a, b in pairwise(edges)]

    def of(
        row: Sequence[float | None], fold: Callable[[list[float]], float]
    ) -> tuple[float | None, ...]:
        kept = ([v for i in g if (v := row[i]) is not None] for g in groups)
        return tuple(fold(values) if values else None for values in kept)

    return Curve(
        x=tuple(curve.x[g[-1]] for g in groups),
        low=of(curve.low, min),
        mean=of(curve.mean, lambda values: sum(v / len(values) for v in values)),
        high=of(curve.high, max),
        bad=tuple(sum(curve.bad[i] for i in g) for g in groups),
    )


def _within(s: ChartSeries, span: tuple[float, float] | None) -> ChartSeries:
    if span is None:
        return s
    keep = [i for i, x in enumerate(s.curve.x) if span[0] <= x <= span[1]]
    c = s.curve
    rows = (c.x, c.low, c.mean, c.high, c.bad)
    cut = Curve(*(tuple(row[i] for i in keep) for row in rows))  # type: ignore[arg-type]
    return replace(s, curve=cut)


def _span(curves: Sequence[ChartSeries], span: tuple[float, float] | None) -> tuple[float, float]:
    xs = [x for s in curves for x in (s.curve.x[:1] + s.curve.x[-1:])]
    return span or (min(xs, default=0.0), max(xs, default=1.0))


def _drawn(value: float, view: ChartView) -> bool:
    return math.isfinite(value) and (value > 0 or not view.log)


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
    left: float, right: float, inner: int, gutter: int, column: Callable[[float], int]
) -> list[Line]:
    """The axis with ticks at round batch numbers, and their labels under it."""
    axis = ["─"] * inner
    labels: list[Span] = [(" ", "dim")] * inner
    free = 0
    for at in nice_ticks(Scale(left, right), max(2, inner // 8), whole=True):
        place, text = column(at), count(at)
        start = min(inner - len(text), max(0, place - len(text) // 2))
        if start < free:
            continue
        axis[place] = "┬"
        put(labels, start, text, "dim")
        free = start + len(text) + 2
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
