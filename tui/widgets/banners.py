"""How the run ended, or what holds it, and what can be done next."""

from __future__ import annotations

from ...core.protocol.snapshot import Outcome, RunInfo, Snapshot
from ...core.protocol.steps import State
from ..render.format import clean, clock, count, metric, number, wrap
from ..render.spans import Line, Run, line
from ..render.switch_words import in_short
from ..setup.source import Kept
from .panel import Panel
from .status import ICONS, STYLE


class OutcomePanel(Panel):
    """Hidden until the run has ended or is in trouble; then what, why, where, and the keys."""

    DEFAULT_CSS = "OutcomePanel { display: none; height: auto; max-height: 10; }"

    def __init__(self, info: RunInfo, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, title="outcome", ascii=ascii)
        self.info = info
        self.snapshot: Snapshot | None = None
        self.outcome: Outcome | None = None
        self.kept = Kept()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        """As many rows as there is something to say."""
        return len(self.lines(width, 10))

    def lines(self, width: int, height: int) -> list[Line]:
        outcome = self.outcome
        trouble = self.snapshot.trouble if self.snapshot is not None else None
        if outcome is None and trouble is not None:
            return self._trouble(trouble, width)
        if outcome is None or width < 1:
            return []
        self.set_title("outcome")
        head = f"{ICONS[outcome.state]} {outcome.state.upper()}"
        style = STYLE.get(outcome.state, "bold")
        first, *more = wrap(f"{head}  {clean(outcome.reason)}", width)
        rows = [line((first[: len(head)], style), (first[len(head) :], "bold"))]
        rows += [line((text, "bold")) for text in more[:2]]
        if outcome.state is State.FAILED:
            rows += _labelled("where", outcome.where, width)
            rows += _labelled("try", outcome.advice.removeprefix("try "), width)
        facts = self._facts()
        if facts:
            rows += [line((text, "")) for text in wrap(facts, width)]
        if self.snapshot is not None and self.snapshot.switched:
            rows.append(line((f"✗ broken on purpose: {in_short(self.snapshot.switched)}", "warn")))
        rows += _labelled("kept in", self.kept.place, width)
        if outcome.state is not State.FINISHED:
            rows += _labelled("to go on:", self.kept.way_on, width)
        rows.append(self._keys(outcome))
        return rows

    def _trouble(self, trouble: Outcome, width: int) -> list[Line]:
        """What holds the run, and the answers that it waits for."""
        self.set_title("trouble")
        head = f"{ICONS[State.PAUSED]} HELD"
        first, *more = wrap(f"{head}  {clean(trouble.reason)}", width)
        rows = [line((first[: len(head)], "bad"), (first[len(head) :], "bold"))]
        rows += [line((text, "bold")) for text in more[:2]]
        rows += _labelled("where", trouble.where, width)
        rows += _labelled("try", trouble.advice.removeprefix("try "), width)
        saved = self.snapshot.saved if self.snapshot is not None else None
        place = "the last checkpoint" if saved is None else f"batch {count(saved.batches_done)}"
        if self.snapshot is not None and self.snapshot.undo:
            rows.append(line(("u", "key"), " undo what was broken on purpose, and go on"))
        rows.append(line(("g", "key"), f" go back to {place}, with half the learning rate"))
        rows.append(line(("q", "key"), " stop   ", ("T", "key"), (" traceback", "")))
        return rows

    def _facts(self) -> str:
        s = self.snapshot
        if s is None:
            return ""
        facts = []
        own = self.info.metric_name
        if s.best_metric is not None:
            value = metric(own, s.best_metric.value)
            facts.append(f"best {clean(own)} {value} in epoch {s.best_metric.epoch}")
        if s.best_val_loss is not None:
            best = s.best_val_loss
            facts.append(f"best val loss {number(best.value)} in epoch {best.epoch}")
        facts.append(f"{count(s.batches_done)} batches in {clock(s.active)}")
        return " · ".join(facts)

    def _keys(self, outcome: Outcome) -> Line:
        keys = [("r", "run again"), ("n", "another preset")]
        if outcome.traceback:
            keys.insert(0, ("T", "traceback"))
        runs: list[Run] = []
        for key, label in (*keys, ("q", "quit")):
            runs += [(key, "key"), (f" {label}   ", "dim")]
        return line(*runs)


def _labelled(label: str, text: str, width: int) -> list[Line]:
    """A dim label before wrapped text; nothing if there is no text."""
    if not text:
        return []
    first, *more = wrap(f"{label} {clean(text)}", width)
    start = min(len(label), len(first))
    return [line((first[:start], "dim"), first[start:]), *(line(row) for row in more[:2])]
