"""Pictures in the plane: the decision map, the fitted line, predictions against the truth."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ...core.protocol.inside import DecisionMap, FittedLine, Point, PredictionsTruth
from .charts import Scale, Stroke, framed, paint
from .format import clean, count, counted, number, tick
from .glyphs import GLYPHS
from .spans import Line, Span, centred_rows, joined, line, line_width, sized

FIELDS: Final = "·:-~=,"
"""The ground of each class, so that colour alone tells nothing."""
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The glyphs of classes where there are more of them than `GLYPHS`; their ground is small."""
ROOM: Final = 8
"""Cells of a map for each point drawn on it, so that the ground can be seen."""
BEYOND: Final = 0.15
"""How far outside the labels' range predictions are drawn, as a share of it."""


def decisions(picture: DecisionMap, width: int, height: int) -> list[Line]:
    """The ground of the predicted class at each place, blank where it is unsure, and the data."""
    several = len(picture.names) > len(GLYPHS)
    sure = (1 + 1 / max(1, len(picture.names))) / 2
    about = f"the class seen at each place; blank: less than {100 * sure:.0f} % sure"
    head = [line((about, "dim"))] if height >= 6 else []
    legend = _legend(picture.names, width, several=several) if height >= 5 else []
    columns, rows = _proportions(picture, width, height - len(head) - len(legend))
    if columns < 1 or rows < 1 or not picture.classes:
        return head
    cells: list[list[Span]] = []
    for row in range(rows):
        start = (2 * row + 1) * picture.rows // (2 * rows) * picture.columns
        ground: list[Span] = []
        for column in range(columns):
            at = start + (2 * column + 1) * picture.columns // (2 * columns)
            known, chance = picture.classes[at], picture.confidence[at]
            if known < 0:
                ground.append(("✗", "bad"))
            elif chance >= sure:
                ground.append(_ground(known, several=several))
            else:
                ground.append((" ", ""))
        cells.append(ground)
    across, up = Scale(*picture.x), Scale(*picture.y)
    there: dict[tuple[int, int], Counter[int]] = {}
    for x, y, label in _thinned(picture.points, columns * rows // ROOM):
        if math.isfinite(x) and math.isfinite(y):
            place = round((1 - up(y)) * (rows - 1)), round(across(x) * (columns - 1))
            there.setdefault(place, Counter())[label] += 1
    for (row, column), labels in there.items():
        cells[row][column] = _glyph(labels.most_common(1)[0][0], several=several)
    drawn = centred_rows([joined(row) for row in cells], columns, width)
    return [*head, *drawn, *legend]


def _proportions(picture: DecisionMap, width: int, height: int) -> tuple[int, int]:
    """Columns and rows; a cell is twice as high as wide, and units are as long on both axes."""
    across, up = picture.x[1] - picture.x[0], picture.y[1] - picture.y[0]
    shape = across / up if up > 0 and math.isfinite(across) and math.isfinite(up) else 0.0
    if not 1 / 3 <= shape <= 3:
        return width, height  # the features have nothing in common
    columns = min(width, round(2 * height * shape))
    return columns, min(height, max(1, round(columns / (2 * shape))))


def _thinned(
    points: Sequence[tuple[float, float, int]], most: int
) -> list[tuple[float, float, int]]:
    """At most about `most` of the points, of each class its share."""
    step = max(1, -(-len(points) // max(1, most)))
    ordered = sorted(points, key=lambda point: point[2])
    return ordered[::step]


def _glyph(label: int, *, several: bool) -> Span:
    glyphs = LETTERS if several else GLYPHS
    return glyphs[label % len(glyphs)], f"class-{label % len(GLYPHS)}"


def _ground(label: int, *, several: bool) -> Span:
    glyphs = LETTERS.lower() if several else FIELDS
    return glyphs[label % len(glyphs)], f"field-{label % len(GLYPHS)}"


def _legend(names: Sequence[str], width: int, *, several: bool) -> list[Line]:
    spans: list[Span] = []
    for label, name in enumerate(names):
        glyph, (ground, style) = _glyph(label, several=several), _ground(label, several=several)
        more: list[Span] = [("   " if spans else "", ""), glyph, (ground * 2, style)]
        more.append((f" {clean(name)}", "dim"))
        rest = len(names) - label - 1
        if spans and line_width([*spans, *more]) > width - (2 if rest else 0):
            spans.append((" …", "dim"))
            break
        spans += more
    legend = sized(line(*spans), width) if line_width(spans) > width else line(*spans)
    return centred_rows([legend], line_width(legend), width)


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
    about: list[Span] = [("·", "train"), (f" {counted(len(points), 'point')}  ", "dim")]
    about += [("━" if not ascii else "#", "val"), (" what the model predicts", "dim")]
    if bad:
        about.append((f"  ✗ {counted(bad, 'value')} NaN or infinite", "bad"))
    elif not seen and curve:
        low, high = min(y for _, y in curve), max(y for _, y in curve)
        about.append((f", out of sight: {number(low)} to {number(high)}", "warn"))
    return [*([line(*about)] if head else []), *frame.paint(strokes)]


def predictions(picture: PredictionsTruth, width: int, height: int, *, ascii: bool) -> list[Line]:
    """A point for each sample, truth across and prediction up: right ones are on the diagonal."""
    points = _finite(picture.points)
    about: list[Span] = [("R² ", "dim"), (number(picture.r2), "bold")]
    about += [("  mean error ", "dim"), (number(picture.mae), "bold")]
    about.append((f"  {count(picture.samples)} {clean(picture.part)} samples", "dim"))
    bad = len(picture.points) - len(points)
    if bad:
        about.append((f"  ✗ {counted(bad, 'prediction')} NaN or infinite", "bad"))
    if not points:
        return [line(*about)]
    truths = [x for x, _ in points]
    frame = _Frame(Scale.of(truths), _beyond(truths), width, max(1, height - 2))
    inside = [p for p in points if frame.inside(p)]
    low, high = frame.across.low, frame.across.high
    strokes = [
        frame.stroke([(low, low), (high, high)], "dim", "line", "." if ascii else "braille"),
        frame.stroke(inside, "train", "points", "o" if ascii else "•"),
    ]
    outside = len(points) - len(inside)
    note = "prediction up, truth across; on the line: right"
    note += f"; {outside} further out" if outside else ""
    head = [line(*about), line((note, "dim"))]
    return [*head, *frame.paint([s for s in strokes if len(s.x)])] if height > 2 else head[:height]
