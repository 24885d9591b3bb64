"""The tables of `fivestep explain`: layers, batches, and the model in both of its modes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len

from ...core.protocol.inside import Difference
from ..render import format as text
from ..render.format import NOTHING, number

if TYPE_CHECKING:
    from ...core.inspection.explain import Explained, Modes

MOST: Final = 8
"""Layers that a table shows; of more, the first and the last ones."""
INDENT: Final = " " * 5


def gradients(layers: Sequence[Difference]) -> Iterator[str]:
    """What backward did to each layer."""
    rows = [["layer", "type", "gradient"]]
    for layer in layers:
        before, after = layer.before.grad_norm, layer.after.grad_norm
        if layer.after.frozen and after is None:
            change = "frozen"
        elif layer.grads == "unchanged":
            change = "none" if after is None else number(after)
        else:
            change = f"{'none' if before is None else number(before)} → {number(after)}"
        rows.append([layer.after.name, layer.after.kind, change])
    yield from _table(rows)


def moves(layers: Sequence[Difference]) -> Iterator[str]:
    """How far the update moved each layer, and how straight against its gradient."""
    rows = [["layer", "type", "moved by", "cosine"]]
    for layer in layers:
        after = layer.after
        cosine = NOTHING if after.against is None else f"{after.against:.2f}"
        rows.append([after.name, after.kind, share(after.update_ratio), cosine])
    yield from _table(rows)


def _table(rows: list[list[str]], left: int = 2) -> Iterator[str]:
    """Rows in columns, the first `left` of them aligned left; long tables lose their middle."""
    rows = [[text.clean(cell) for cell in row] for row in rows]
    head, *body = rows
    gap = len(body) - MOST
    if gap > 1:
        body = [*body[: MOST // 2], *body[-(MOST // 2 - 1) :]]
    widths = [max(map(cell_len, column)) for column in zip(head, *body, strict=True)]
    for i, row in enumerate([head, *body]):
        if gap > 1 and i == MOST // 2 + 1:
            yield f"{INDENT}… {gap + 1} more"
        cells = [
            text.fit(cell, size, right=n >= left)
            for n, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"{INDENT}{'  '.join(cells)}".rstrip()


def overview(whole: Explained, intact: Explained | None) -> Iterator[str]:
    """Every batch in a line; the broken loop over the intact one."""
    for title, one in (("As it went:", whole), ("With nothing wrong:", intact)):
        if one is None:
            continue
        yield title if intact is not None else "The batches:"
        rows = [["batch", "loss", "the same again", "gradient norm", "weights moved"]]
        rows += [
            [
                str(batch.number),
                number(batch.loss),
                number(batch.loss_again),
                "none" if batch.grad_norm is None else number(batch.grad_norm),
                share(batch.update_ratio),
            ]
            for batch in one.batches
        ]
        yield from _table(rows, left=0)


def both_modes(modes: Modes) -> Iterator[str]:
    """Train mode and eval mode, by what was measured."""
    moved = bool(modes.train_moves)
    if not (modes.between or modes.train_apart or moved):
        yield (
            f"Train mode and eval mode: the outputs are the same, loss {number(modes.eval_loss)}. "
            "Nothing in this model (dropout, batch norm) behaves differently."
        )
        return
    yield "Train mode and eval mode, with the same features twice in each:"
    drawn = ": each time other units are left out" if modes.train_apart else ""
    yield (
        f"  train()  loss {number(modes.train_loss)}; {_twice(modes.train_apart)}{drawn}"
        + ("; averages moved" if moved else "")
    )
    yield (
        f"  eval()   loss {number(modes.eval_loss)}; {_twice(modes.eval_apart)}"
        + ("; buffers moved" if modes.eval_moves else "; nothing moved" if moved else "")
    )
    kinds = ", ".join(dict.fromkeys(kind for _, kind in modes.layers))
    yield (
        f"  Between the modes the outputs differ by up to {number(modes.between)}"
        + (f", because of {kinds}." if kinds else ".")
    )


def _twice(distance: float) -> str:
    if not distance:
        return "the two outputs are the same"
    return f"the two outputs differ by up to {number(distance)}"


def share(ratio: float | None) -> str:
    """A share in two digits: "24 %", "0.21 %", "3.1e-6 %"."""
    if ratio is None or not math.isfinite(ratio):
        return number(ratio)
    if ratio and not 1e-6 <= ratio < 1e3:
        return text.short_exponent(f"{100 * ratio:.1e}") + " %"
    return f"{100 * ratio:,.0f} %" if ratio == 0 or ratio >= 0.0995 else f"{100 * ratio:.2g} %"
