"""Checkpoints written in the background, so that training never waits for the disk."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from torch import Tensor

from .checkpoint import CheckpointStore
from .files import refusal

CheckpointKind = Literal["best", "last", "epoch"]
ORDER: Final[tuple[CheckpointKind, ...]] = ("best", "last", "epoch")
"""The best one goes first: a resume must not find an older one than the run had."""
MOMENT: Final = 1.0
"""Seconds that a wait for the disk takes at a time."""
WAITING_BYTES: Final = 1 << 30
"""Tensors of waiting epochs, at most: a disk slower than the training must not fill the memory."""


@dataclass(eq=False)
class _Job:
    """A checkpoint to be written."""

    kind: CheckpointKind
    state: Mapping[str, Any]
    number: int
    failed: bool = False


class CheckpointWriter:
    """One background thread that writes to a `CheckpointStore`.

    The callbacks run in that thread; they must not wait for it. What they raise goes to
    `threading.excepthook`.

    Args:
        store: where to.
        on_saved: called with kind and number of each checkpoint that is on the disk.
        on_failed: called for each that is not, with a line for a person and the error.
        before: called before each checkpoint is written.
    """

    def __init__(
        self,
        store: CheckpointStore,
        *,
        on_saved: Callable[[CheckpointKind, int], object],
        on_failed: Callable[[str, Exception], object],
        before: Callable[[], object] = lambda: None,
    ) -> None:
        self.last_seconds = 0.0
        """What the last save took of a processor: training loses no more, however slow the disk."""
        self._store = store
        self._on_saved, self._on_failed, self._before = on_saved, on_failed, before
        self._changed = threading.Condition()
        self._waiting: list[_Job] = []
        self._writing: _Job | None = None
        self._thread: threading.Thread | None = None
        self._flushing = 0
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether something is being written, or is about to be."""
        with self._changed:
            return self._writing is not None or self._next() is not None

    def submit(self, kind: CheckpointKind, state: Mapping[str, Any], number: int) -> None:
        """Have a state saved; returns at once.

        It replaces one of its kind that still waits, except for epochs. What failed before is
        tried again.

        Args:
            kind: which of the store's series.
            state: as for `checkpoint.save`; nobody changes it from here on.
            number: the epoch for "epoch", else the batches done.
        """
        given_up = []
        with self._changed:
            assert not self._closed
            if kind != "epoch":
                self._waiting = [job for job in self._waiting if job.kind != kind]
            self._waiting.append(_Job(kind, state, number))
            epochs = [job for job in self._waiting if job.kind == "epoch"]
            while len(epochs) > 1 and sum(_bytes(job.state) for job in epochs) > WAITING_BYTES:
                given_up.append(epochs.pop(0))
                self._waiting.remove(given_up[-1])
            self._try_again()
        for job in given_up:
            text = f"{_title(job)} was given up: the disk is too slow, and newer ones wait"
            self._call(self._on_failed, text, TimeoutError(text))

    def discard(self, timeout: float | None = None) -> None:
        """Forget what waits and what failed: the run is going back behind it.

        Waits, at most `timeout` seconds, for the one that is being written.
        """
        with self._changed:
            self._waiting.clear()
            self._changed.wait_for(lambda: self._writing is None, timeout)
            self._waiting.clear()  # that one may have failed

    def settle(self, timeout: float) -> bool:
        """Wait, at most `timeout` seconds, until what was submitted is written or has failed."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.busy, timeout)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait, at most `timeout` seconds, until all that was submitted is on the disk; whether
        it is. What failed is tried once more.
        """
        with self._changed:
            self._flushing += 1
            self._try_again()
            left = math.inf if timeout is None else timeout
            while self.busy and left > 0:  # of a stop of the whole process, a moment counts
                before = time.perf_counter()
                self._changed.wait(min(MOMENT, left))
                left -= min(MOMENT, time.perf_counter() - before)
            self._flushing -= 1
            return self._writing is None and not self._waiting

    def close(self, timeout: float | None = None) -> bool:
        """Flush and end the thread; whether all is on the disk."""
        done = self.flush(timeout)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and not self.busy:
            thread.join()
        return done

    def _try_again(self) -> None:
        """With the lock held: wake the thread, which begins its life with the first job."""
        for job in self._waiting:
            job.failed = False
        if self._waiting and self._thread is None:
            self._thread = threading.Thread(target=self._work, name="saver", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _next(self) -> _Job | None:
        """What to write next; nothing if all that waits has failed."""
        ready = [job for job in self._waiting if not job.failed]
        return min(ready, key=lambda job: ORDER.index(job.kind), default=None)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next() is not None)
                job = self._next()
                if job is None:
                    return
                self._waiting.remove(job)
                self._writing = job
            self._write(job)
            with self._changed:
                self._writing = None
                self._changed.notify_all()

    def _write(self, job: _Job) -> None:
        begun = time.thread_time()
        try:
            self._save(job)
        except Exception as error:  # whatever it is, the next one is tried
            with self._changed:
                job.failed = True
                same = [one for one in self._waiting if one.kind == job.kind != "epoch"]
                if not same:  # no newer one has come meanwhile
                    self._waiting.insert(0, job)
            self._call(self._on_failed, self._complaint(job, error), error)
            return
        self.last_seconds = time.thread_time() - begun
        self._call(self._on_saved, job.kind, job.number)

    def _save(self, job: _Job) -> None:
        self._before()
        if job.kind == "best":
            self._store.save_best(job.state)
        elif job.kind == "last":
            self._store.save_last(job.state, job.number)
        else:
            self._store.save_epoch(job.state, job.number)

    def _complaint(self, job: _Job, error: Exception) -> str:
        why = refusal(error)
        goes_on = "" if self._flushing else "training goes on, "
        good = self._store.last_good("there is none yet")
        return f"{_title(job)} could not be saved: {why}; {goes_on}{good}"

    def _call(self, callback: Callable[..., object], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception as error:
            about = (type(error), error, error.__traceback__, self._thread)
            threading.excepthook(threading.ExceptHookArgs(about))


def _title(job: _Job) -> str:
    titles = {
        "best": f"best checkpoint, at batch {job.number:,},",
        "last": f"checkpoint at batch {job.number:,}",
        "epoch": f"checkpoint of epoch {job.number:,}",
    }
    return titles[job.kind]


def _bytes(value: object) -> int:
    """The tensors' share of a state, in bytes."""
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(_bytes, value.values()))
    return sum(map(_bytes, value)) if isinstance(value, (list, tuple)) else 0
