"""Many processes that train one model: a row for each, and which one the others wait for."""

from __future__ import annotations

from ...core.protocol.rank_times import RankNow, RankWatch
from ...core.protocol.snapshot import RunInfo
from ..render.ranks import table, told
from ..render.spans import Line, line, sized
from .panel import RunPanel

SAID = 2
"""Rows for what there is to say of them, so that nothing jumps."""


class RanksPanel(RunPanel):
    """Not there in a run of one process; a single line where there is room for no more."""

    BORDER_TITLE = "ranks, and what they wait for"

    def __init__(self, info: RunInfo, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(info, id=id, ascii=ascii)
        self._watch = RankWatch()
        self._held = False

    @property
    def there(self) -> bool:
        """Whether there are several."""
        return len(self._watch.times) > 1

    def look(self, ranks: tuple[RankNow, ...], now: float, *, held: bool) -> None:
        """Take in what the ranks do at this moment.

        Args:
            ranks: all of them, in order.
            now: in seconds, by a clock that only goes forward.
            held: whether the run is to stand still: no rank is to blame for it.
        """
        self._held = held
        before = len(self._watch.times)
        self._watch.take(ranks, now)
        if len(self._watch.times) != before:
            self.refresh(layout=True)
        self.redraw()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(table(self._watch.times, width)) + SAID

    def lines(self, width: int, height: int) -> list[Line]:
        times = self._watch.times
        if height == 1:
            words = told(times, 1000, held=self._held)
            return [sized(line(("ranks  ", "dim"), *(words[0] if words else ())), width)]
        return [*table(times, width), *told(times, width, held=self._held)]
