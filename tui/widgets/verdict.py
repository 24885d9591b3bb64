"""What is wrong with the run, why, and what to try."""

from __future__ import annotations

from typing import Final

from ...core.protocol.diagnosis import Severity, Verdict
from ..render.format import clean, wrap
from ..render.spans import Line, line, sized
from ..render.spans import width as cells_of
from .panel import Panel

STYLE: Final[dict[Severity, str]] = {"danger": "bad", "warning": "warn", "note": "bold"}
ICON: Final[dict[Severity, str]] = {"danger": "✗", "warning": "!", "note": "i"}
FINE: Final = "✔ nothing wrong any more, as far as can be seen"
ALL_FINE: Final = "Nothing is wrong, as far as can be seen."


class VerdictBar(Panel):
    """The most severe verdict in a row or two; hidden until there has been one."""

    DEFAULT_CSS = "VerdictBar { display: none; height: 2; padding: 0 1; background: $panel; }"

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, ascii=ascii)
        self.verdicts: tuple[Verdict, ...] = ()
        self.told: set[str] = set()
        """Every rule that has spoken so far."""

    def take(self, verdicts: tuple[Verdict, ...]) -> list[Verdict]:
        """What is said now; those that have not been told before."""
        self.verdicts = verdicts
        fresh = [verdict for verdict in verdicts if verdict.rule not in self.told]
        self.told.update(verdict.rule for verdict in fresh)
        self.display = bool(self.told)  # once it is there it stays: nothing jumps
        return fresh

    def lines(self, width: int, height: int) -> list[Line]:
        if not self.verdicts:
            return [line((FINE, "good"))]
        verdict, *others = self.verdicts
        style = STYLE[verdict.severity]
        head = line((f"{ICON[verdict.severity]} {clean(verdict.what)}", style))
        more = f"  +{len(others)} more · y why" if others else "  y why"
        keys = line((more, "dim"))
        room = width - cells_of(keys)
        if height < 2:
            full = (*head, *line(("  try: ", "dim"), clean(verdict.next)))
            return [(*sized(full, room), *keys)]
        why = (*head, *line((": ", "dim"), clean(verdict.why)))
        return [
            sized(why, width),
            (*sized(line(("  try: ", "dim"), clean(verdict.next)), room), *keys),
        ]


def in_full(verdicts: tuple[Verdict, ...], width: int) -> list[Line]:
    """All of them, in full: what is wrong, why, and what to try."""
    width = max(12, width)
    if not verdicts:
        return [line((ALL_FINE, "good"))]
    rows: list[Line] = []
    for verdict in verdicts:
        style = STYLE[verdict.severity]
        head = f"{ICON[verdict.severity]} {verdict.severity}: {clean(verdict.what)}"
        rows += [(), *(line((text, style)) for text in wrap(head, width))]
        for label, text in (("why", verdict.why), ("try", verdict.next)):
            for i, part in enumerate(wrap(clean(text), width - 6)):
                rows.append(line((f"  {'' if i else label:<4}", "dim"), part))
    return rows[1:]
