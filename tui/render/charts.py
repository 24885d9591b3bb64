"""Charts as pure functions: values, width, height to lines. NaN and infinity are shown as ✗."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ...core.protocol.snapshot import Curve
from .canvas import Stroke, paint
from .format import count, fit, tick
from .scales import Scale, nice_ticks
from .spans import EMPTY, Line, Run, joined, line, put, sized

EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
LEVELS: Final = "▁▂▃▄▅▆▇█"
BAD: Final = "✗"
HAND: Final = "▲"


def bar(share: float, width: int) -> str:
    """A bar of `width` cells filled from the left by `share` (0 to 1), to an eighth of a cell.

    Something above zero always shows at least a sliver.
    """
    if width < 1 or not math.isfinite(share):
        return " " * max(0, width)
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    if share > 0:
        eighths = max(1, eighths)
    full, rest = divmod(eighths, 8)
    return fit("█" * full + (EIGHTHS[rest] if rest else ""), width)


def sparkline(values: Sequence[float], width: int, height: int = 1, style: str = "") -> list[Line]:
    """The newest `width` values, one a column; ✗ where one is NaN or infinite.

    Returns:
        `height` lines of `width` cells, top first.
    """
    if width < 1 or height < 1:
        return []
    shown = list(values[-width:])
    fine = [v for v in shown if math.isfinite(v)]
    scale = Scale.of(fine)
    steps = 8 * height
    rows: list[list[Run]] = [[] for _ in range(height)]
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
class Series:
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
class View:
    """How a chart looks at its series."""

    span: tuple[float, float] | None = None
    """The batches shown; None shows all."""
    log: bool = False
    ascii: bool = False
    label: Callable[[float], str] = tick
    """Writes the values beside the y axis."""


def chart(
    series: Sequence[Series],
    width: int,
    height: int,
    view: View | None = None,
    marks: Sequence[Mark] = (),
) -> list[Line]:
    """Curves with axes: an envelope from low to high, and the mean on top of it.

    A row of ✗ above the canvas shows where values were NaN or infinite, with their number; a row
    of ▲ below it what was changed, or happened, in the middle of the run.

    Returns:
        `height` lines of `width` cells.
    """
    view = view or View()
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
        cells: list[Run] = [(" ", "")] * inner
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
    s: Series,
    across: Callable[[float], float],
    scale: Scale,
    inner: int,
    rows: int,
    view: View,
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


def _within(s: Series, span: tuple[float, float] | None) -> Series:
    if span is None:
        return s
    keep = [i for i, x in enumerate(s.curve.x) if span[0] <= x <= span[1]]
    c = s.curve
    rows = (c.x, c.low, c.mean, c.high, c.bad)
    cut = Curve(*(tuple(row[i] for i in keep) for row in rows))  # type: ignore[arg-type]
    return Series(cut, s.style, s.points, s.glyph, s.smooth)


def _span(curves: Sequence[Series], span: tuple[float, float] | None) -> tuple[float, float]:
    xs = [x for s in curves for x in (s.curve.x[:1] + s.curve.x[-1:])]
    return span or (min(xs, default=0.0), max(xs, default=1.0))


def _drawn(value: float, view: View) -> bool:
    return math.isfinite(value) and (value > 0 or not view.log)


def _gutter(label: str, width: int, corner: str, style: str = "dim") -> Run:
    return f"{label:>{width}}{corner}", style


def _marks(marks: Sequence[Mark], column: Callable[[float], int], inner: int) -> Line:
    """▲ at each change, followed by its text where that fits before the next one."""
    cells: list[Run] = [(" ", "")] * inner
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
    labels: list[Run] = [(" ", "dim")] * inner
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


def _message(text: str, width: int, height: int) -> list[Line]:
    """An empty chart that says why."""
    blank = [sized(EMPTY, width)] * height
    pad = max(0, (width - len(text)) // 2)
    blank[height // 2] = sized(line((" " * pad + text, "dim")), width)
    return blank
