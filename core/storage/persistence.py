"""A run kept on the disk: its log as it goes on, its checkpoints by policy, how it ended."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from ..protocol.diagnosis import Verdict
from ..protocol.record_fields import outcome_values
from ..protocol.snapshot import RunInfo, SavedCheckpoint, Snapshot
from .checkpoint import CheckpointError, CheckpointStore
from .checkpoint_writer import CheckpointKind, CheckpointWriter
from .files import is_file, refusal
from .folder_guard import FolderGuard, replaced
from .log_file import batches_logged, loss_after
from .run_directory import RunDirectory
from .run_log import RunLog

WAIT: Final = 120.0
"""Seconds that the end of a run waits for the disk."""
FIRST: Final = 1.0
"""Seconds that a run waits, before it begins, for something to go back to."""
COST: Final = 100
"""A checkpoint is due again after this many times what the last one took of a processor, if that is
longer."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which checkpoints are kept, besides the best one and the last ones."""

    seconds: float = 30.0
    """Between two checkpoints of a run that goes on; infinity: only at its end."""
    epochs: int | None = None
    """One is kept for good every so many epochs."""
    keep: int = 2
    """How many of the last ones stay."""


class Persistence:
    """Writes a run's directory while the run goes on.

    Only the training thread calls it. What happens in the thread that writes checkpoints becomes
    a notice, which waits until the run's next gate.

    Args:
        directory: open, and ours.
        policy: what to keep.
        about: goes into every checkpoint, to be compared at a resume.

    Raises:
        OSError: the log can't be opened.
    """

    def __init__(
        self,
        directory: RunDirectory,
        policy: Policy | None = None,
        *,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.policy = policy or Policy()
        self.saved: SavedCheckpoint | None = None
        """The newest checkpoint that is on the disk."""
        self.next_loss: float | None = None
        """Of the batch behind the checkpoint that the run resumes from, if it was trained."""
        self.logged = 0
        """Batches that its log had then; those behind the checkpoint are trained again."""
        self.due = math.inf
        """When the next one is (`time.perf_counter`)."""
        self.wake: Callable[[], None] = lambda: None
        """Called, from any thread, when there is a notice."""
        self._about = dict(about or {})
        self._notices: deque[tuple[str, str]] = deque()
        self._asked: set[int] = set()
        """Batches at which somebody asked for a checkpoint that is not on the disk yet."""
        self._best: tuple[dict[str, Any], int] | None = None
        """The best state so far, with its batches done, until it is given to the writer."""
        self._best_due = 0.0
        self._slower_told = False
        """Whether it was said that checkpoints come less often than the policy has it."""
        self._refused = ""
        """Why the last state was not fit to be kept; "" if it was."""
        self._failing = ""
        """Why nothing could be saved the last time; "" if it could."""
        self._lock = threading.Lock()
        self.unkept: dict[str, str] = {}
        """What is not on the disk at the end, and why: "checkpoint", "log", "outcome"."""
        before = directory.path
        found = directory.follow()  # it may have gone while torch was loaded
        if found in {"deleted", "taken"}:
            self._notice("warning", replaced(before, directory.path, found))
        directory.put_back()
        self._store = CheckpointStore(
            Path(directory.checkpoints.name), keep=self.policy.keep, dir_fd=directory.fd
        )
        self._store.sweep()
        self._store.hold()
        logs = Path(directory.metrics.name), Path(directory.events.name)
        self.log = RunLog(*logs, dir_fd=directory.fd)
        self._guard = FolderGuard(
            directory, self.log, self._store, lambda text: self._notice("warning", text)
        )
        self.log.tend = self._tend
        self._writer = CheckpointWriter(
            self._store, on_saved=self._on_saved, on_failed=self._on_failed, before=self._before
        )

    def resume(self, state: Mapping[str, Any]) -> None:
        """Cut the log back to the checkpoint that the run resumes from.

        Raises:
            OSError: it can't be.
        """
        self.logged = batches_logged(self.directory.metrics)
        self.next_loss = loss_after(self.directory.metrics, state["progress"]["batches_done"])
        self._restore_log(state, rewinding=False)

    # For the run, at its gates.

    def save(self, kind: str, state: Mapping[str, Any]) -> None:
        """Have a state written in the background.

        Args:
            kind: "first", "last" or "asked" (which is reported once it is on the disk) for one to
                resume from; "epoch" for one to stay; "best" for the best one so far.
            state: the run's as it is now.
        """
        done, epoch = state["progress"]["batches_done"], state["progress"]["epoch"]
        if kind == "best":
            self._best = ({**state, "about": self._about}, done)
            if perf_counter() >= self._best_due:
                self._submit_best()
            return
        whole = {**state, "about": self._about, "log": self.log.state()}
        if kind == "asked":
            with self._lock:
                self._asked.add(done)
        self._submit_best()  # a resume from here needs the best one until now
        if kind == "epoch":
            self._writer.submit("epoch", whole, epoch)
        else:
            self._writer.submit("last", whole, done)
        if kind == "first":  # the next one would replace it while it waits
            self._writer.settle(FIRST)
        took = self._writer.last_seconds
        self.due = perf_counter() + max(self.policy.seconds, COST * took)
        if COST * took > self.policy.seconds and kind != "asked" and not self._slower_told:
            self._slower_told = True
            self._notice(
                "warning",
                f"a checkpoint takes {took:.2g} s of a processor: one is written every "
                f"{COST * took:.0f} s, not every {self.policy.seconds:g} s, to cost training 1 %",
            )

    def after_epoch(self, epoch: int, *, best: bool) -> tuple[str, ...]:
        """What to save after this epoch (counted from 1)."""
        kinds = ["best"] if best else []
        if self.policy.epochs is not None and epoch % self.policy.epochs == 0:
            kinds.append("epoch")
        return tuple(kinds)

    def refuse(self, why: str) -> None:
        """Say, once, that a state is not fit to be kept."""
        self.due = perf_counter() + self.policy.seconds
        if why != self._refused:
            self._refused = why
            good = self._store.last_good("there is none")
            self._notice("warning", f"no checkpoint was saved: {why}; {good}")

    def take_notices(self) -> list[tuple[str, str]]:
        """The notices since the last call: a kind of change, and a line for people, which is
        empty where nobody has to know.
        """
        notices = []
        while self._notices:
            notices.append(self._notices.popleft())
        if trouble := self.log.trouble():
            notices.append(("warning", trouble))
        return notices

    def newest(self) -> dict[str, Any] | None:
        """The state of the last good checkpoint; None if there is none."""
        self._writer.flush(WAIT)
        try:
            loaded = self._store.newest()
        except CheckpointError as error:
            self._notice("warning", f"there is no checkpoint to go back to: {error}")
            return None
        for one in loaded.skipped:
            self._notice("warning", f"passed over a checkpoint: {one}")
        return loaded.state

    def rewound(self, state: Mapping[str, Any]) -> None:
        """The run has gone back to `state`: drop all that came after it."""
        self._writer.discard(WAIT)
        self._best = None
        with self._lock:
            self._asked.clear()
        try:
            self._store.rewind(state["progress"]["batches_done"])
        except OSError as error:
            self._notice("warning", f"a checkpoint that was given up stays: {refusal(error)}")
        self._restore_log(state, rewinding=True)

    # For the end of the run.

    def finish(self) -> None:
        """Wait until everything that was submitted is on the disk, for `WAIT` seconds at most."""
        self._submit_best()
        done = self._writer.flush(WAIT)
        self._look()
        if not done and not self._writer.busy:  # it has failed: perhaps for what is mended now
            done = self._writer.flush(WAIT)
        if not done or self._refused:
            why = self._failing or self._refused or "the disk is too slow"
            good = self._store.last_good("there is none")
            self.unkept["checkpoint"] = f"{why}; {good}"
            if not done:
                self._notice("warning", f"the last checkpoint is not on the disk; {good}")

    def ended(
        self, info: RunInfo, last: Snapshot, verdicts: tuple[Verdict, ...] | None = None
    ) -> None:
        """Write down how the run ended and what was wrong with it, and let the directory go."""
        self.log.flush(sync=True)
        why = ""
        try:
            self.directory.write_outcome(outcome_values(info, last, self.saved, verdicts))
        except OSError as error:
            why = refusal(error)
        self._look()
        if not self.directory.read_outcome()[0]:
            self.unkept["outcome"] = why
            self._notice("warning", f"how the run ended could not be written: {why}")
        self._writer.close(1.0)
        self.close()
        logs = (self.directory.metrics, self.directory.events)
        if self.log.lost or self.log.error or not all(map(is_file, logs)):
            lost = f"records lost: {self.log.lost:,}"
            self.unkept["log"] = self.log.error or (lost if self.log.lost else "it is gone")
        if not self._writer.busy:  # else it still needs the open folder
            self.directory.close()

    def close(self) -> None:
        """Close the log and the checkpoints that are held; the directory stays open."""
        self.log.close()
        self._store.let_go()

    def _look(self) -> bool:
        """Mend what somebody has done to the folder; whether anything had to be put back."""
        back = self._guard.look()
        if back:
            self.due = 0.0  # what was put back may be older than the run
            self.wake()
        return back

    def _tend(self) -> None:
        """Between two writes of the log, whatever the run itself does: paused, or in a batch."""
        self._look()
        self.directory.renew()

    def _restore_log(self, state: Mapping[str, Any], *, rewinding: bool) -> None:
        missing = self.log.restore(state["log"], rewinding=rewinding)
        if missing:
            done = state["log"]["batches_done"]
            text = f"{missing:,} batches before batch {done:,} are missing in metrics.jsonl"
            self._notice("warning", text)

    def _submit_best(self) -> None:
        if self._best is not None:
            self._writer.submit("best", *self._best)
            self._best = None
            self._best_due = perf_counter() + min(self.policy.seconds, 30.0)

    # In the thread that writes checkpoints.

    def _before(self) -> None:
        self._look()
        # The log must not be behind a checkpoint; its state in there is complete only then.
        self.log.flush(sync=True)

    def _on_saved(self, kind: CheckpointKind, number: int) -> None:
        if kind != "last":
            return
        self.saved = SavedCheckpoint(number, time.time())
        self._refused = ""
        if self._failing:
            self._failing = ""
            self._notice("warning", f"checkpoints are saved again, now at batch {number:,}")
        with self._lock:
            asked = any(batch <= number for batch in self._asked)
            self._asked = {batch for batch in self._asked if batch > number}
        self._notice("save", f"checkpoint saved at batch {number:,}" if asked else "")

    def _on_failed(self, text: str, error: Exception) -> None:
        why = refusal(error)
        if isinstance(error, OSError) and self._look():
            return  # that was why, and it is due again
        with self._lock:
            asked, self._asked = self._asked, set()
        if asked or why != self._failing:  # it will be tried many a time
            self._notice("warning", text)
        self._failing = why

    def _notice(self, kind: str, text: str) -> None:
        self._notices.append((kind, text))
        self.wake()
