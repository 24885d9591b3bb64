"""What the screen itself writes into the messages: changes by hand, best epochs, the end."""

from __future__ import annotations

from typing import Final

from ...core.protocol.snapshot import Change, Outcome, RunInfo, Snapshot
from ...core.protocol.steps import State
from ..render.format import clean, count, metric
from ..setup.launch import RunLocation
from ..widgets.messages import MessageLog, Severity

SEVERITY: Final[dict[str, Severity]] = {
    "save": "info",
    "compile": "info",
    "resumed": "info",
    "rewind": "warning",
    "warning": "warning",
}
"""Kinds of changes that nobody made by hand; where the batch matters, their text tells it."""


class EventLog:
    """Turns what is new in a Snapshot into messages."""

    def __init__(self, info: RunInfo, log: MessageLog, kept: RunLocation) -> None:
        self._info, self._log, self._kept = info, log, kept
        self._last: Change | None = None
        self._best: tuple[int, float] | None = None
        self._begun = False

    def write(self, snapshot: Snapshot) -> None:
        """Add what the last picture did not have."""
        if not self._begun:
            self._begun = True
            seed = f", seed {self._info.seed}" if self._info.seed is not None else ""
            self._log.add(f"run {clean(self._info.name)}{seed}")
            if self._kept.place:
                self._log.add(f"kept in {clean(self._kept.place)}")
            if self._kept.problem:
                self._log.add(clean(self._kept.problem), "warning")
        for change in self._new(snapshot.changes):
            place = "" if change.kind in SEVERITY else f" · batch {count(change.batch)}"
            severity = SEVERITY.get(change.kind, "hand")
            self._log.add(clean(change.text) + place, severity, change.time)
        best = snapshot.best_metric
        if best is not None and self._best != (best.epoch, best.value):
            self._best = (best.epoch, best.value)
            name = self._info.metric_name
            self._log.add(f"epoch {best.epoch}: best {clean(name)} {metric(name, best.value)}")

    def end(self, outcome: Outcome) -> None:
        """Add how the run ended."""
        severity: Severity = "error" if outcome.state is State.FAILED else "info"
        self._log.add(f"{outcome.state}: {clean(outcome.reason)}", severity)

    def _new(self, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        """The changes after the one seen last."""
        if not changes or changes[-1] is self._last:
            return ()
        start = next((i for i, c in enumerate(changes) if c is self._last), -1) + 1
        self._last = changes[-1]
        return changes[start:]
