"""`KeptRun`: a run as its files tell it, followed while they grow: one that has ended, or that is
trained where nobody answers. Needs no torch.
"""

from __future__ import annotations

import math
import os
import threading
from contextlib import suppress
from time import perf_counter
from typing import Any, ClassVar, Final

import msgspec

from ..protocol.at_hand import EPOCHS, EpochTable
from ..protocol.commands import Command, Sender, Show
from ..protocol.diagnosis import VerdictInputs
from ..protocol.faults import Undone, faults_named
from ..protocol.inside import Inside
from ..protocol.rank_times import RankNow
from ..protocol.snapshot import (
    Certainty,
    Change,
    Outcome,
    RunInfo,
    RunLocation,
    SavedCheckpoint,
    Snapshot,
)
from ..protocol.steps import State, Step
from .files import clean
from .log_file import LogRecord
from .log_follower import LogFollower
from .log_summary import UNREADABLE, LogSummary, number_of
from .run_directory import Elsewhere, RunDirectory, saved_at
from .run_index import summary

EVERY: Final = 0.5
"""Seconds between two looks at the files: a run writes as often."""
ASKS: Final = 5.0
"""Seconds between two looks whether another machine's run lives."""
CHANGES: Final = 200


def info_of(meta: dict[str, Any]) -> RunInfo:
    """What run.json says of a run; of what an older fivestep has kept, less."""
    known = dict.fromkeys(("name", "data", "model", "metric_name", "optimizer", "device"), "")
    known |= {key: meta[key] for key in known.keys() & meta.keys() if meta[key] is not None}
    unknown = {"scheduler": None, "batch_size": None, "batches_per_epoch": None}
    values = {
        **known,
        **unknown,
        "name": meta.get("preset") or meta.get("name") or "",
        "parameters": meta.get("parameters"),
        "task": "custom",
        "higher_is_better": meta.get("higher_is_better") is not False,
        "epochs": meta.get("epochs") or 0,
        "validation_batches": None,
        "threads": meta.get("threads") or 0,
        "seed": meta.get("seed"),
        **(meta.get("info") or {}),
        "phases": [Certainty.UNKNOWN] * len(Step),
    }
    try:
        return msgspec.convert(values, RunInfo)
    except msgspec.ValidationError:
        kept = {"name": str(values["name"])} if meta.get("info") is None else {**meta, "info": None}
        return info_of(kept)


