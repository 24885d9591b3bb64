"""What panels draw: lines made of spans, a run being a text and the name of its style.

No markup is ever read, so a name or a message cannot style, link or run anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len

from .format import fit

Span = tuple[str, str]
"""A text and the name of a style of `widgets.panel.STYLES` ("" is plain)."""
Line = tuple[Span, ...]

EMPTY: Line = ()
GAP = 8
"""Cells between two differences that are sent along with them."""


def line(*spans: Span | str) -> Line:
    """A line of spans; a bare string is plain text. Empty spans are left out."""
    pairs = (run if isinstance(run, tuple) else (run, "") for run in spans)
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


def changes(left: Line, right: Line) -> list[tuple[int, int]]:
    """Where two lines of the same size differ: from each column, up to another.

    Differences that are close together are one: to send a few cells again takes fewer bytes than
    to go past them.
    """
    first, last, most = 0, 0, min(len(left), len(right))
    while first < most and left[first] == right[first]:
        first += 1
    while last < most - first and left[-1 - last] == right[-1 - last]:
        last += 1
    before, after = (_cells(row[first : len(row) - last]) for row in (left, right))
    offset = line_width(left[:first])
    cells = len(before)
    found: list[tuple[int, int]] = []
    for column, (a, b) in enumerate(zip(before, after, strict=True)):
        if a == b:
            continue
        start, end = column, column + 1
        while start and not (before[start][0] and after[start][0]):  # a wide character is whole
            start -= 1
        while end < cells and not (before[end][0] and after[end][0]):
            end += 1
        if found and start - found[-1][1] <= GAP:
            start, end = found[-1][0], max(end, found.pop()[1])
        found.append((start, end))
    return [(offset + start, offset + end) for start, end in found]


def _cells(spans: Line) -> list[Span]:
    """A line cell by cell; the second half of a wide character is empty."""
    found: list[Span] = []
    for text, style in spans:
        if text.isascii():
            found += [(char, style) for char in text]
            continue
        for char in text:
            size = cell_len(char)
            if size:
                found += [(char, style), ("", style)][:size]
            elif found:  # it joins the one before
                found[-1] = (found[-1][0] + char, style)
    return found


def centred_rows(rows: list[Line], columns: int, width: int) -> list[Line]:
    """Rows of `columns` cells in the middle of `width`."""
    pad = " " * max(0, (width - columns) // 2)
    return [line((pad, ""), *row) for row in rows]
