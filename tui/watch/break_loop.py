"""Break the loop on purpose: the faults, each explained before it is injected, and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ...core.protocol.faults import FAULTS, Fault
from ...core.protocol.snapshot import Snapshot
from ..render.format import wrap
from ..render.spans import EMPTY, Line, line
from ..widgets.dialog import Dialog
from ..widgets.panel import TextPanel

SEEN: Final = 3
"""Batches after which a fault has shown what it does, so that it can be explained."""
LOOK: Final = 0.3
"""Seconds between two looks at the run behind."""
ROWS: Final = 9
"""Rows of the explanation, whatever it says, so that nothing jumps."""


class BreakItScreen(Dialog):
    """The faults, and what to expect of the highlighted one.

    Args:
        look: the newest picture of the run.
        wanted: the faults as they are wanted now.
        toggle: turns one on or off.
        undo: puts everything right again, and the run back to where it was.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "close", show=False, priority=True),
        Binding("escape,k,q", "close", show=False),
        Binding("space", "turn", show=False),
        Binding("u", "undo", show=False),
    ]
    DEFAULT_CSS = """
    BreakItScreen {
        align: center middle;
        & > Vertical {
            width: 76; max-width: 98%; height: auto; max-height: 98%;
            background: $surface; border: round $error; padding: 0 1;
            border-title-style: bold; border-title-color: $foreground;
            border-subtitle-color: $text-muted;
        }
        &.-ascii > Vertical { border: ascii $error; }
        OptionList, OptionList:focus {
            border: none; background: $surface; height: auto; padding: 0;
        }
    }
    """

    def __init__(
        self,
        look: Callable[[], Snapshot | None],
        wanted: Callable[[], frozenset[Fault]],
        toggle: Callable[[Fault], None],
        undo: Callable[[], None],
        *,
        ascii: bool = False,
    ) -> None:
        super().__init__(ascii=ascii)
        self._look, self._wanted, self._toggle, self._undo = look, wanted, toggle, undo
        self._state: object = None

    def compose(self) -> ComposeResult:
        box = Vertical(
            OptionList(*(Option(self._prompt(fault), id=fault) for fault in FAULTS)),
            TextPanel(self._explained, id="explained", ascii=self._ascii),
        )
        box.border_title = "break it on purpose"
        yield box

    def on_mount(self) -> None:
        """Begin with what is on, and keep up with the run."""
        on = [i for i, fault in enumerate(FAULTS) if fault in self._wanted()]
        self.query_one(OptionList).highlighted = on[0] if on else 0
        self._refresh()
        self.set_interval(LOOK, self._refresh)

    @property
    def highlighted(self) -> Fault:
        at = self.query_one(OptionList).highlighted
        return tuple(FAULTS)[at or 0]

    def _prompt(self, fault: Fault) -> Content:
        s, wanted = self._look(), self._wanted()
        now = s is not None and fault in s.faults
        mark = "[x]" if fault in wanted else "[ ]"
        note = ""
        if (fault in wanted) != now:
            note = "  from the next batch on"
        elif now:
            note = "  broken now"
        elif s is not None and _has_been(s, fault):
            note = "  has been on"
        style = "bold" if fault in wanted else ""
        return Content.assemble(
            (self._plain(f"{mark} {fault.info.label}"), style), (note, "italic")
        )

    def _explained(self, width: int) -> list[Line]:
        """What to expect of the highlighted fault, and why once it could be seen."""
        if not self.is_mounted:
            return [EMPTY] * ROWS
        info = self.highlighted.info
        rows: list[Line] = [EMPTY]
        why = info.why if self._seen(self.highlighted) else ""
        hint = "told once it has been on for some batches: look first"
        parts = (("expect", info.expect, ""), ("why", why or hint, "" if why else "dim"))
        for label, text, style in parts:
            rows += [EMPTY] if label == "why" else []
            for i, row in enumerate(wrap(text, max(8, width - 9))):
                rows.append(line((f"{'' if i else label:<9}", "" if i else "bold"), (row, style)))
        return [*rows, *[EMPTY] * (ROWS - len(rows))]

    def _seen(self, fault: Fault) -> bool:
        """Whether it has been on, and long enough to see what it does."""
        s = self._look()
        if s is None or not _has_been(s, fault):
            return False
        if fault not in s.faults:
            return True
        began = next((c.batch for c in reversed(s.changes) if c.text.endswith(fault.info.label)), 0)
        return s.batches_done - began >= SEEN

    def _refresh(self) -> None:
        s = self._look()
        seen = tuple(self._seen(fault) for fault in FAULTS)
        state = (self._wanted(), s and s.faults, s and (s.faults_so_far, s.undone), seen)
        if state != self._state:
            self._state = state
            options = self.query_one(OptionList)
            for fault in FAULTS:
                options.replace_option_prompt(fault, self._prompt(fault))
            self.query_one(TextPanel).redraw()
        undo = "u undoes all · " if s is not None and (s.undo or self._wanted()) else ""
        turn = "" if s is not None and s.state.ended else "space turns it on or off · "
        self.query_one(Vertical).border_subtitle = self._plain(f"{turn}{undo}esc closes")

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self.query_one(TextPanel).redraw()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.action_turn()

    def action_turn(self) -> None:
        self._toggle(self.highlighted)
        self._refresh()

    def action_undo(self) -> None:
        self._undo()
        self._refresh()


def _has_been(s: Snapshot, fault: Fault) -> bool:
    return fault in s.faults_so_far or any(fault in one.faults for one in s.undone)
