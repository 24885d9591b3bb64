"""How the run ended, and what can be done next."""

from __future__ import annotations

from ...core.snapshot import Outcome, RunInfo, Snapshot, State
from ..lines import Line, Run, line
from ..text import clean, clock, count, metric, number, wrap
from .header import ICONS, STYLE
from .panel import Panel


class OutcomePanel(Panel):
    """Hidden until the run has ended; then the outcome, the reason, the best epoch, the keys."""

    DEFAULT_CSS = "OutcomePanel { display: none; height: auto; max-height: 10; }"

    def __init__(self, info: RunInfo, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, title="outcome", ascii=ascii)
        self.info = info
        self.snapshot: Snapshot | None = None
        self.outcome: Outcome | None = None
        self.kept = ""
        """Where the results are kept, if they are: "runs/2026-11-22 digits-cnn"."""

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        """As many rows as there is something to say."""
        return len(self.lines(width, 10))

    def lines(self, width: int, height: int) -> list[Line]:
        outcome = self.outcome
        if outcome is None or width < 1:
            return []
        head = f"{ICONS[outcome.state]} {outcome.state.upper()}"
        style = STYLE.get(outcome.state, "bold")
        first, *more = wrap(f"{head}  {clean(outcome.reason)}", width)
        rows = [line((first[: len(head)], style), (first[len(head) :], "bold"))]
        rows += [line((text, "bold")) for text in more[:2]]
        if outcome.state is State.FAILED:
            rows += _labelled("where", outcome.where, width)
            rows += _labelled("try", outcome.advice, width)
        facts = self._facts()
        if facts:
            rows += [line((text, "")) for text in wrap(facts, width)]
        if self.kept:
            rows += _labelled("results kept in", self.kept, width)
        rows.append(self._keys(outcome))
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
