"""Pictures of data as pure functions: values, width, height to lines of styled spans.

Besides the styles of every panel a span may be in "ink-A-B": the upper half of the cell in level A
of grey, the lower one in level B, from 0 (paper) to `INKS` - 1; and in "class-N" for N below
`len(GLYPHS)`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ...core.protocol.inside import GreyImage
from .charts import Scale, Stroke, framed, paint, sparkline
from .format import clean, fit, tick, wrap
from .glyphs import GLYPHS, INKS
from .spans import EMPTY, Line, Span, beside, centred_rows, joined, line, line_width, sized


@dataclass(frozen=True, slots=True)
class Scatter:
    """Points in the plane, each of a class."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    classes: tuple[int, ...]
    names: tuple[str, ...] = ()
    """Of the classes; empty if there is but one."""
    square: bool = False
    """One unit is as long on both axes."""


@dataclass(frozen=True, slots=True)
class Images:
    """Sample images with their labels."""

    samples: tuple[tuple[GreyImage, str], ...]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of a text."""

    text: str


@dataclass(frozen=True, slots=True)
class Histograms:
    """How the values of each feature are spread."""

    columns: tuple[tuple[str, float, float, tuple[int, ...]], ...]
    """Name, lowest and highest value, and how many samples fall into each of equal bins."""


DataPicture = Scatter | Images | Excerpt | Histograms


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """A row in the table of a model's layers."""

    name: str
    kind: str
    shape: str
    """Shape of its output, with B for the batch size."""
    parameters: int


@dataclass(frozen=True, slots=True)
class Preview:
    """A recipe's data set and model; where one can't be loaded, an error message in its place."""

    about: str = ""
    """The data set in a few words."""
    notes: tuple[str, ...] = ()
    """What was understood of it; a line each."""
    samples: int = 0
    """Number of training samples."""
    picture: DataPicture | str = ""
    inputs: str = ""
    """Shape of a batch of features."""
    layers: tuple[LayerSummary, ...] | str = ()
    parameters: int | None = None
    device: str = ""
    """The device that would be used, such as "cpu"."""
    device_problem: str = ""
    torch: str = ""
    """Version of torch, such as "2.13.0"; empty if it can't be loaded."""


SHADES: Final = " .:-=+*#@"
"""The same levels of grey where there is only ASCII."""
MOST_SCALE: Final = 4


def draw(picture: DataPicture, width: int, height: int, *, ascii: bool = False) -> list[Line]:
    """The picture in at most `height` lines of at most `width` cells."""
    if width < 1 or height < 1:
        return []
    match picture:
        case Scatter():
            drawn = scatter(picture, width, height, ascii=ascii)
        case Images():
            drawn = image_grid(picture, width, height, ascii=ascii)
        case Excerpt():
            drawn = excerpt(picture, width, height)
        case Histograms():
            drawn = histograms(picture, width, height)
    return [row if line_width(row) <= width else sized(row, width) for row in drawn[:height]]


