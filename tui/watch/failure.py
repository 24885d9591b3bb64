"""The traceback of a run that failed."""

from __future__ import annotations

from ...core.protocol.snapshot import Outcome
from ..render.format import clean, wrap
from ..render.spans import Line, line
from ..widgets.dialog import TextBox


class FailureScreen(TextBox):
    """What failed, where, and the whole traceback."""

    def __init__(self, outcome: Outcome, *, ascii: bool = False) -> None:
        def lines(width: int) -> list[Line]:
            width = max(1, width)
            rows = [line((row, "bad")) for row in wrap(clean(outcome.reason), width)]
            rows += [line((row, "dim")) for row in wrap(clean(outcome.where), width)]
            text = clean(outcome.traceback, lines=True).rstrip()
            return [*rows, (), *(line(row) for row in wrap(text, width))]

        super().__init__("traceback", lines, ascii=ascii)
