"""The layers of the model: as they are while it runs, and what a step changed while it is held."""

from __future__ import annotations

from typing import Final, Literal

from ...core.protocol.faults import Fault
from ...core.protocol.inside import Inside
from ..render.batch import batch_lines
from ..render.format import fit, wrap
from ..render.keymap import keyed
from ..render.layer_table import layer_table
from ..render.narrator import last_step
from ..render.spans import EMPTY, Line, line
from ..render.step_summary import StepSummary
from .panel import Panel

Spread = Literal["weights", "grads"] | None

SPREADS: Final[tuple[Spread, ...]] = (None, "weights", "grads")
"""What the key goes through; None shows histograms of the weights where there is room."""
HEADLINES: Final = 2
ROOM: Final = 112
"""Cells from which on histograms have room beside everything else."""
HELD: Final = "{step} takes the next step; here you see what it changes"
RUNNING: Final = "as of the last quarter second · {pause} pauses the run, {step} takes a step"
ENDED: Final = "as the run has left it"
WENT_BACK: Final = "the run went back: weights are as they were then"
NO_GRADS: Final = "; gradients are none until the next backward pass"
NOTHING: Final = "waiting for the first look at the layers …"


class InsidePanel(Panel):
    """A sentence on what the last step did, the table of layers, and the values at hand."""

    BORDER_TITLE = "inside the model"
    inside = Inside()
    on: tuple[Fault, ...] = ()
    """What is broken on purpose."""
    spread: Spread = None
    first = 0
    ended = False
    """The run is over: no step changes anything any more."""
    values = False
    """Show what the loop has in its hands, too: the code, where it stands, is not shown."""
    _page = 1
    _most = 0
    """The most layers so far."""

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, ascii=ascii)
        self.summary = StepSummary()

    @property
    def histograms(self) -> bool:
        return self.spread is not None or self.content_size.width >= ROOM

    def take(self, inside: Inside) -> None:
        """A newer look; the panel grows with the number of layers."""
        grown = len(inside.layers) > self._most
        self.inside, self._most = inside, max(len(inside.layers), self._most)
        if grown:
            self.refresh(layout=True)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return HEADLINES + 1 + self._most

    def next_spread(self) -> None:
        """Histograms of the weights, of the gradients, or none."""
        at = SPREADS.index(self.spread)
        self.spread = SPREADS[(at + 1) % len(SPREADS)]
        self.redraw()

    def scroll(self, pages: int) -> None:
        """Look further down (above 0) or up."""
        last = max(0, len(self.inside.layers) - self._page)
        self.first = max(0, min(last, self.first + pages * self._page))
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        inside = self.inside
        changed = any(d.word != "unchanged" for d in inside.differences)
        self.set_title(
            "inside the model: what the last step changed" if changed else "inside the model"
        )
        rows = self._headline(width) if height >= 6 else []
        values = batch_lines(inside.batch, width) if self.values else []
        room = height - len(rows)
        table = self._table(width, room)
        self._page = max(1, room - 2)
        if len(table) + 1 + len(values) <= room:
            return [*rows, *table, *([EMPTY, *values] if values else [])]
        if values and len(table) > 8 and room - len(values) > 8:
            self._page = room - len(values) - 3
            return [*rows, *self._table(width, room - len(values) - 1), EMPTY, *values]
        return [*rows, *table]

    def _table(self, width: int, height: int) -> list[Line]:
        return layer_table(
            self.inside.layers,
            width,
            height,
            differences=self.inside.differences,
            spread=self.spread or "weights",
            keep=self.spread is not None,
            first=self.first,
        )

    def _headline(self, width: int) -> list[Line]:
        """Two rows, whatever there is to say, so that the table stays where it is."""
        inside = self.inside
        if self.summary.went_back:
            none = all(row.grad_norm is None for row in inside.layers)
            text, style = WENT_BACK + NO_GRADS * none, "hand"
        elif inside.differences:
            text, style = last_step(self.summary.taken, inside.differences, inside.batch, self.on)
        elif not inside.layers:
            text, style = NOTHING, "dim"
        else:
            exact = inside.layers[0].editions is not None
            text, style = ENDED if self.ended else keyed(HELD if exact else RUNNING), "dim"
        if inside.part:
            text += f" · {inside.part}"
        first, *more = wrap(text, max(1, width))
        second = " ".join(more)
        return [line((first, style)), line((fit(second, width).rstrip(), style))]
