"""What must not be overlooked: a loop that is broken on purpose, a run held by a breakpoint."""

from __future__ import annotations

from ...core.protocol.faults import Switch
from ...core.protocol.snapshot import Snapshot
from ...core.protocol.steps import State
from ..render.format import clean
from ..render.spans import Line, line, restyled, sized
from ..render.spans import width as cells_of
from ..render.switch_words import in_short
from .panel import Panel


class NoticeBar(Panel):
    """A row for each notice under the top line; none where there is nothing to say."""

    DEFAULT_CSS = """
    NoticeBar { display: none; height: auto; max-height: 2; }
    NoticeBar > .line--bad { color: $background; background: $error; text-style: bold; }
    NoticeBar > .line--now { color: $background; background: $accent; text-style: bold; }
    """

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, ascii=ascii)
        self.on: tuple[Switch, ...] = ()
        """What is broken on purpose."""
        self.coming: tuple[Switch, ...] = ()
        """What will be, from the next batch on."""
        self.mending = False
        """It is to be undone as soon as no batch is under way."""
        self.undo = True
        """There is a state to go back to."""
        self.held = ""
        """The breakpoint that holds the run, and its numbers."""
        self._break: object = None
        self._place: tuple[object, ...] = ()

    def take(self, s: Snapshot) -> None:
        """A new picture."""
        self.on = s.switches
        last = next((c for c in reversed(s.changes) if c.kind == "break"), None)
        place = (s.state, s.step, s.batches_done, s.val_batch)
        if last is not None and last is not self._break:
            self._break = last
            self._place = place if s.state is State.PAUSED else ()
            self.held = clean(last.text)
        if place != self._place:
            self.held = ""

    def show(self) -> None:
        """Draw, with as many rows as there is something to say."""
        something = bool(self._notices())
        if something or self.display:
            tall = len(self._notices())
            self.display = something
            if tall != self.size.height:
                self.refresh(layout=True)
            self.redraw()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        """A row for each."""
        return len(self._notices())

    def _notices(self) -> list[tuple[str, str, str]]:
        """Text, what can be done, and style of each."""
        rows = []
        if self.on:
            way = "u undoes" if self.undo else "u mends it"
            way = "undone before the next batch" if self.mending else way
            rows.append((f"BROKEN ON PURPOSE: {in_short(self.on)}", way, "bad"))
        elif self.coming:
            what = f"BROKEN ON PURPOSE from the next batch on: {in_short(self.coming)}"
            rows.append((what, "u takes it back", "bad"))
        if self.held:
            rows.append((f"HELD by {self.held}", "space goes on, B edits", "now"))
        return rows

    def lines(self, width: int, height: int) -> list[Line]:
        rows = []
        for text, way, style in self._notices():
            full = line(f" ✗ {text}" if style == "bad" else f" ❚❚ {text}", f"  —  {way} ")
            if cells_of(full) > width:
                keep = max(0, width - len(way) - 3)
                full = (*sized(line(f" {text}"), keep), (f"  {way} ", ""))
            rows.append(restyled(sized(full, width), style))
        return rows
