"""What a change of the screen costs: only the lines that changed are put together, and only the
cells that changed are sent, in few codes.

Textual renders every widget in the smallest rectangle around all changes, sends a changed line
from the edge of its widget on, and the whole style before each piece of text. The first takes the
processor from the run; over a slow line, the others are several times what is needed.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Final

from rich.color import ColorSystem
from rich.console import Console, RenderableType
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.strip import Strip

Codes = tuple[str, str, str]
"""SGR codes of a style: its attributes, its colour, the colour of its ground; "" is the default."""

NONE: Final[Codes] = ("", "", "")


class Cells(ChopsUpdate):
    """The changed cells of a screen, and no others."""

    def render_segments(self, console: Console) -> str:
        system = console._color_system or ColorSystem.TRUECOLOR
        sent: list[str] = []
        now = NONE
        for y, first, last in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= last or end <= first:
                    continue
                start, stop = max(x, first), min(end, last)
                sent.append(f"\x1b[{y + 1};{start + 1}H")
                for text, style, _ in strip.crop(start - x, stop - x):
                    if style is not None and style.link:
                        sent.append(_turn(now, NONE) + Strip.render_style(style, text, system))
                        now = NONE
                        continue
                    codes = NONE if style is None else _codes(style, system)
                    sent.append(_turn(now, codes) + text)
                    now = codes
        return "".join(sent) + _turn(now, NONE)


class LeanCompositor(Compositor):
    """Asks widgets for no more lines than it needs."""

    def render_partial_update(self) -> ChopsUpdate | None:
        cuts, rows = self.cuts, range(len(self.cuts))
        spans = [span for span in self._regions_to_spans(self._dirty_regions) if span[0] in rows]
        self._dirty_regions.clear()
        if not spans:
            return None
        wanted: dict[int, list[tuple[int, int]]] = {}
        for y, first, last in spans:
            wanted.setdefault(y, []).append((first, last))
        chops: list[dict[int, Strip | None]] = [
            dict.fromkeys(cuts[y][:-1] if y in wanted else ()) for y in rows
        ]
        # From front to back: what is filled already hides what is behind.
        for widget, (region, clip) in self.visible_widgets.items():
            seen = region.intersection(clip)
            lines = [
                y
                for y, parts in wanted.items()
                if seen.y <= y < seen.bottom
                and any(
                    chops[y][start] is None
                    and seen.x <= start < seen.right
                    and any(first < end and start < last for first, last in parts)
                    for start, end in pairwise(cuts[y])
                )
            ]
            if not lines:
                continue
            top, bottom = min(lines), max(lines) + 1
            crop = Region(seen.x - region.x, top - region.y, seen.width, bottom - top)
            strips = widget.render_lines(crop)
            for y in lines:
                here = [cut for cut in cuts[y] if seen.x <= cut <= seen.right]
                parts = strips[y - top].divide([cut - seen.x for cut in here[1:]])
                for cut, part in zip(here, parts, strict=False):
                    if chops[y][cut] is None:
                        chops[y][cut] = part
        return Cells(chops, spans, [cut_set[1:] for cut_set in cuts])


def lean(update: RenderableType | None) -> RenderableType | None:
    """The same update in few bytes, if it is one of single cells."""
    if type(update) is ChopsUpdate:
        return Cells(update.chops, update.spans, update.chop_ends)
    return update


@lru_cache(4096)
def _codes(style: Style, system: ColorSystem) -> Codes:
    colour, ground = style.color, style.bgcolor
    return (
        Strip.render_ansi(style.without_color, system),
        "" if colour is None else ";".join(colour.downgrade(system).get_ansi_codes()),
        "" if ground is None else ";".join(ground.downgrade(system).get_ansi_codes(False)),
    )


@lru_cache(4096)
def _turn(now: Codes, then: Codes) -> str:
    """What turns one style into the other."""
    if now == then:
        return ""
    if then == NONE:
        return "\x1b[0m"
    if now[0] and now[0] != then[0]:
        return f"\x1b[0;{';'.join(filter(None, then))}m"
    turns = [then[0]] if then[0] != now[0] else []
    if then[1] != now[1]:
        turns.append(then[1] or "39")
    if then[2] != now[2]:
        turns.append(then[2] or "49")
    return f"\x1b[{';'.join(turns)}m"
