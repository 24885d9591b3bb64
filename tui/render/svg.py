"""Charts as SVG, for a page that needs nothing else. NaN and infinity are shown as ✗."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from ...core.protocol.snapshot import Curve
from .charts import BAD, Mark, Scale, nice_ticks, thinned, told_apart
from .format import clean, count

WIDTH: Final = 760
HEIGHT: Final = 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 14, 34
_POINTS: Final = 700
"""Most points of a line: about one for each pixel."""
_FINE: Final = 150
"""A line of more points than this is drawn finer."""


@dataclass(frozen=True, slots=True)
class SvgLine:
    """One curve: its range in a faint tone, its mean as a line or as points."""

    name: str
    curve: Curve
    colour: int = 0
    """Which of the page's colours, c0 to c5."""
    points: bool = False
    """Draw points without a line between them."""


def text(found: str) -> str:
    """A text that a page shows as it is: nothing in it is markup, or a control character."""
    return escape(clean(found), quote=True)


def svg_chart(
    title: str,
    lines: Sequence[SvgLine],
    marks: Sequence[Mark] = (),
    *,
    span: tuple[float, float] | None = None,
    log: bool = False,
) -> str:
    """Curves over the batches, with axes and a dashed line at each mark.

    Args:
        title: what is drawn.
        lines: the curves, later ones on top.
        marks: what was done, or happened.
        span: the batches from edge to edge; None takes those of the curves.
        log: whether the values are drawn on a logarithmic scale.

    Returns:
        An `<svg>` element whose texts are escaped; "" where there is nothing to draw.
    """
    shown = [SvgLine(o.name, thinned(o.curve, _POINTS), o.colour, o.points) for o in lines]
    values = [v for o in shown for row in (o.curve.low, o.curve.high) for v in row if _fits(v, log)]
    xs = span or [x for one in shown for x in one.curve.x]
    if not values:
        return ""
    across, up = Scale.of(xs), Scale.of([v for v in values if v is not None], log=log)
    parts = [*_axes(across, up), *_marks(marks, across)]
    for one in shown:
        parts += _line(one, across, up, log)
    parts += _bad(shown, across)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(title)} over batches">'
        + "".join(parts)
        + "</svg>"
    )


def _fits(value: float | None, log: bool) -> bool:
    return value is not None and math.isfinite(value) and (value > 0 or not log)


def _x(place: float) -> float:
    return round(_LEFT + place * (WIDTH - _LEFT - _RIGHT), 1)


def _y(place: float) -> float:
    return round(_TOP + (1 - place) * (HEIGHT - _TOP - _BOTTOM), 1)


def _axes(across: Scale, up: Scale) -> Iterator[str]:
    ticks = nice_ticks(up, 6)
    for value, label in zip(ticks, told_apart(ticks), strict=True):
        y = _y(up(value))
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{label}</text>'
    base = HEIGHT - _BOTTOM
    yield f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>'
    for value in nice_ticks(across, 8, whole=True):
        x = _x(across(value))
        yield f'<line class="axis" x1="{x}" x2="{x}" y1="{base}" y2="{base + 4}"/>'
        yield f'<text x="{x}" y="{base + 18}" text-anchor="middle">{count(value)}</text>'
    yield f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 3}" text-anchor="end">batches</text>'


def _marks(marks: Sequence[Mark], across: Scale) -> Iterator[str]:
    for mark in marks:
        if across.low <= mark.x <= across.high:
            x = _x(across(mark.x))
            yield (
                f'<line class="mark" x1="{x}" x2="{x}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}">'
                f"<title>{text(mark.text)}, batch {count(mark.x)}</title></line>"
            )


def _line(one: SvgLine, across: Scale, up: Scale, log: bool) -> Iterator[str]:
    c = one.curve
    for low, high, piece in _pieces(one, across, up, log):
        if any(a != b for a, b in zip(low, high, strict=True)):
            there = [f"{x},{y}" for x, y in zip(piece, high, strict=True)]
            back = [f"{x},{y}" for x, y in zip(reversed(piece), reversed(low), strict=True)]
            yield f'<polygon class="c{one.colour} range" points="{" ".join(there + back)}"/>'
    mean = [
        (_x(across(x)), _y(up(v))) if v is not None and _fits(v, log) else None
        for x, v in zip(c.x, c.mean, strict=True)
    ]
    seen = [point for point in mean if point is not None]
    if one.points or len(seen) == 1:
        for x, y in seen:
            yield f'<circle class="c{one.colour}" cx="{x}" cy="{y}" r="2.6"/>'
        return
    runs: list[list[str]] = [[]]
    for point in mean:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(f"{point[0]},{point[1]}")
    for run in runs:
        if len(run) > 1:
            fine = " fine" if len(run) > _FINE else ""
            yield f'<polyline class="c{one.colour}{fine}" points="{" ".join(run)}"/>'


def _pieces(
    one: SvgLine, across: Scale, up: Scale, log: bool
) -> Iterator[tuple[list[float], list[float], list[float]]]:
    """Low, high and x of each stretch without a gap."""
    c = one.curve
    low: list[float] = []
    high: list[float] = []
    xs: list[float] = []
    for x, a, b in (*zip(c.x, c.low, c.high, strict=True), (0.0, None, None)):
        if a is not None and b is not None and _fits(b, log):
            xs.append(_x(across(x)))
            low.append(_y(up(a if _fits(a, log) else b)))
            high.append(_y(up(b)))
        elif xs:
            yield low, high, xs
            low, high, xs = [], [], []


def _bad(lines: Sequence[SvgLine], across: Scale) -> Iterator[str]:
    for one in lines:
        for x, bad in zip(one.curve.x, one.curve.bad, strict=True):
            if bad:
                yield f'<text class="bad" x="{_x(across(x))}" y="{_TOP - 3}">{BAD}</text>'
