"""`Replay`: has a run do again what it did the first time, up to one batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..protocol.faults import Fault, faults_named
from ..protocol.steps import Step
from ..storage.log_file import read_log
from ..training.progress import as_number
from .controller import Controller
from .state import RunState

BEHIND_BACKWARD: Final = frozenset({Step.CLIP, Step.UPDATE, Step.OTHER})
"""One of these follows the backward pass of a batch, whatever its loop."""
_BY_LABEL: Final = {fault.info.label: fault for fault in Fault}
"""What an older fivestep has kept of them: only the text."""


@dataclass(frozen=True, slots=True)
class FirstTime:
    """What the log says of a run, up to one batch."""

    losses: Mapping[int, float | None]
    """Of the batches that were logged one by one; None was NaN or infinite."""
    lrs: Mapping[int, float]
    """What their updates used; the largest of all parameter groups."""
    faults: Mapping[int, frozenset[Fault]] = field(default_factory=dict)
    """What was wrong with the loop on purpose, by the batches done when that began."""


def first_time(metrics: Path, events: Path, upto: int) -> FirstTime:
    """What a run did in its first `upto` batches.

    Raises:
        OSError: one of its logs can't be read.
    """
    losses: dict[int, float | None] = {}
    lrs: dict[int, float] = {}
    for record in read_log(metrics):
        if record.get("type") == "batch" and (done := record["batches_done"]) <= upto:
            losses[done] = record["loss"]
            if record["lr"] is not None:
                lrs[done] = record["lr"]
    return FirstTime(losses, lrs, _faults(read_log(events)))


def _faults(events: Iterable[Mapping[str, Any]]) -> dict[int, frozenset[Fault]]:
    """What was broken and mended, but for what a way back has unmade."""
    found: dict[int, frozenset[Fault]] = {}
    now: frozenset[Fault] = frozenset()
    for event in events:
        done, text = event.get("batches_done"), str(event.get("text"))
        did, _, what = text.partition(": ")
        if isinstance(done, int) and (wrong := event.get("switches")) is not None:
            found = {at: faults for at, faults in found.items() if at < done}
            before = next(reversed(found.values()), frozenset())
            now = frozenset(faults_named(wrong))
            if now != before or event.get("kind") != "resumed":  # which says it always
                found[done] = now
        elif event.get("kind") == "switch" and isinstance(done, int) and what in _BY_LABEL:
            fault = frozenset({_BY_LABEL[what]})
            now = now | fault if did.startswith("broken") else now - fault
            found[done] = now
        elif event.get("kind") == "resumed" or text.startswith("undone"):
            found = {at: faults for at, faults in found.items() if at < (done or 0)}
            now = next(reversed(found.values()), frozenset())
    return found


class Replay:
    """Follows the log up to one batch: sets by hand what was set by hand, compares each loss.

    Args:
        run: what is trained again, from a checkpoint or from the beginning.
        then: how it went.
        until: the batch to hold at, behind its backward pass; 1 is the first.
    """

    def __init__(self, run: RunState, then: FirstTime, until: int) -> None:
        self._run, self._then, self.until = run, then, until
        self._compared = self._last = 0
        self._other: tuple[int, float, float | None] | None = None
        """The first batch whose loss is another one, its loss now, and what it was."""

    def at_gate(self, step: Step, controller: Controller) -> bool:
        """Do what was done here; whether this is the place."""
        progress, rate = self._run.progress, self._run.rate
        batch = progress.batches_done + 1
        if step is Step.DATA and progress.batches_done in self._then.faults:
            controller.faults = self._then.faults[progress.batches_done]
        if step <= Step.BACKWARD:
            rate.aim(self._then.lrs.get(batch, rate.lr))
        elif step in BEHIND_BACKWARD and progress.under_way:
            self._compare(batch)
            return batch >= self.until
        return batch > self.until

    def _compare(self, batch: int) -> None:
        if batch == self._last or batch not in self._then.losses or self._other is not None:
            return
        self._last = batch
        then, now = self._then.losses[batch], as_number(self._run.progress.loss)
        assert now is not None
        self._compared += 1
        if now != then and (math.isfinite(now) or then is not None):
            self._other = batch, now, then

    @property
    def text(self) -> str:
        """Where it is, and how many losses were the same, in a line."""
        text = f"batch {self.until:,}, before its update"
        if self.until not in self._then.losses:
            text += "; the log has no loss of it"
        if self._other is not None or not self._compared:
            return text
        count = f"{self._compared:,} loss{'es' * (self._compared != 1)}"
        return f"{text}; {count} up to here compared with the log: the same, bit for bit"

    @property
    def difference(self) -> str:
        """Where the losses part, with both, in a line; "" if they are the same."""
        if self._other is None:
            return ""
        batch, now, then = self._other
        was = "NaN or infinite" if then is None else repr(then)
        return f"not as the first time: batch {batch:,} has loss {now!r}, and was {was} in the log"
