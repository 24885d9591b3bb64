"""What the model knows now, as a picture."""

from __future__ import annotations

from ...core.protocol.inside import Inside
from ..render.format import clean, wrap
from ..render.spans import EMPTY, Line, line
from ..render.spans import width as cells_of
from ..render.views import draw_view
from .picture import PicturePanel

WAITING = "looking at what the model knows …"


class ViewPanel(PicturePanel):
    """Draws the view that was asked for, or says why there is none."""

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, title="what the model knows", ascii=ascii)
        self.inside = Inside()

    def take(self, inside: Inside) -> bool:
        """A newer look; whether there is anything new to draw."""
        old, self.inside = self.inside, inside
        return inside.picture is not old.picture or inside.problem != old.problem

    def lines(self, width: int, height: int) -> list[Line]:
        inside = self.inside
        title = dict(inside.views).get(inside.view or "", "")
        self.set_title(f"what the model knows: {clean(title)}" if title else "what the model knows")
        if inside.problem:
            text = f"no picture: {clean(inside.problem)}"
            return [line((row, "dim")) for row in wrap(text, max(1, width))]
        if inside.picture is None:
            return [EMPTY] * (height // 2) + [line((WAITING.center(width).rstrip(), "dim"))]
        drawn = draw_view(inside.picture, width, height, ascii=self.ascii)
        wide = max(map(cells_of, drawn), default=0)
        pad = " " * ((width - wide) // 2)
        return [line(pad, *row) for row in drawn] if pad else drawn
