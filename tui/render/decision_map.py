"""The decision map: which class the model sees at each place of the plane, and the data on it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Final

from ...core.protocol.inside import DecisionMap
from .charts import Scale
from .format import clean
from .glyphs import GLYPHS
from .spans import Line, Span, centred_rows, first_that_fits, joined, line, line_width, sized

FIELDS: Final = "·:-~=,"
"""The ground of each class, so that colour alone tells nothing."""
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The glyphs of classes where there are more of them than `GLYPHS`; their ground is small."""
ROOM: Final = 8
"""Cells of a map for each point drawn on it, so that the ground can be seen."""
TINTS: Final = 3
"""How strong the colour of a pixel can be: more where the model is surer."""

Pixel = tuple[int, int]
"""A class and how strong its colour is, 0 to `TINTS`; the class is below 0 for NaN."""


def decisions(picture: DecisionMap, width: int, height: int, *, blocks: bool) -> list[Line]:
    """The ground of the predicted class at each place, fainter where it is unsure, and the data.

    Args:
        blocks: the ground is of coloured half blocks, two pixels a cell; otherwise of a sign for
            each class, blank where it is unsure.
    """
    several = len(picture.names) > len(GLYPHS)
    blocks = blocks and not several  # there are no more colours than glyphs
    head = [_about(picture, width, blocks=blocks)] if height >= 6 else []
    legend = _legend(picture.names, width, several=several, blocks=blocks) if height >= 5 else []
    columns, rows = _proportions(picture, width, height - len(head) - len(legend))
    if columns < 1 or rows < 1 or not picture.classes:
        return head
    per_cell = 2 if blocks else 1
    pixels = _pixels(picture, columns, per_cell * rows)
    cells = [
        [
            _blocks(upper, lower) if blocks else _sign(upper, several=several)
            for upper, lower in zip(pixels[y], pixels[y + per_cell - 1], strict=True)
        ]
        for y in range(0, len(pixels), per_cell)
    ]
    across, up = Scale(*picture.x), Scale(*picture.y)
    there: dict[tuple[int, int], Counter[int]] = {}
    for x, y, label in _thinned(picture.points, columns * rows // ROOM):
        if math.isfinite(x) and math.isfinite(y):
            place = round((1 - up(y)) * (rows - 1)), round(across(x) * (columns - 1))
            there.setdefault(place, Counter())[label] += 1
    for (row, column), labels in there.items():
        label = labels.most_common(1)[0][0]
        known, tint = pixels[row * per_cell][column]
        glyph, style = _glyph(label, several=several)
        if blocks and known >= 0:
            style = f"dot-{label % len(GLYPHS)}-{known % len(GLYPHS)}{tint}"
        cells[row][column] = (glyph, style)
    drawn = centred_rows([joined(row) for row in cells], columns, width)
    return [*head, *drawn, *legend]


def _about(picture: DecisionMap, width: int, *, blocks: bool) -> Line:
    texts: tuple[str, ...]
    if blocks:
        texts = ("colour: the class seen there; fainter: less sure", "fainter: less sure")
    else:
        blank = f"blank: less than {100 * _sure(picture):.0f} % sure"
        texts = (f"the class seen there; {blank}", blank, "blank: unsure")
    return line((first_that_fits(texts, width), "dim"))


def _sure(picture: DecisionMap) -> float:
    """The least probability of a class that is drawn without colour."""
    return (1 + 1 / max(1, len(picture.names))) / 2


def _pixels(picture: DecisionMap, columns: int, rows: int) -> list[list[Pixel]]:
    """The nearest class of each place, the stronger the more probable than by luck it is."""
    luck = 1 / max(1, len(picture.names))
    seen: list[Pixel] = []
    for known, chance in zip(picture.classes, picture.confidence, strict=True):
        more = (chance - luck) / (1 - luck) if luck < 1 else 1.0
        strength = round(more * TINTS) if math.isfinite(more) else 0
        seen.append((known, min(TINTS, max(0, strength))))
    places = [(2 * column + 1) * picture.columns // (2 * columns) for column in range(columns)]
    starts = [(2 * row + 1) * picture.rows // (2 * rows) * picture.columns for row in range(rows)]
    return [[seen[start + place] for place in places] for start in starts]


@cache
def _blocks(upper: Pixel, lower: Pixel) -> Span:
    if upper[0] < 0 or lower[0] < 0:
        return "✗", "bad"
    return "▀", "map-" + "-".join(f"{known % len(GLYPHS)}{tint}" for known, tint in (upper, lower))


@cache
def _sign(pixel: Pixel, *, several: bool) -> Span:
    known, tint = pixel
    if known < 0:
        return "✗", "bad"
    return _ground(known, several=several) if 2 * tint > TINTS else (" ", "")


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


def _legend(names: Sequence[str], width: int, *, several: bool, blocks: bool) -> list[Line]:
    spans: list[Span] = []
    for label, name in enumerate(names):
        full = label, TINTS
        sign, style = _blocks(full, full) if blocks else _ground(label, several=several)
        more: list[Span] = [("   " if spans else "", ""), _glyph(label, several=several)]
        more += [(sign * 2, style), (f" {clean(name)}", "dim")]
        rest = len(names) - label - 1
        if spans and line_width([*spans, *more]) > width - (2 if rest else 0):
            spans.append((" …", "dim"))
            break
        spans += more
    legend = sized(line(*spans), width) if line_width(spans) > width else line(*spans)
    return centred_rows([legend], line_width(legend), width)
