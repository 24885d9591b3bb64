"""What a change of the screen sends to the terminal: the cells that changed, in few codes.

Textual sends a changed line from the edge of its widget on, and the whole style before each piece
of text. Over a slow line, and in a log of the session, that is several times what is needed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rich.color import ColorSystem
from rich.console import Console, RenderableType
from rich.style import Style
from textual._compositor import ChopsUpdate
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
