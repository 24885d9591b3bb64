"""Pictures of what a model knows: confusion matrix, mistaken images, text it writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

from ...core.protocol.inside import (
    ClassifiedImage,
    ConfusionMatrix,
    DecisionMap,
    FittedLine,
    GreyImage,
    Mistakes,
    PredictionsTruth,
    ViewResult,
    WrittenText,
)
from .data_pictures import MOST_SCALE, Images, image_grid
from .decision_map import decisions
from .format import clean, count, fit, percent, wrap
from .plane import fitted, predictions
from .spans import (
    EMPTY,
    Line,
    Span,
    beside,
    centred_rows,
    first_that_fits,
    joined,
    line,
    line_width,
    sized,
)

NAMES: Final = 14
"""Cells of a class's name at most."""
HEADS: Final = ("true ↓ predicted →", "true↓ pred→")
"""What stands over the classes' names: as long as there is room for."""
GAP: Final = 2
WANTED: Final = 8
"""Images that a larger scale must leave room for."""


def confusion(picture: ConfusionMatrix, width: int, height: int) -> list[Line]:
    """A row for each true class, a column for each predicted one; mistakes are off the diagonal."""
    wrong = picture.samples - picture.right
    share = picture.right / picture.samples if picture.samples else 0.0
    right, few = f"{percent(share, 1)} right", f"  {count(wrong)} wrong of {count(picture.samples)}"
    told = (f"{few} {clean(picture.part)} samples", f"{few} {clean(picture.part)}", few)
    head = line((right, "bold"), (first_that_fits(told, width - len(right)), "dim"))
    if height < 4 or width < 12:
        return [head]
    names = [clean(_name(picture.names, number)) for number in picture.classes]
    digits = len(str(max((n for row in picture.counts for n in row), default=0)))
    cell = max(digits, 3, min(8, max(map(cell_len, names), default=0))) + 1
    head_of_names = next((h for h in HEADS if len(h) + cell * len(names) <= width), HEADS[-1])
    gutter = max([len(head_of_names), *(min(NAMES, cell_len(name)) for name in names)])
    room = min(height - 2, (width - gutter) // cell)
    if room < len(names):
        cell = max(digits, 2) + 1
        room = min(height - 2, (width - gutter) // cell)
    if room < 1:
        return [head]
    shown = _most_wrong(picture.counts, room - (room < len(names)))
    recall = width - gutter - cell * len(shown) >= 7
    left_out = len(picture.names) - len(shown)
    rows = [
        line(
            (fit(head_of_names, gutter), "dim"),
            *((" " + fit(names[i], cell - 1, right=True), "dim") for i in shown),
            ("  right" if recall else "", "dim"),
        )
    ]
    for i in shown:
        counts = picture.counts[i]
        cells: list[Span] = [(fit(names[i], gutter), "")]
        cells += [_count(counts[j], cell, right=i == j) for j in shown]
        if recall:
            cells.append((f"{percent(counts[i] / sum(counts)):>7}" if sum(counts) else "", "dim"))
        rows.append(joined(cells))
    if left_out > 0:
        rows.append(line((f"and {left_out} more classes, with fewer mistakes", "dim")))
    return [head, *rows]


def _count(number: int, cells: int, *, right: bool) -> Span:
    if not number:
        return f"{'·':>{cells}}", "dim"
    return f"{number:>{cells}}", "good" if right else "bad"


def _most_wrong(counts: Sequence[Sequence[int]], most: int) -> list[int]:
    """The classes with the most mistakes, in their order."""

    def mistakes(i: int) -> int:
        return sum(counts[i]) + sum(row[i] for row in counts) - 2 * counts[i][i]

    ranked = sorted(range(len(counts)), key=mistakes, reverse=True)
    return sorted(ranked[: max(0, most)])


def mistakes(picture: Mistakes, width: int, height: int, *, ascii: bool) -> list[Line]:
    """Images side by side, each over what it is taken for and what it is."""
    few, images = f" of {count(picture.samples)}", f" {clean(picture.part)} images"
    said = f"{count(picture.wrong)} wrong" if picture.wrong else "none wrong"
    order = ", worst first" if picture.wrong else "; the least sure first"
    told = (f"{few}{images}{order}", f"{few}{order}", few)
    head = line((said, "bold"), (first_that_fits(told, width - len(said)), "dim"))
    if not picture.shown or height < 3:
        return [head]
    captions = [_caption(x, picture.names) for x in picture.shown]
    slot, tall, scale = _size(picture.shown[0].image, captions, width, height - 1, ascii=ascii)
    many = max(1, (width + GAP) // (slot + GAP))
    rows: list[Line] = []
    for start in range(0, len(picture.shown), many):
        if len(rows) + tall + 1 > height - 1:
            break
        part = picture.shown[start : start + many]
        blocks = [_block(x.image, slot, tall, scale, ascii=ascii) for x in part]
        rows += [beside([block[y] for block in blocks], GAP) for y in range(tall)]
        rows.append(beside([_middle(line(c), slot) for c in captions[start : start + many]], GAP))
    used = min(many, len(picture.shown))
    return [head, *centred_rows(rows, used * (slot + GAP) - GAP, width)]


def _caption(judged: ClassifiedImage, names: Sequence[str]) -> Span:
    guess = clean(_name(names, judged.predicted)) if judged.predicted >= 0 else "NaN"
    if judged.predicted == judged.label:
        return f"✔ {guess} {percent(judged.confidence)}", "dim"
    return f"✗ {guess}, is {clean(_name(names, judged.label))}", "bad"


def _size(
    image: GreyImage, captions: Sequence[Span], width: int, height: int, *, ascii: bool
) -> tuple[int, int, int]:
    """Cells of a slot across and of an image down, and how much an image is enlarged."""
    across, down = (2, 1) if ascii else (1, 2)
    tall, wide = len(image), len(image[0])
    words = min(24, max(cell_len(text) for text, _ in captions))
    for scale in range(MOST_SCALE, 0, -1):
        slot, rows = max(words, wide * across * scale), -(-tall * scale // down)
        fits = ((width + GAP) // (slot + GAP)) * (height // (rows + 1))
        if fits >= min(WANTED, len(captions)):
            return slot, rows, scale
    rows = max(1, min(-(-tall // down), height - 1))
    return min(width, max(words, wide * across)), rows, 1


def _block(image: GreyImage, slot: int, tall: int, scale: int, *, ascii: bool) -> list[Line]:
    """An image in the middle of a slot of `tall` rows."""
    grey = [[min(1.0, max(0.0, v)) if math.isfinite(v) else 0.0 for v in row] for row in image]
    large = tuple(tuple(v for v in row for _ in range(scale)) for row in grey for _ in range(scale))
    drawn = image_grid(Images(((large, ""),)), slot, tall + 1, ascii=ascii)[:tall]
    drawn += [EMPTY] * (tall - len(drawn))
    return [_middle(row, slot) for row in drawn]


def _middle(row: Line, cells: int) -> Line:
    spare = cells - line_width(row)
    if spare <= 0:
        return line(*((fit(text, cells), style) for text, style in row[:1])) if spare else row
    return line((" " * (spare // 2), ""), *row, (" " * (spare - spare // 2), ""))


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else str(number)


def draw_view(
    picture: ViewResult, width: int, height: int, *, ascii: bool = False, blocks: bool = False
) -> list[Line]:
    """The picture in at most `height` lines of at most `width` cells.

    Args:
        blocks: what needs many colours may be drawn in half blocks.
    """
    if width < 1 or height < 1:
        return []
    match picture:
        case DecisionMap():
            drawn = decisions(picture, width, height, blocks=blocks)
        case FittedLine():
            drawn = fitted(picture, width, height, ascii=ascii)
        case PredictionsTruth():
            drawn = predictions(picture, width, height, ascii=ascii)
        case Mistakes():
            drawn = mistakes(picture, width, height, ascii=ascii)
        case ConfusionMatrix():
            drawn = confusion(picture, width, height)
        case WrittenText():
            drawn = written(picture, width, height)
    return [row if line_width(row) <= width else sized(row, width) for row in drawn[:height]]


def written(picture: WrittenText, width: int, height: int) -> list[Line]:
    """The prompt, faint, and what the model makes of it."""
    about = f"faint: the prompt; temperature {picture.temperature:g}"
    texts = (f"{about}, the same luck each time", about, "faint: the prompt")
    head = [line((first_that_fits(texts, width), "dim"))] if height >= 5 else []
    if picture.bad:
        head.append(line(("✗ the model gave NaN or infinity: this text means nothing", "bad")))
    prompt = f"…{clean(picture.prompt, lines=True)}"
    text = clean(picture.text, lines=True)
    rows: list[Line] = []
    left = prompt + text
    for row in wrap(left, width):
        cells: list[Span] = []
        for char in row:
            # A break in the line stands for the space or the line end that it replaces.
            place = left.find(char)
            cells.append((char, "dim" if len(left) - place > len(text) else ""))
            left = left[place + 1 :]
        rows.append(joined(cells))
    return [*head, *rows]
