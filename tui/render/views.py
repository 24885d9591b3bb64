"""Views of what the model knows, as pure functions: picture, width, height to lines.

Besides the styles of every panel a run may be in "ink-A-B" and "class-N", as in
`choose.pictures`, and in "field-N": the same colour as class N, but faint, for an area.
"""

from __future__ import annotations

from ...core.protocol.inside import (
    ConfusionMatrix,
    DecisionMap,
    FittedLine,
    Mistakes,
    Picture,
    PredictionsTruth,
    WrittenText,
)
from .format import clean, wrap
from .pictures import confusion, mistakes
from .plane import decisions, fitted, predictions
from .spans import Line, Run, joined, line, sized
from .spans import width as cells_of


def draw_view(picture: Picture, width: int, height: int, *, ascii: bool = False) -> list[Line]:
    """The picture in at most `height` lines of at most `width` cells."""
    if width < 1 or height < 1:
        return []
    match picture:
        case DecisionMap():
            drawn = decisions(picture, width, height)
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
    return [row if cells_of(row) <= width else sized(row, width) for row in drawn[:height]]


def written(picture: WrittenText, width: int, height: int) -> list[Line]:
    """The prompt, faint, and what the model makes of it."""
    about = f"faint: the prompt; temperature {picture.temperature:g}, the same luck each time"
    head = [line((about, "dim"))] if height >= 5 else []
    if picture.bad:
        head.append(line(("✗ the model gave NaN or infinity: this text means nothing", "bad")))
    prompt = f"…{clean(picture.prompt, lines=True)}"
    text = clean(picture.text, lines=True)
    rows: list[Line] = []
    left = prompt + text
    for row in wrap(left, width):
        cells: list[Run] = []
        for char in row:
            # A break in the line stands for the space or the line end that it replaces.
            place = left.find(char)
            cells.append((char, "dim" if len(left) - place > len(text) else ""))
            left = left[place + 1 :]
        rows.append(joined(cells))
    return [*head, *rows]
