"""The base of panels that draw data and what a model makes of it: classes, areas and greys."""

from __future__ import annotations

import re
from typing import Final

from rich.style import Style
from textual.color import Color

from ...core.protocol.at_hand import AT_HAND, AtHand
from ...core.protocol.inside import Inside
from ..render.at_hand import at_hand, last_row, scrolled
from ..render.decision_map import TINTS
from ..render.format import clean, wrap
from ..render.glyphs import INKS
from ..render.pictures import draw_view
from ..render.spans import EMPTY, Line, line, line_width, sized
from .ink import CLASSES
from .panel import Panel

TINT: Final = 0.3
"""How much of its colour the ground of a class has at most: points of it stand out."""


class PicturePanel(Panel):
    """Knows the styles "class-N", "field-N" and "ink-A-B"; "map-CT-CT" for two pixels of the
    classes C with tints T, and "dot-N-CT" for a point of class N on such a pixel.
    """

    def ink(self, name: str) -> Style:
        """Also the inks, levels of grey between the background and the foreground, and tints."""
        if levels := re.fullmatch(r"ink-(\d+)-(\d+)", name):
            paper, full = self.styles.background, self.styles.color
            upper, lower = (
                paper.blend(full, int(level) / (INKS - 1)).rich_color for level in levels.groups()
            )
            return Style(color=upper, bgcolor=lower)
        if pair := re.fullmatch(r"(map|dot)-(\d+)-(\d)(\d)", name):
            kind, first, known, tint = pair.groups()
            ground = self._tinted(int(known), int(tint))
            if kind == "map":
                return Style(
                    color=self._tinted(int(first[0]), int(first[1:])).rich_color,
                    bgcolor=ground.rich_color,
                )
            return Style(
                color=self._of_class(int(first)).rich_color, bgcolor=ground.rich_color, bold=True
            )
        return super().ink(name)

    def _of_class(self, number: int) -> Color:
        return Color.parse(self.app.theme_variables[CLASSES[number]])

    def _tinted(self, number: int, tint: int) -> Color:
        return self.styles.background.blend(self._of_class(number), TINT * tint / TINTS)


WAITING = "waiting for the first look …"


class ViewPanel(PicturePanel):
    """Draws the view that was asked for, or says why there is none: of what the model knows, or of
    what the loop has in its hands.
    """

    BORDER_TITLE = "what the model knows"
    inside = Inside()
    blocks = False
    """There are colours enough to draw with half blocks."""
    first = 0
    """The first row shown of a table that is too long."""
    _last = _page = 0

    def scroll(self, pages: int) -> None:
        """Look further down (above 0) or up."""
        self.first = max(0, min(self._last, self.first + pages * self._page))
        self.redraw()

    def on_mount(self) -> None:
        colours = self.app.console.color_system
        self.blocks = colours in ("256", "truecolor") and not (self.app.no_color or self.ascii)

    def take(self, inside: Inside) -> bool:
        """A newer look; whether there is anything new to draw."""
        old, self.inside = self.inside, inside
        if inside.view != old.view:
            self.first = 0
        return inside.picture is not old.picture or inside.problem != old.problem

    def lines(self, width: int, height: int) -> list[Line]:
        inside = self.inside
        view = inside.view or ""
        title = dict(inside.views).get(view, "")
        known = f"what the model knows: {clean(title)}" if title else "what the model knows"
        self.set_title(AT_HAND.get(view, known))
        if inside.problem:
            text = f"no picture: {clean(inside.problem)}"
            return [line((row, "dim")) for row in wrap(text, max(1, width))]
        if inside.picture is None:
            return [EMPTY] * (height // 2) + [line((WAITING.center(width).rstrip(), "dim"))]
        if isinstance(inside.picture, AtHand):
            rows = at_hand(inside.picture, width, height, ascii=self.ascii)
            self._last, self._page = last_row(rows, height), max(1, height - 2)
            self.first = min(self.first, self._last)
            return [sized(row, width) for row in scrolled(rows, height, self.first)]
        drawn = draw_view(inside.picture, width, height, ascii=self.ascii, blocks=self.blocks)
        wide = max(map(line_width, drawn), default=0)
        pad = " " * ((width - wide) // 2)
        return [line(pad, *row) for row in drawn] if pad else drawn
