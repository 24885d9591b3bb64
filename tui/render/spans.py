"""What panels draw: lines made of spans, each a text and the name of a style.

No markup is ever read, so a name or a message cannot style, link or run anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from .format import fit

Span = tuple[str, str]
"""A text and the name of a style of `widgets.ink.TEXT_STYLES` ("" is plain)."""
Line = tuple[Span, ...]

EMPTY: Line = ()


def line(*spans: Span | str) -> Line:
    """A line of spans; a bare string is plain text. Empty spans are left out."""
    pairs = (span if isinstance(span, tuple) else (span, "") for span in spans)
    return tuple(pair for pair in pairs if pair[0])


def line_width(spans: Iterable[Span]) -> int:
    """Cells that the spans take."""
    return sum(cell_len(text) for text, _ in spans)


def sized(spans: Line, cells: int) -> Line:
    """The line in exactly `cells` cells: padded, or cut with an ellipsis."""
    room = cells
    kept: list[Span] = []
    for i, (text, style) in enumerate(spans):
        need = cell_len(text)
        if need > room or (need == room and i + 1 < len(spans)):
            more = line_width(spans[i + 1 :]) > 0
            cut = fit(text + " " * more, room) if need + more > room else text
            return (*kept, (cut, style)) if room > 0 else tuple(kept)
        kept.append((text, style))
        room -= need
    return (*kept, (" " * room, "")) if room > 0 else tuple(kept)


def first_that_fits(texts: Sequence[str], cells: int) -> str:
    """The first of some texts, the longest one first, that `cells` hold; else the last, cut."""
    return next((text for text in texts if cell_len(text) <= cells), fit(texts[-1], cells))


def whole(parts: Iterable[Line], cells: int) -> Line:
    """The parts one after the other, as long as `cells` hold them; the first one in any case."""
    spans: Line = ()
    for part in parts:
        if spans and line_width((*spans, *part)) > cells:
            break
        spans = (*spans, *part)
    return spans


def spread(left: Line, right: Line, cells: int) -> Line:
    """`left` at the left edge and `right` at the right one; `left` gives way."""
    room = cells - line_width(right)
    if room <= 0:
        return sized(right, cells)
    return (*sized(left, room), *right)


def restyled(spans: Line, style: str) -> Line:
    """The same text, all in one style."""
    return tuple((text, style) for text, _ in spans)


def put(row: list[Span], column: int, text: str, style: str) -> list[Span]:
    """`row` (one cell a span) with `text` written over it from `column` on, cut at the edges."""
    for offset, char in enumerate(text):
        if 0 <= column + offset < len(row):
            row[column + offset] = (char, style)
    return row


def joined(cells: Iterable[Span]) -> Line:
    """Neighbouring spans of one style merged into one."""
    merged: list[Span] = []
    for text, style in cells:
        if merged and merged[-1][1] == style:
            merged[-1] = (merged[-1][0] + text, style)
        else:
            merged.append((text, style))
    return tuple(merged)


def beside(parts: Sequence[Line], gap: int) -> Line:
    """The parts side by side, `gap` cells between two of them."""
    spans: list[Span] = []
    for i, part in enumerate(parts):
        spans += [(" " * gap, "")] if i and gap else []
        spans += part
    return joined(spans)


def centred_rows(rows: list[Line], columns: int, width: int) -> list[Line]:
    """Rows of `columns` cells in the middle of `width`."""
    pad = " " * max(0, (width - columns) // 2)
    return [line((pad, ""), *row) for row in rows]
