"""The table of layers as a pure function: rows, width, height to lines.

Columns are dropped, the least telling first, until the rest fits; numbers stay aligned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from rich.cells import cell_len

from ...core.protocol.inside import Difference, Histogram, LayerRow
from .charts import BAD, LEVELS
from .format import NOTHING, clean, count, fit, number, percent, share
from .spans import Line, Span, joined, line, line_width, put, sized

USUAL: Final = -3
"""Decimal logarithm of a usual ratio of an update to its weights."""
REACH: Final = 2
"""How many powers of ten the scale shows on either side of it."""
SCALE: Final = 11
"""Cells of that scale."""
SPREAD: Final = 20
"""Cells of a histogram."""
GAP: Final = "  "
UPDATE: Final = "‖update‖/‖w‖"
NAME: Final = 22
"""Cells that a name keeps as long as there are columns that tell little."""
SHORT_NAME: Final = 12
"""Cells that it keeps beside the others."""
TELLING: Final = 4
"""The highest rank of those."""
_STYLES: Final = {
    "moved": "good",
    "filled": "train",
    "added to": "warn",
    "cleared": "bold",
    "clipped": "warn",
    "unchanged": "dim",
}


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    width: int
    rank: int
    """The larger, the sooner it is dropped."""
    cell: Callable[[LayerRow], Line]
    left: bool = False

    def draw(self, cell: Line) -> Line:
        spare = self.width - line_width(cell)
        return sized(cell, self.width) if self.left or spare <= 0 else ((" " * spare, ""), *cell)


def layer_table(
    rows: Sequence[LayerRow],
    width: int,
    height: int,
    *,
    differences: Sequence[Difference] = (),
    spread: Literal["weights", "grads"] = "weights",
    keep: bool = False,
    first: int = 0,
) -> list[Line]:
    """A header, and a line for each layer as long as there is room.

    Args:
        differences: what the last step did: before and after stand side by side then.
        spread: whose histograms to draw, where there are any.
        keep: they are what is wanted: other columns give way to them.
        first: the first row shown, for a table that is scrolled.
    """
    if width < 1 or height < 1:
        return []
    known = {d.after.name: d for d in differences}
    if known:
        rows = [row for row in rows if row.parameters or row.mode]  # no step changes the others
    if not rows:
        return []
    columns = _stepping(rows, known) if known else _standing(rows)
    columns += _spread(rows, spread, 1 if keep else 7)
    if not keep:
        columns += _spread(rows, "grads", 10)
    columns = _fitted(columns, rows, width)
    head = _joined(columns, [line((c.head, "dim")) for c in columns])
    room = height - 1
    first = max(0, min(first, len(rows) - room))
    shown = rows[first : first + room]
    rest = len(rows) - first - len(shown)
    if rest and room > 1:
        shown = shown[:-1]
    drawn = [_joined(columns, [c.cell(row) for c in columns]) for row in shown]
    if rest and room > 1:
        drawn.append(line((f"… {rest + 1} more below", "dim")))
    return [row if line_width(row) <= width else sized(row, width) for row in (head, *drawn)]


def _standing(rows: Sequence[LayerRow]) -> list[_Column]:
    """The columns for a model as it is."""
    columns = [
        _kind(rows, 5),
        _Column("shape", _wide([r.shapes for r in rows], 5, 18), 9, _shape, left=True),
        _Column("params", _wide([count(r.parameters) for r in rows], 6, 11), 8, _parameters),
        _Column("‖w‖", 8, 3, lambda r: line(_number(r.weight_norm))),
        _Column("‖grad‖", 8, 1, lambda r: line(_gradient(r))),
        _Column(UPDATE, len(UPDATE), 2, lambda r: line(_update(r))),
        _Column(_scale_head(), SCALE, 6, _scale),
    ]
    if any(r.dead_share is not None for r in rows):
        columns.append(_Column("dead", 5, 4, _dead))
    return columns


def _stepping(rows: Sequence[LayerRow], known: dict[str, Difference]) -> list[_Column]:
    """The columns for what a step did: before, after, and a word."""

    def sides(
        of: Callable[[LayerRow], Span], change: Callable[[Difference], str]
    ) -> Callable[[LayerRow], Line]:
        def cell(row: LayerRow) -> Line:
            difference = known.get(row.name)
            after = of(row)
            if difference is None or not after[0].strip():
                return line(after)
            if change(difference) == "unchanged":
                return line((after[0], after[1] or "dim"))
            before = of(difference.before)
            return line((f"{before[0]} → ", "dim"), (f"{after[0]:>8}", after[1] or "bold"))

        return cell

    def word(row: LayerRow) -> Line:
        difference = known.get(row.name)
        if difference is None or not row.parameters:
            return line((clean(row.mode), "dim"))
        return line((difference.word, _STYLES.get(difference.word, "")))

    weights = sides(lambda r: _number(r.weight_norm, fine), lambda d: d.weights)
    gradient = sides(lambda r: _gradient(r, fine), lambda d: d.grads)
    columns = [
        _kind(rows, 5),
        _Column("‖grad‖ → now", 19, 2, gradient),
        _Column("‖w‖ → now", 19, 3, weights),
        _Column("", 9, 1, word, left=True),
    ]
    if any(d.weights != "unchanged" for d in known.values()):
        columns[1], columns[2] = replace(columns[1], rank=3), replace(columns[2], rank=2)
        columns.append(_Column(UPDATE, len(UPDATE), 4, lambda r: line(_update(r))))
        columns.append(_Column("against grad", 12, 6, _against))
    return columns


def _fitted(columns: list[_Column], rows: Sequence[LayerRow], width: int) -> list[_Column]:
    """The name, and those columns that fit beside it: numbers are dropped, but never cut."""
    names = {row.name: clean(row.name) for row in rows}
    longest = _wide(list(names.values()), 5, max(5, width))
    kept, room = list(columns), 0
    while True:
        room = width - sum(c.width + len(GAP) for c in kept)
        telling = all(c.rank <= TELLING for c in kept)
        if not kept or room >= min(longest, SHORT_NAME if telling else NAME):
            break
        kept.remove(max(kept, key=lambda c: c.rank))
    cells = max(1, min(longest, room))
    name = _Column("layer", cells, 0, lambda r: line(_shortened(names[r.name], cells)), left=True)
    return [name, *kept]


def _shortened(text: str, width: int) -> str:
    """Without its middle where it is too long: of a path the end says which layer it is."""
    if cell_len(text) <= width:
        return text
    start = fit(text, max(1, width // 4))
    end = text
    while end and cell_len(start) + cell_len(end) > width:
        end = end[1:]
    return start + end


def _joined(columns: Sequence[_Column], cells: Sequence[Line]) -> Line:
    spans: list[Span] = []
    for column, cell in zip(columns, cells, strict=True):
        spans += [(GAP, "")] if spans else []
        spans += column.draw(cell)
    return joined(spans)


def _wide(texts: Sequence[str], least: int, most: int) -> int:
    return max(least, min(most, max(map(cell_len, texts), default=0)))


def _kind(rows: Sequence[LayerRow], rank: int) -> _Column:
    kinds = {r.name: clean(f"{r.kind} {r.mode}".strip()) for r in rows}
    width = _wide(list(kinds.values()), 4, 18)
    return _Column("type", width, rank, lambda r: line((kinds[r.name], "dim")), left=True)


def _shape(row: LayerRow) -> Line:
    return line((clean(row.shapes), "dim"))


def _parameters(row: LayerRow) -> Line:
    return line((count(row.parameters) if row.parameters else "", "dim"))


def fine(value: float) -> str:
    """A norm in six digits, so that a step's small move shows; at most 8 cells."""
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:#.6g}"[:8]
    return number(value)


