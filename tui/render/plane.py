"""Pictures in the plane: the fitted line, predictions against the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ...core.protocol.inside import FittedLine, Point, PredictionsTruth
from .charts import Scale, Stroke, framed, paint
from .format import clean, count, counted, number, tick
from .spans import Line, first_that_fits, line, sized, whole

BEYOND: Final = 0.15
"""How far outside the labels' range predictions are drawn, as a share of it."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """A canvas between two axes."""

    across: Scale
    up: Scale
    width: int
    height: int

    @property
    def gutter(self) -> int:
        """Cells left of the axis; -1 where there is no room for axes."""
        gutter = max(len(_round(self.up.low)), len(_round(self.up.high))) + 1
        return gutter if self.width - gutter - 1 >= 8 and self.height >= 5 else -1

    def paint(self, strokes: Sequence[Stroke]) -> list[Line]:
        """The strokes, with their lowest and highest values beside and below them."""
        gutter = self.gutter
        if gutter < 0:
            return [sized(row, self.width) for row in paint(strokes, self.width, self.height)]
        columns, rows = self.width - gutter - 1, self.height - 2
        drawn = [sized(row, columns) for row in paint(strokes, columns, rows)]
        up = _round(self.up.low), _round(self.up.high)
        return framed(
            drawn, columns, gutter, up, (_round(self.across.low), _round(self.across.high))
        )

    def inside(self, point: Point) -> bool:
        x, y = point
        return self.across.low <= x <= self.across.high and self.up.low <= y <= self.up.high

    def stroke(self, points: Sequence[Point], style: str, kind: str, glyph: str) -> Stroke:
        """Points (x, y) in the units of the axes as a stroke."""
        xs, ys = [self.across(x) for x, _ in points], [self.up(y) for _, y in points]
        return Stroke(xs, ys, style, "line" if kind == "line" else "points", glyph)


def _round(value: float) -> str:
    rounded = float(f"{value:.3g}")  # which the largest floats don't survive
    return tick(rounded) if math.isfinite(rounded) else number(value)


def _finite(points: Sequence[Point]) -> list[Point]:
    return [p for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]


def _beyond(values: Sequence[float]) -> Scale:
    """The scale of some labels, and some room for predictions outside them."""
    low, high = min(values), max(values)
    room = BEYOND * (high - low) or 1.0
    low, high = low - room, high + room
    return Scale(low, high) if math.isfinite(low) and math.isfinite(high) else Scale.of(values)


def fitted(picture: FittedLine, width: int, height: int, *, ascii: bool) -> list[Line]:
    """The data as points and the model as a line through them."""
    points = _finite(picture.points)
    if not points:
        return [line(("no points", "dim"))]
    xs = [x for x, _ in points]
    curve = list(zip(picture.x, picture.y, strict=True))
    head = height >= 6
    frame = _Frame(Scale.of(xs), _beyond([y for _, y in points]), width, height - head)
    pieces: list[list[Point]] = [[]]
    for point in curve:
        if frame.inside(point):
            pieces[-1].append(point)
        elif pieces[-1]:
            pieces.append([])
    seen = sum(map(len, pieces))
    bad = len(curve) - len(_finite(curve))
    strokes = [frame.stroke(points, "train", "points", "." if ascii else "·")]
    strokes += [frame.stroke(p, "val", "line", "#" if ascii else "braille") for p in pieces if p]
    about = [
        line(("·", "train"), (f" {counted(len(points), 'point')}  ", "dim")),
        line(("━" if not ascii else "#", "val"), (" what the model predicts", "dim")),
    ]
    if bad:
        about.append(line((f"  ✗ {counted(bad, 'value')} NaN or infinite", "bad")))
    elif not seen and curve:
        low, high = min(y for _, y in curve), max(y for _, y in curve)
        about.append(line((f", out of sight: {number(low)} to {number(high)}", "warn")))
    return [*([whole(about, width)] if head else []), *frame.paint(strokes)]


def predictions(picture: PredictionsTruth, width: int, height: int, *, ascii: bool) -> list[Line]:
    """A point for each sample, truth across and prediction up: right ones are on the diagonal."""
    points = _finite(picture.points)
    about = [
        line(("R² ", "dim"), (number(picture.r2), "bold")),
        line(("  mean error ", "dim"), (number(picture.mae), "bold")),
        line((f"  {count(picture.samples)} {clean(picture.part)} samples", "dim")),
    ]
    bad = len(picture.points) - len(points)
    if bad:
        about.insert(2, line((f"  ✗ {counted(bad, 'prediction')} NaN or infinite", "bad")))
    if not points:
        return [whole(about, width)]
    truths = [x for x, _ in points]
    frame = _Frame(Scale.of(truths), _beyond(truths), width, max(1, height - 2))
    inside = [p for p in points if frame.inside(p)]
    low, high = frame.across.low, frame.across.high
    strokes = [
        frame.stroke([(low, low), (high, high)], "dim", "line", "." if ascii else "braille"),
        frame.stroke(inside, "train", "points", "o" if ascii else "•"),
    ]
    outside = len(points) - len(inside)
    axes, more = "prediction up, truth across", f"; {outside} further out" if outside else ""
    notes = (f"{axes}; on the line: right{more}", f"{axes}{more}", "up: predicted, across: true")
    head = [whole(about, width), line((first_that_fits(notes, width), "dim"))]
    return [*head, *frame.paint([s for s in strokes if len(s.x)])] if height > 2 else head[:height]
