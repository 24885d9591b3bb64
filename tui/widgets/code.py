"""The loop's own source, with the line that runs marked."""

from __future__ import annotations

from ...core.steps import FIVE, Step
from ..lines import Line, line, restyled, sized
from ..loop_code import loop_code
from ..text import wrap
from .panel import Panel


class CodePanel(Panel):
    """The loop over the batches as it is executed, and why the marked line is there."""

    DEFAULT_CSS = """
    CodePanel > .line--now { color: $accent; background: $accent 12%; text-style: bold; }
    """

    def __init__(self, *, full: bool = False, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, title="the loop, as it runs", ascii=ascii)
        self.code = loop_code(full)
        self.now: Step | None = None
        self.explained = Step.ZERO_GRAD

    def lines(self, width: int, height: int) -> list[Line]:
        rows: list[Line] = []
        for code in self.code:
            here = code.step is not None and code.step is self.now
            number = str(code.step.info.number or " ") if code.step is not None else " "
            body, mark, note = code.text.partition("  #")
            style = "dim" if code.gate else "bold" if code.step and code.step.info.number else ""
            row = line(f"{'▶' if here else ' '}{number} ", (body, style), (mark + note, "dim"))
            rows.append(restyled(sized(row, width), "now") if here else row)
        rows.append(())
        every = [row for step in FIVE for row in self._why(step, width)]
        if len(rows) + len(every) <= height:
            return rows + every
        return rows + self._why(self.explained, width)

    def _why(self, step: Step, width: int) -> list[Line]:
        """Why a step is there; the one that is explained at the moment stands out."""
        head = f"{step.info.number or ' '} {step.info.name}: "
        style = "" if step is self.explained else "dim"
        first, *more = wrap(head + step.info.why, max(1, width))
        lead = head if first.startswith(head) else ""
        title = line((lead, "bold"), (first.removeprefix(lead), style))
        return [title, *(line((text, style)) for text in more)]