def _number(value: float | None, write: Callable[[float], str] = number) -> Span:
    if value is None:
        return "", ""
    return write(value), "" if math.isfinite(value) else "bad"


def _gradient(row: LayerRow, write: Callable[[float], str] = number) -> Span:
    if row.weight_norm is None:
        return "", ""
    if row.grad_norm is None:
        return ("frozen" if row.frozen else "none"), "dim"
    return _number(row.grad_norm, write)


def _power(row: LayerRow) -> float | None:
    """Decimal logarithm of the update's ratio."""
    ratio = row.update_ratio
    if ratio is None or math.isnan(ratio):
        return ratio
    return math.log10(ratio) if 0 < ratio < math.inf else math.inf if ratio > 0 else -math.inf


def _update(row: LayerRow) -> Span:
    power = _power(row)
    if power is None:
        why = "frozen" if row.frozen else "not seen yet"
        return ("" if row.weight_norm is None else why), "dim"
    if not math.isfinite(power):
        return ("0", "dim") if power < 0 else (number(power), "bad")
    return share(row.update_ratio), ""


def _scale_head() -> str:
    cells: list[Span] = [(" ", "")] * SCALE
    text = share(10.0**USUAL)
    put(cells, (SCALE - len(text)) // 2, text, "")
    return "".join(char for char, _ in cells)


def _scale(row: LayerRow) -> Line:
    """Where the update's size stands; │ is what is usual."""
    power = _power(row)
    if power is None or math.isnan(power):
        return ()
    cells: list[Span] = [("·", "dim")] * SCALE
    cells[SCALE // 2] = ("│", "dim")
    away = (power - USUAL) / REACH
    if abs(away) > 1:
        end = SCALE - 1 if away > 0 else 0
        cells[end] = (">" if away > 0 else "<", "warn")
    else:
        cells[round((away + 1) / 2 * (SCALE - 1))] = ("●", "bar")
    return joined(cells)


def _dead(row: LayerRow) -> Line:
    share = row.dead_share
    return line((percent(share), "warn" if share >= 0.5 else "")) if share is not None else ()


def _against(row: LayerRow) -> Line:
    if row.against is None or not math.isfinite(row.against):
        return line((NOTHING if row.parameters else "", "dim"))
    return line((f"{row.against:.2f}", "warn" if row.against < 0 else ""))


def _spread(rows: Sequence[LayerRow], spread: str, rank: int) -> list[_Column]:
    def of(row: LayerRow) -> Histogram | None:
        return row.grads if spread == "grads" else row.weights

    if all(of(row) is None for row in rows):
        return []
    head = "gradients" if spread == "grads" else "weights"
    return [_Column(f"histogram of {head}", SPREAD, rank, lambda r: histogram(of(r)), left=True)]


def histogram(data: Histogram | None) -> Line:
    """A column for each bin, blank where it is empty; ✗ behind it where values are not finite."""
    if data is None:
        return ()
    counts = data.counts[: SPREAD - (data.bad > 0)]
    most = max(counts, default=0) or 1
    levels = LEVELS[:-1]  # a full cell would run into that of the row above
    drawn = "".join(levels[-(-n * len(levels) // most) - 1] if n > 0 else " " for n in counts)
    return line((drawn, "bar"), (BAD if data.bad else "", "bad"))
