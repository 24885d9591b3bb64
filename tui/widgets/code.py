"""The loop's code, with the line that runs marked, and what it has in its hands."""

from __future__ import annotations

from typing import ClassVar, Final

from ...core.protocol.faults import Fault
from ...core.protocol.inside import BatchFacts
from ...core.protocol.snapshot import RunInfo
from ...core.protocol.steps import FIVE, Step
from ..render.batch import batch_lines
from ..render.format import wrap
from ..render.keymap import keyed
from ..render.loop_source import CodeLine, loop_code
from ..render.spans import EMPTY, Line, line, restyled, sized
from ..render.written_loop import written_loop
from .ink import MARKED_ROW, TEXT_STYLES
from .panel import Panel

SUBTITLES: Final = ("{source} shows the source", "{source} folds what is not yours to write")
"""Of the loop as a learner writes it, and of its source."""


class CodePanel(Panel):
    """The loop as a learner writes it, or the source that is executed; its values, and why the
    marked line is there.
    """

    TEXT_STYLES: ClassVar = {**TEXT_STYLES, "now": MARKED_ROW}
    BORDER_TITLE = "the loop"
    now: Step | None = None
    explained: Step | None = None
    on: tuple[Fault, ...] = ()
    """What is broken on purpose."""
    values: BatchFacts | None = None
    """What the loop has in its hands."""
    unfolded = False
    """Show the source that is executed, where it can be paused and all."""
    _first = 0

    def __init__(self, info: RunInfo, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, ascii=ascii)
        self._info, self._written = info, written_loop(info)
        self.border_subtitle = keyed(SUBTITLES[self.unfolded])

    @property
    def info(self) -> RunInfo:
        """Of the run; of a script more is known by and by."""
        return self._info

    @info.setter
    def info(self, info: RunInfo) -> None:
        if info != self._info:
            self._info, self._written = info, written_loop(info)

    @property
    def code(self) -> tuple[CodeLine, ...]:
        if not self.unfolded:
            return tuple(row for row in self._written if row.fate(self.on) != "idle")
        info = self._info
        full = info.accumulate > 1 or info.clips or info.amp
        return loop_code("broken" if self.on else "full" if full else "plain")

    def toggle_source(self) -> None:
        """Between the loop as a learner writes it and the source that is executed."""
        self.unfolded = not self.unfolded
        self.border_subtitle = keyed(SUBTITLES[self.unfolded])
        self.redraw()

    @property
    def mode(self) -> str:
        """The mode that the model is in, "train" or "eval"; "" while nothing runs."""
        if self.now is None:
            return ""
        return "eval" if self.now is Step.VALIDATE or Fault.EVAL_MODE in self.on else "train"

    def lines(self, width: int, height: int) -> list[Line]:
        title = "the source of the loop" if self.unfolded else "the loop"
        title += ", broken on purpose" if self.on else ""
        self.set_title(f"{title}: {self.mode} mode" if self.mode else title)
        code, values = list(self.code), batch_lines(self.values, width)
        if len(code) + 1 + len(values) > height:
            code = [row for row in code if row.text.strip()]
        room = height - 1 - len(values)
        if room < 3:
            room, values = height, []
        marked = self._marked(code)
        rows = [self._row(row, i in marked, width) for i, row in enumerate(code)]
        if len(rows) > room:
            self._follow(marked, len(rows), room)
            rows = rows[self._first : self._first + room]
        if values:
            rows += [EMPTY, *values]
        why = [row for step in FIVE for row in self._why(step, width)]
        if len(rows) + 1 + len(why) > height:
            why = [] if self.explained is None else self._why(self.explained, width)
        return [*rows, EMPTY, *why] if why and len(rows) + 1 + len(why) <= height else rows

    def _marked(self, code: list[CodeLine]) -> list[int]:
        """The lines that run now. Which of two zero_grads it is, the loss tells."""
        found = [i for i, row in enumerate(code) if row.step is not None and row.step is self.now]
        if self.now is Step.ZERO_GRAD and len(found) > 1:
            late = self.values is not None and self.values.loss is not None
            return found[-1:] if late and Fault.LATE_ZERO_GRAD in self.on else found[:1]
        if self.now is Step.OTHER and not self.unfolded:
            per_epoch = self._info.schedule_moves == "epoch"
            if not found or per_epoch is not self._epoch_is_over:  # to the next batch
                return [i for i, row in enumerate(code) if row.step is Step.DATA]
        return found

    @property
    def _epoch_is_over(self) -> bool:
        """All batches of the epoch are trained."""
        values = self.values
        return values is not None and values.batch == self._info.batches_per_epoch

    def _follow(self, marked: list[int], rows: int, room: int) -> None:
        """Move what is seen no further than the marked line asks for."""
        if marked:
            at = marked[-1]
            self._first = min(max(self._first, at - room + 2), max(0, at - 2))
        self._first = max(0, min(self._first, rows - room))

    def _row(self, code: CodeLine, here: bool, width: int) -> Line:
        number = str(code.step.info.number or " ") if code.step is not None else " "
        body, mark, note = code.text.partition("  #")
        fate = code.fate(self.on)
        wrong = fate in ("left out", "misplaced")
        style = "bold" if code.step and code.step.info.number else ""
        if code.gate or fate == "idle":
            style = "dim"
        lead = f"{'▶' if here else '✗' if wrong else ' '}{number} "
        if wrong:
            text = body.lstrip()
            indent, struck = body[: len(body) - len(text)], fate == "left out"
            words = (text, "gone" if struck else style)
            return sized(line((lead, "bad"), indent, words, (f"  {fate}", "bad")), width)
        lamp = f"  ● {self.mode} mode" if body.strip() == f"model.{self.mode}()" else ""
        row = line(lead, (body, style), (lamp, "good"), (mark + note, "dim"))
        return restyled(sized(row, width), "now") if here else row

    def _why(self, step: Step, width: int) -> list[Line]:
        """Why a step is there; the one that is explained at the moment stands out."""
        head = f"{step.info.number or ' '} {step.info.name}: "
        style = "" if step is self.explained else "dim"
        first, *more = wrap(head + step.info.why, max(1, width))
        lead = head if first.startswith(head) else ""
        title = line((lead, "bold"), (first.removeprefix(lead), style))
        return [title, *(line((text, style)) for text in more)]
