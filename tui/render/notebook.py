"""What a notebook shows of a loop: its newest losses, the five steps, and what there was to say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from .bars import bar
from .format import counted, number, percent

WIDTH, HEIGHT = 480, 60
"""Of the drawn losses, in pixels."""
BARS: Final = "▁▂▃▄▅▆▇█"
CELLS: Final = 60
"""Of the losses as text."""
LAST: Final = 12
"""Lines that are shown behind the first one."""


class StepShare(NamedTuple):
    """Where the time goes."""

    name: str
    share: float
    mark: str
    """"~" if it is inferred."""


def notebook_picture(
    lines: Sequence[str], now: str, losses: Sequence[float], steps: Sequence[StepShare]
) -> dict[str, str]:
    """The picture by MIME type: text/html in the colours of the notebook, and text/plain.

    Args:
        lines: what was said, the heading first.
        now: where the loop is; "" once it has ended.
        losses: of the newest batches; NaN and infinity leave a gap.
        steps: in order.
    """
    heading, *said = lines or [""]
    shown = said[-LAST:]
    if len(said) > LAST:
        shown = [f"... {len(said) - LAST} lines before", *shown]
    shares = [(one.name, bar(one.share, 20), one.mark + percent(one.share)) for one in steps]
    finite = [loss for loss in losses if math.isfinite(loss)]
    span = drawn = ""
    if finite:
        span = f"loss of the last {counted(len(losses), 'batch')}, "
        span += f"{number(min(finite))} to {number(max(finite))}"
        drawn = f"{_sparkline(losses)}  {span}"
    table = [f"{name:<10} {drawn_bar:<20} {told:>5}" for name, drawn_bar, told in shares]
    plain = "\n".join(row for row in (heading, now, drawn, *table, *shown) if row)
    rows = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row)
        + "</tr>" for row in shares
    )  # fmt: skip
    html = (
        f"<div><b>{escape(heading)}</b><br>{escape(now)}"
        f"{_drawing(losses)}<small>{escape(span)}</small>"
        f'<table style="font-family:monospace;margin:0">{rows}</table>'
        f'<pre style="margin:0">{escape(chr(10).join(shown))}</pre></div>'
    )
    return {"text/plain": plain, "text/html": html}


def _heights(losses: Sequence[float]) -> list[float | None]:
    """From 0 for the lowest to 1 for the highest; None where there is a gap."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    wide = (high - low) or 1.0
    return [(loss - low) / wide if math.isfinite(loss) else None for loss in losses]


def _sparkline(losses: Sequence[float]) -> str:
    cells = [" " if at is None else BARS[round(at * 7)] for at in _heights(losses[-CELLS:])]
    return "".join(cells)


def _drawing(losses: Sequence[float]) -> str:
    """The losses as a line, in SVG, that a gap parts."""
    step = WIDTH / max(1, len(losses) - 1)
    parts: list[list[str]] = [[]]
    for i, at in enumerate(_heights(losses)):
        if at is None:
            parts.append([])
        else:
            parts[-1].append(f"{i * step:.1f},{2 + (1 - at) * (HEIGHT - 4):.1f}")
    if not any(parts):
        return "<br>"
    drawn = "".join(
        f'<polyline points="{" ".join(part)}" fill="none" stroke="currentColor"/>'
        for part in parts
        if part
    )
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'style="display:block">{drawn}</svg>'
    )