class KeptRun:
    """A run that can only be looked at. A thread of its own reads its files.

    Args:
        directory: the run's.
        why: why nobody answers for it, though it is trained; "" if it is not.
    """

    interval: ClassVar[float] = EVERY
    """Seconds between two looks."""

    def __init__(self, directory: RunDirectory, why: str = "") -> None:
        self._directory, self.why = directory, why
        meta = directory.read_meta()[0]
        self.info = info_of(meta)
        self.began = number_of(meta.get("started"))
        """Seconds since 1970; NaN if no file tells."""
        self.ended = math.nan
        """Likewise."""
        self.location = RunLocation(str(directory.path))
        self.elsewhere: Elsewhere | None = None
        """What is known here of a run that another machine trains, or did; None of others."""
        self._asked_for = -math.inf
        self.problem = ""
        """Why its files can't be read on; "" if they can. What was read stays."""
        self._newest: Snapshot | None = None
        self._outcome: Outcome | None = None
        self._show = self._shown = Show()
        self._look_soon = threading.Event()
        self._metrics = LogFollower(directory.metrics)
        self._events = LogFollower(directory.events)
        self._so_far = LogSummary()
        self.changes: tuple[Change, ...] = ()
        """The last ones of events.jsonl."""
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="fivestep-kept-run", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        """The run's own name, that of its folder."""
        return self._directory.name

    # What a front end uses, as of a `Session`.

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while it goes on, as far as is known."""
        newest = self._newest
        return None if newest is None else newest.outcome

    def now(self) -> tuple[Step, float] | None:
        """None: what runs at this moment is in no file."""
        return None

    def ranks(self) -> tuple[RankNow, ...]:
        """None, likewise."""
        return ()

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        """The newest Snapshot; None until the files have been read."""
        return self._newest

    def send(self, command: Command) -> None:
        """Show the epochs, if asked; nothing else can be done with files."""
        if isinstance(command, Show):
            self._show = command
            self._look_soon.set()

    def close(self) -> None:
        """Read no further."""
        self._closing.set()
        self._look_soon.set()

    @property
    def written(self) -> float | None:
        """When its numbers were written last (seconds since 1970); None if there are none."""
        return self._metrics.written

    # The thread.

    def _follow(self) -> None:
        while not self._closing.is_set():
            self._look_soon.clear()
            try:
                if perf_counter() - self._asked_for > ASKS:
                    self._asked_for, self.elsewhere = perf_counter(), self._directory.elsewhere
                self._look()
                self.problem = ""
            except Exception as error:  # files may hold anything: nobody would see this thread end
                self.problem = clean(f"{type(error).__name__}: {error}")[:200]
            self._look_soon.wait(self.interval)

    def _look(self) -> None:
        """Read what is new, and make a Snapshot where anything is."""
        came = self._newest is None
        while not self._closing.is_set():
            void, records = self._metrics.look()
            if void:
                self._so_far = LogSummary()
            came = came or void or bool(records)
            self._so_far.take(records)
            if not records:
                break
        void, records = self._events.look()
        if void:
            self.changes = ()
        for record in records:
            with suppress(*UNREADABLE):
                self.changes = (*self.changes[-CHANGES + 1 :], change_of(record))
        outcome = self._ended()
        if outcome != self._outcome:
            self._outcome, came = outcome, True
            self.ended = number_of(self._directory.read_outcome()[0].get("ended"))
            run = summary(self._directory.path)
            resume = f"fivestep resume {run.name}" if run.resumable else ""
            self.location = RunLocation(str(self._directory.path), resume)
        if came or void or records or self._shown != self._show:
            self._newest = self._picture()

    def _ended(self) -> Outcome | None:
        """How the run ended; None while it is trained, or, on another machine, may be."""
        directory = self._directory
        if directory.running:
            return None
        found, damage = directory.read_outcome()
        if not found and not damage:
            if directory.other_host:
                return None
            return Outcome(State.STOPPED, "its process ended in the middle")
        ends = {"finished": State.FINISHED, "failed": State.FAILED}
        texts = {key: found.get(key) or "" for key in ("reason", "where", "advice", "line")}
        texts["reason"] = damage or texts["reason"]
        return Outcome(ends.get(found.get("state") or "", State.STOPPED), **texts)

    def _picture(self) -> Snapshot:
        self._shown = show = self._show
        found = self._directory.read_outcome()[0] if self._outcome is not None else {}
        undone = [(faults_named(one["switches"]), one) for one in found.get("undone") or ()]
        so_far = self._so_far
        last, at, pace = so_far.last, so_far.batch, so_far.pace
        batch, epoch = int(at.get("batch") or 0), int(at.get("epoch") or 1)
        size = self.info.batch_size
        table = EpochTable(tuple(so_far.epochs), self.info.metric_name)
        inside = Inside(view=EPOCHS, picture=table) if show.view == EPOCHS else Inside()
        state = State.RUNNING if self._outcome is None else self._outcome.state
        return Snapshot(
            state=state,
            step=_failed_at(self._outcome),
            epoch=epoch,
            batch=batch,
            batches_done=int(at.get("batches_done") or 0),
            samples_done=None,
            val_batch=0,
            elapsed=float(at.get("elapsed") or 0.0),
            active=float(at.get("elapsed") or 0.0),
            eta=None,
            batches_per_second=pace,
            samples_per_second=None if pace is None or size is None else pace * size,
            loss=so_far.recent[-1] if so_far.recent else None,
            epoch_loss=None,
            last=last,
            val_loss=last.val_loss if last is not None else None,
            metrics=last.metrics if last is not None else (),
            best_metric=so_far.best,
            best_val_loss=so_far.best_val,
            lr=number_of(at.get("lr")),
            lr_factor=1.0,
            grad_norm=None,
            phases=(),
            watching=None,
            speed=None,
            stopping=None,
            recent=tuple(so_far.recent),
            curves=tuple((name, curve.curve()) for name, curve in so_far.curves.items()),
            changes=self.changes,
            batches_per_epoch=(
                last.batches if last is not None and self.info.batches_per_epoch is None else None
            ),
            saved=_saved(self._directory),
            inside=inside,
            facts=VerdictInputs(first_loss=so_far.first_loss),
            faults_so_far=faults_named(found.get("switches")),
            undone=tuple(Undone(faults, one["first"], one["last"]) for faults, one in undone),
            outcome=self._outcome,
            lrs=tuple((at.get("lrs") or {}).items()),
        )


def change_of(record: LogRecord) -> Change:
    """A record of events.jsonl. Raises one of `UNREADABLE` where no run has written it."""
    by = record.get("by")
    who = None if by is None else Sender(str(by["user"]), int(by["pid"]), str(by["host"]))
    return Change(
        float(record["time"]),
        int(record["epoch"]),
        int(record["batches_done"]),
        str(record["text"]),
        str(record["kind"]),
        who,
        None if record.get("switches") is None else faults_named(record["switches"]),
    )


def _failed_at(outcome: Outcome | None) -> Step:
    """The step that a failure names, else none of the five."""
    parts = outcome.where.split(", ") if outcome is not None else []
    return next((step for step in Step if step.info.name in parts), Step.OTHER)


def _saved(directory: RunDirectory) -> SavedCheckpoint | None:
    """The newest checkpoint by its name; whether it is good shows when it is loaded."""
    with suppress(OSError), os.scandir(directory.checkpoints) as entries:
        found = [
            (done, entry.stat(follow_symlinks=False).st_mtime)
            for entry in entries
            if (done := saved_at(entry.name)) is not None
        ]
        if found:
            return SavedCheckpoint(*max(found))
    return None
