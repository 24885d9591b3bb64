"""`ReplayedRun`: a run at any batch of it, as its log tells it; it plays like a film. No torch."""

from __future__ import annotations

import copy
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import ClassVar, Final, Literal

from ..protocol.commands import SPEEDS, Command, Show
from ..protocol.snapshot import Change, Snapshot
from ..protocol.steps import State, Step
from .kept_run import KeptRun, change_of
from .log_file import LogRecord
from .log_follower import LogFollower
from .log_summary import UNREADABLE, LogSummary
from .run_directory import RunDirectory

KEYFRAME_EVERY: Final = 2048
"""Records between two keyframes: states that a way back begins at."""
WHOLE: Final = 30.0
"""Seconds that the whole run takes at full speed."""
Unit = Literal["batch", "epoch", "run"]


class ReplayedRun(KeptRun):
    """A run that ended, or what there is of one, at one of its batches; it begins at the first.

    Args:
        directory: the run's, of which nothing is changed.
    """

    interval: ClassVar[float] = 0.05

    def __init__(self, directory: RunDirectory) -> None:
        self._records: list[LogRecord] = []
        self._places: list[int] = []
        """Of each record, its `batches_done`."""
        self._epoch_ends: list[int] = []
        self._keyframes = [LogSummary()]
        self._read = 0
        """Records that are in `_so_far`."""
        self._every_change: tuple[Change, ...] = ()
        self._moving = threading.Lock()
        self._wanted, self._since = 0.0, perf_counter()
        self.playing = False
        self.speed: float | None = None
        """Batches a second; None shows the whole run in `WHOLE` seconds."""
        super().__init__(directory)

    @property
    def last(self) -> int:
        """The run's last batch; 0 where there is none."""
        return self._places[-1] if self._places else 0

    # What a person does.

    def scrub(self, by: int, unit: Unit) -> None:
        """Stop, so many batches or epochs further on (or back), or at the run's end (or begin)."""
        with self._moving:
            self._move_on()
            self.playing = False
            at, ends = round(self._wanted), self._epoch_ends
            if unit == "epoch":
                next_one = bisect_right(ends, at) if by > 0 else bisect_left(ends, at) - 1
                at = ends[next_one] if 0 <= next_one < len(ends) else self.last * (by > 0)
            else:
                at += by * (self.last if unit == "run" else 1)
            self._wanted = float(min(max(at, 0), self.last))
        self._look_soon.set()

    def play(self) -> None:
        """Play on, from the beginning where it is at the end; or stop."""
        with self._moving:
            self._move_on()
            self.playing = not self.playing
            if self.playing and self._wanted >= self.last:
                self._wanted = 0.0
        self._look_soon.set()

    def change_speed(self, by: int) -> None:
        """Play faster (1) or slower (-1)."""
        with self._moving:
            self._move_on()
            speeds = sorted(SPEEDS, key=self._pace_of)
            at = speeds.index(self.speed) + by
            self.speed = speeds[min(max(at, 0), len(speeds) - 1)]
        self._look_soon.set()

    def send(self, command: Command) -> None:
        if isinstance(command, Show):
            super().send(command)

    # The thread.

    def _pace_of(self, speed: float | None) -> float:
        """A speed in batches a second."""
        return self.last / WHOLE if speed is None else speed

    def _move_on(self) -> None:
        """To where it is by now, if it plays."""
        now = perf_counter()
        if self.playing:
            on = (now - self._since) * self._pace_of(self.speed)
            self._wanted = min(self._wanted + on, float(self.last))
            self.playing = self._wanted < self.last
        self._since = now

    def _look(self) -> None:
        if self._newest is None:
            self._load()
        with self._moving:
            self._move_on()
            at, playing = int(self._wanted), self.playing
        end = bisect_right(self._places, at)
        moved = end != self._read
        if end < self._read:
            self._read = end // KEYFRAME_EVERY * KEYFRAME_EVERY
            self._so_far = copy.deepcopy(self._keyframes[end // KEYFRAME_EVERY])
        self._so_far.take(self._records[self._read : end])
        self._read = end
        self.changes = tuple(one for one in self._every_change if one.batch <= at)
        state = State.RUNNING if playing else State.PAUSED
        old = self._newest
        if old is None or moved or old.state is not state or self._shown != self._show:
            self._newest = self._at(state)

    def _at(self, state: State) -> Snapshot:
        s = replace(self._picture(), state=state, saved=None)
        length = s.batches_per_epoch or self.info.batches_per_epoch
        if state is State.PAUSED and s.batch != length:
            s = replace(s, step=Step.DATA)  # it stands between two batches
        return s

    def _load(self) -> None:
        """Read the whole log, and keep what it comes to now and then."""
        for record in _every(self._metrics):
            with suppress(*UNREADABLE):
                self._places.append(int(record["batches_done"]))
                self._records.append(record)
                if record["type"] == "epoch":
                    self._epoch_ends.append(self._places[-1])
        so_far = LogSummary()
        for start in range(0, len(self._records) - KEYFRAME_EVERY + 1, KEYFRAME_EVERY):
            so_far.take(self._records[start : start + KEYFRAME_EVERY])
            self._keyframes.append(copy.deepcopy(so_far))
        changes = []
        for record in _every(self._events):
            with suppress(*UNREADABLE):
                changes.append(change_of(record))
        self._every_change = tuple(changes)


def _every(log: LogFollower) -> Iterator[LogRecord]:
    """All records there are."""
    while records := log.look()[1]:
        yield from records