def scatter(data: Scatter, width: int, height: int, *, ascii: bool = False) -> list[Line]:
    """Points in the plane: with a glyph for each class and a legend, or as dots with axes."""
    fine = [
        (x, y, c)
        for x, y, c in zip(data.x, data.y, data.classes, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]
    if not fine:
        return [line(("no points", "dim"))]
    across, up = Scale.of([p[0] for p in fine]), Scale.of([p[1] for p in fine])
    if data.names:
        return _classes(fine, data, across, up, width, height)
    return _dots(fine, across, up, width, height, ascii=ascii)


def _classes(
    points: Sequence[tuple[float, float, int]],
    data: Scatter,
    across: Scale,
    up: Scale,
    width: int,
    height: int,
) -> list[Line]:
    rows = max(1, height - 2) if height >= 5 else height
    columns = min(width, 2 * rows) if data.square else width
    rows = min(rows, -(-columns // 2)) if data.square else rows
    cells: dict[tuple[int, int], Counter[int]] = {}
    for x, y, label in points:
        place = round((1 - up(y)) * (rows - 1)), round(across(x) * (columns - 1))
        cells.setdefault(place, Counter())[label] += 1
    drawn = []
    for row in range(rows):
        spans: list[Span] = []
        for column in range(columns):
            there = cells.get((row, column))
            spans.append(_mark(there.most_common(1)[0][0]) if there else (" ", ""))
        drawn.append(joined(spans))
    drawn = centred_rows(drawn, columns, width)
    if height < 5:
        return drawn
    names = list(enumerate(clean(name) for name in data.names[: len(GLYPHS)]))
    needed = sum(2 + len(name) for _, name in names)
    gap = max(1, min(3, (width - needed) // max(1, len(names) - 1)))
    legend: list[Span] = []
    for label, name in names:
        legend += [(" " * gap, "")] if legend else []
        legend += [_mark(label), (f" {name}", "dim")]
    return [*drawn, EMPTY, *centred_rows([line(*legend)], line_width(legend), width)]


def _mark(label: int) -> Span:
    at = label % len(GLYPHS)
    return GLYPHS[at], f"class-{at}"


def _dots(
    points: Sequence[tuple[float, float, int]],
    across: Scale,
    up: Scale,
    width: int,
    height: int,
    *,
    ascii: bool,
) -> list[Line]:
    top, bottom = tick(round(up.high, 2)), tick(round(up.low, 2))
    gutter = max(len(top), len(bottom)) + 1
    rows, columns = height - 2, width - gutter - 1
    if rows < 1 or columns < 4:
        rows, columns, gutter = height, width, -1
    stroke = Stroke(
        [across(p[0]) for p in points],
        [up(p[1]) for p in points],
        "train",
        "points",
        "." if ascii else "braille",
    )
    drawn = [sized(row, columns) for row in paint([stroke], columns, rows)]
    if gutter < 0:
        return drawn
    sides = tick(round(across.low, 2)), tick(round(across.high, 2))
    return framed(drawn, columns, gutter, (bottom, top), sides)


def image_grid(data: Images, width: int, height: int, *, ascii: bool = False) -> list[Line]:
    """Samples side by side, each over its label: as large as lets about eight of them be seen."""
    if not data.samples:
        return [line(("no images", "dim"))]
    pixels = data.samples[0][0]
    tall, wide = len(pixels), len(pixels[0])
    # In ASCII a pixel takes two cells of one row, else half of one cell.
    across, down = (2, 1) if ascii else (1, 2)
    scale, shrink = 1, 1
    while wide * across > width * shrink or tall > (height - 1) * down * shrink:
        shrink += 1
        if shrink > max(tall, wide):
            return []
    for bigger in range(2, MOST_SCALE + 1):
        if shrink == 1 and _room(wide * across * bigger, tall * bigger // down, width, height) >= 8:
            scale = bigger
    shown_wide = -(-wide // shrink) * across * scale
    shown_tall = -(-(-(-tall // shrink) * scale) // down)
    many = max(1, (width + 1) // (shown_wide + 1))
    gap = min(4, (width - many * shown_wide) // max(1, many - 1)) if many > 1 else 0
    rows = max(1, height // (shown_tall + 1))
    air = 1 if rows * (shown_tall + 2) - 1 <= height else 0
    drawn: list[Line] = []
    for row in range(rows):
        samples = data.samples[row * many : (row + 1) * many]
        if not samples:
            break
        blocks = [_image(_scaled(image, shrink, scale), ascii=ascii) for image, _ in samples]
        if drawn and air:
            drawn.append(EMPTY)
        drawn += [beside([block[y] for block in blocks], gap) for y in range(shown_tall)]
        names = [line((_middle(clean(name), shown_wide), "dim")) for _, name in samples]
        drawn.append(beside(names, gap))
    return centred_rows(drawn, many * shown_wide + (many - 1) * gap, width)


def _room(wide: int, tall: int, width: int, height: int) -> int:
    """How many images of `wide` x `tall` cells fit, with gaps and labels."""
    return ((width + 1) // (wide + 1)) * (height // (tall + 1))


def _scaled(image: GreyImage, shrink: int, scale: int) -> GreyImage:
    """Blocks of `shrink` pixels averaged into one, then each pixel `scale` times as large."""
    tall, wide = len(image), len(image[0])
    rows = []
    for y in range(0, tall, shrink):
        row: list[float] = []
        for x in range(0, wide, shrink):
            block = [v for r in image[y : y + shrink] for v in r[x : x + shrink]]
            row += [sum(block) / len(block)] * scale
        rows += [tuple(row)] * scale
    return tuple(rows)


def _image(image: GreyImage, *, ascii: bool) -> list[Line]:
    levels = [[_level(value) for value in row] for row in image]
    if ascii:
        return [line("".join(SHADES[level] * 2 for level in row)) for row in levels]
    if len(levels) % 2:
        levels.append([0] * len(levels[0]))
    return [
        joined(
            ("▀", f"ink-{a}-{b}") if a or b else (" ", "") for a, b in zip(top, low, strict=True)
        )
        for top, low in zip(levels[::2], levels[1::2], strict=True)
    ]


def _level(value: float) -> int:
    return min(INKS - 1, max(0, round(value * (INKS - 1)))) if math.isfinite(value) else 0


def _middle(text: str, width: int) -> str:
    return fit(" " * ((width - len(text)) // 2) + text, width)


def excerpt(data: Excerpt, width: int, height: int) -> list[Line]:
    """The beginning of the text, its line breaks and indentation kept."""
    rows: list[Line] = []
    for text in clean(data.text, lines=True).split("\n"):
        indent = min(len(text) - len(text.lstrip(" ")), width // 2)
        rows += [line(" " * indent + row) for row in wrap(text.lstrip(" "), width - indent)]
        if len(rows) >= height:
            break
    return rows[:height]


def histograms(data: Histograms, width: int, height: int) -> list[Line]:
    """A row for each feature: its name, how its values are spread, the lowest and highest.

    Where there is no room for everything, how they are spread counts more than the numbers.
    """
    rows: list[Line] = []
    names = min(16, max((len(name) for name, *_ in data.columns), default=0))
    spans = [
        f"  {tick(float(f'{low:.3g}'))} to {tick(float(f'{high:.3g}'))}"
        for _, low, high, _ in data.columns
    ]
    room = width - names - 2 - max((len(span) for span in spans), default=0)
    if room < 8 <= width - names - 2:
        room, spans = width - names - 2, [""] * len(spans)
    most = height if len(data.columns) <= height else height - 1
    shown = list(zip(data.columns, spans, strict=True))[: max(0, most)]
    for (name, _, _, counts), span in shown:
        bars = _binned(counts, min(room, len(counts))) if room >= 8 else []
        drawn = sparkline(bars, len(bars), 1, "train")[0] if bars else EMPTY
        # An empty bin is blank: the lowest level means that something is there.
        drawn = joined(
            (char if bars[i] else " ", style)
            for i, (char, style) in enumerate((c, s) for text, s in drawn for c in text)
        )
        rows.append(line((fit(clean(name), names), "dim"), "  ", *drawn, (span, "dim")))
    if len(data.columns) > len(rows) and height > 0:
        rows.append(line((f"and {len(data.columns) - len(rows)} more", "dim")))
    return rows


def _binned(counts: Sequence[int], most: int) -> list[float]:
    """The counts added up in at most `most` bins."""
    edges = [i * len(counts) // most for i in range(most + 1)]
    return [float(sum(counts[a:b])) for a, b in pairwise(edges)]
