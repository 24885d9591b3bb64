"""What the screen writes into the messages: changes, best epochs, verdicts, the end."""

from __future__ import annotations

import math
import os
from typing import Final

from ...core.protocol.diagnosis import Severity, Verdict
from ...core.protocol.snapshot import Change, Outcome, RunInfo, RunLocation, Snapshot
from ...core.protocol.steps import State
from ...core.storage.kept_run import KeptRun
from ...core.storage.replayed_run import ReplayedRun
from ..render.format import clean, count, metric
from ..render.keymap import BY_ID
from ..widgets.messages import MessageKind, MessageLog

KINDS: Final[dict[str, MessageKind]] = {
    "save": "info",
    "compile": "info",
    "model": "info",
    "schedule": "info",
    "resumed": "info",
    "rewind": "warning",
    "suspended": "info",
    "warning": "warning",
}
"""Kinds of changes that nobody made by hand; where the batch matters, their text tells it."""
VERDICT_KINDS: Final[dict[Severity, MessageKind]] = {
    "danger": "error",
    "warning": "warning",
    "note": "info",
}


class EventLog:
    """Turns what is new in a Snapshot into messages.

    Args:
        info, location: of the run.
        log: takes the messages.
        kept: the run if it is read from its files; what they give no time of has none.
    """

    def __init__(
        self, info: RunInfo, log: MessageLog, location: RunLocation, kept: KeptRun | None = None
    ) -> None:
        self._info, self._log, self._location, self._kept = info, log, location, kept
        self._now = None if kept is None else math.nan
        """When something came about that is seen just now."""
        self._last: Change | None = None
        self._told: set[Change] = set()
        self._bests: set[tuple[int, float]] = set()
        """Epoch and value: a replay comes by what it has told again."""
        self._begun = False

    def write(self, snapshot: Snapshot) -> None:
        if not self._begun:
            self._begun = True
            # Before all that has happened until this first picture.
            began = self._kept.began if self._kept else self._log.now() - snapshot.elapsed
            began = min([began, *(c.time for c in snapshot.changes[:1])])
            seed = f", seed {self._info.seed}" if self._info.seed is not None else ""
            self._log.add(f"run {clean(self._info.name)}{seed}", time=began)
            if self._location.place:
                self._log.add(f"kept in {clean(self._location.place)}", time=began)
            for note in self._location.notes:
                self._log.add(clean(note))
            if self._location.problem:
                self._log.add(clean(self._location.problem), "warning")
        for change in self._new(snapshot.changes):
            place = "" if change.kind in KINDS else f" · batch {count(change.batch)}"
            kind = KINDS.get(change.kind, "hand")
            mine = change.by is not None and change.by.pid == os.getpid()
            told = change.text if mine else change.line
            self._log.add(clean(told) + place, kind, change.time)
        best = snapshot.best_metric
        if best is not None and (best.epoch, best.value) not in self._bests:
            self._bests.add((best.epoch, best.value))
            name = self._info.metric_name
            text = f"epoch {best.epoch}: best {clean(name)} {metric(name, best.value)}"
            self._log.add(text, time=self._now)

    def end(self, outcome: Outcome) -> None:
        kind: MessageKind = "error" if outcome.state is State.FAILED else "info"
        time = None if self._kept is None else self._kept.ended
        self._log.add(f"{outcome.state}: {clean(outcome.headline)}", kind, time)

    def judged(self, verdicts: tuple[Verdict, ...]) -> None:
        for verdict in verdicts:
            text = f"{verdict.what}. Try: {verdict.next} ({BY_ID['verdicts'].shown} tells why)"
            self._log.add(clean(text), VERDICT_KINDS[verdict.severity], self._now)

    def _new(self, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        """The changes after the one seen last."""
        if not changes or changes[-1] is self._last:
            return ()
        self._last = changes[-1]
        new = tuple(change for change in changes if change not in self._told)
        self._told.update(new)
        if not isinstance(self._kept, ReplayedRun):  # elsewhere what is gone never comes again
            self._told.intersection_update(changes)
        return new
