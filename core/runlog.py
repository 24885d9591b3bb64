"""The log of a run: a listener that writes what happens, at next to no cost to the training."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple

from . import logtext
from .jsonfile import clean
from .logfile import LogFile, Record, line
from .logtext import ROW
from .scribe import Scribe
from .snapshot import Change, EpochSummary
from .windows import EVERY, Windows

INTERVAL: Final = 0.5
"""Seconds after which what was logged is written."""
GLANCE: Final = 0.1
"""Seconds after which a new log first looks how fast batches come."""
FAST: Final = 1000
"""Batches a second from which on a second process puts them into words."""
AT_ONCE: Final = 256
"""Batches formatted in one go: about 0.3 ms in which no other thread runs Python."""
TO_SCRIBE: Final = 2048
"""Batches handed to that process in one go."""
BACKLOG: Final = 16_384
"""Batches that may wait; with more, the training thread writes them itself."""
_LOOK: Final = 0xFFF

State = dict[str, Any]


class RunLog:
    """Writes metrics.jsonl and events.jsonl; `core.logfields` tells what is in them.

    `batch`, `epoch`, `change` and `state` belong to the training thread, which only notes plain
    numbers: a thread of the log's own has them formatted and writes them. None of these four
    raises because of the disk; `error` tells.

    Args:
        metrics: path of metrics.jsonl.
        events: path of events.jsonl.
        higher_is_better: of the task's own metric.
        every: batches logged one by one, see `core.windows`.
        interval: seconds between two writes.

    Raises:
        OSError: one of the files can't be opened.
    """

    def __init__(
        self,
        metrics: Path,
        events: Path,
        *,
        higher_is_better: bool = True,
        every: int = EVERY,
        interval: float = INTERVAL,
    ) -> None:
        self._metrics = LogFile(metrics)
        try:
            self._events = LogFile(events)
        except OSError:
            self._metrics.close()
            raise
        self._windows = Windows(every)
        self._sign = 1 if higher_is_better else -1
        self._best: tuple[float, int] | None = None
        self._best_val_loss: float | None = None
        self._epochs = self._done = 0
        self._rows: list[Any] = []
        self._tell = self._rows.extend
        self._taken = 0
        """Numbers that were taken out of `_rows`."""
        self._waiting: deque[tuple[int, _Epoch | State]] = deque()
        """Epochs, and states to be completed, that belong behind so many numbers."""
        self._taking, self._draining = threading.Lock(), threading.Lock()
        self._scribe: Scribe | None = None
        self._forsaken = False
        """There can be no scribe, or none any more."""
        self._zero = perf_counter()
        self._closing = threading.Event()
        self._writer = threading.Thread(
            target=self._write, args=(interval,), name="fivestep-log", daemon=True
        )
        self._writer.start()

    @property
    def error(self) -> str | None:
        """Why nothing can be written now; None while all is well."""
        return self._metrics.error or self._events.error

    @property
    def lost(self) -> int:
        """Records dropped because nothing could be written for too long."""
        return self._metrics.lost + self._events.lost

    @property
    def cut(self) -> int:
        """Bytes of torn records that opening has cut off."""
        return self._metrics.cut + self._events.cut

    # What the training thread tells.

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        """Take in a finished batch, in order."""
        self._tell((epoch, batch, batches_done, loss, lr, perf_counter() - self._zero))
        if not batches_done & _LOOK and len(self._rows) > BACKLOG * ROW:
            self.flush()

    def epoch(self, summary: EpochSummary) -> None:
        """Take in a finished epoch."""
        metric, loss = summary.val_metric, summary.val_loss
        best = -math.inf if self._best is None else self._sign * self._best[0]
        if metric is not None and math.isfinite(metric) and self._sign * metric > best:
            self._best = (metric, summary.epoch)
        if loss is not None and math.isfinite(loss):
            lowest = self._best_val_loss
            self._best_val_loss = loss if lowest is None else min(loss, lowest)
        self._epochs = summary.epoch
        told = _Epoch(summary, self._best, self._best_val_loss, perf_counter() - self._zero)
        with self._taking:
            self._waiting.append((self._taken + len(self._rows), told))

    def change(self, change: Change) -> None:
        """Take in what a person changed."""
        fields = {"epoch": change.epoch, "kind": change.kind, "text": change.text}
        self._events.append(
            line({"type": "change", "time": change.time, "batches_done": change.batch} | fields)
        )

    def note(self, kind: str, text: str, **fields: Any) -> None:
        """Put a record of another kind among the events: resume, rewind, save, warning, end.

        `time` and `batches_done` are those of now unless `fields` has them.
        """
        with self._taking:
            done = self._told()
        record = {"type": kind, "time": time.time(), "batches_done": done, "text": text}
        self._events.append(line(record | fields))

    def _told(self) -> int:
        """Batches done by the last one that was told of; with `_taking` held."""
        return int(self._rows[2 - ROW]) if self._rows else self._done

    # How it gets into the files.

    def _write(self, interval: float) -> None:
        pause = min(GLANCE, interval)
        while not self._closing.wait(pause):
            self._engage(pause)
            if pause == interval:
                self.flush()
            pause = interval

    def _engage(self, seconds: float) -> None:
        """Take on a scribe if so much has come in so many seconds that it is worth it."""
        if self._scribe is not None or self._forsaken or len(self._rows) < FAST * ROW * seconds:
            return
        with self._draining:
            if self._windows.apart(self._rows[-ROW:]):
                try:
                    self._scribe = Scribe()
                except OSError:
                    self._forsaken = True

    def _dismiss(self) -> None:
        if self._scribe is not None:
            self._scribe.close()
            self._scribe = None

    def flush(self, *, sync: bool = False) -> bool:
        """Write everything told so far, from any thread.

        Args:
            sync: bring it to the disk itself, for the machine may stop too.

        Returns:
            Whether all is written.
        """
        with self._draining:
            self._drain()
        done = self._metrics.flush(sync=sync)
        return self._events.flush(sync=sync) and done

    def _drain(self) -> None:
        """Have formatted what waits, without making the training thread wait for long."""
        while True:
            with self._taking:
                most = AT_ONCE if self._scribe is None else TO_SCRIBE
                # `batch` takes no lock: a slice and a deletion can't be interrupted, and it
                # only ever adds behind them.
                rows = self._rows[: most * ROW]
                del self._rows[: len(rows)]
                began = self._taken
                self._taken += len(rows)
                if rows:
                    self._done = rows[2 - ROW]
                between = []
                while self._waiting and self._waiting[0][0] <= self._taken:
                    place, one = self._waiting.popleft()
                    between.append((place - began, one))
            if not rows and not between:
                return
            self._metrics.append(self._text(rows, between))
            if self._scribe is not None:  # many lines, which need not be kept
                self._metrics.flush()

    def _text(self, rows: list[Any], between: list[tuple[int, _Epoch | State]]) -> bytes:
        """Lines of batches, and of what stands between them; states are completed."""
        windows = self._windows
        if windows.apart(rows):
            epochs = [(at, one.values()) for at, one in between if isinstance(one, _Epoch)]
            if self._scribe is not None:
                try:
                    return self._scribe.text(rows, epochs)
                except OSError:  # it took nothing with it
                    self._dismiss()
                    self._forsaken = True
            return logtext.text(rows, epochs)
        if rows:
            self._dismiss()  # windows are made of few lines
        parts: list[bytes] = []
        at = 0
        for place, one in between:
            parts += windows.lines(rows[at:place])
            at = place
            if isinstance(one, _Epoch):
                parts.append(logtext.epoch(one.values()))
            else:
                one["window"] = windows.state()
        return b"".join(parts + windows.lines(rows[at:]))

    # What a checkpoint has to know, and how a resume begins.

    def state(self) -> State:
        """What belongs into a checkpoint of now: plain numbers, lists and dicts.

        It is complete, and all that was told so far is written, once `flush` has returned; then
        a checkpoint with this in it is not ahead of the log when the process is killed
        (`flush(sync=True)`: the machine, too).
        """
        with self._taking:
            state: State = {
                "batches_done": self._told(),
                "epochs": self._epochs,
                "elapsed": perf_counter() - self._zero,
                "window": {},
                "best": self._best and list(self._best),
                "best_val_loss": self._best_val_loss,
            }
            self._waiting.append((self._taken + len(self._rows), state))
        return state

    def restore(self, state: dict[str, Any], *, rewinding: bool = False) -> int:
        """Go back to where the log was at `state`: what came later will be told again.

        Args:
            state: what `state` gave, in this process or an earlier one.
            rewinding: within one run: `elapsed` goes on instead of going back.

        Returns:
            How many bytes of metrics.jsonl were cut off.

        Raises:
            OSError: the file can't be read or cut.
            KeyError, TypeError, ValueError: it is no such state.
        """
        done, epochs = int(state["batches_done"]), int(state["epochs"])
        with self._draining:
            self._drain()
            cut, last = self._metrics.cut_back(lambda record: _belongs(record, done, epochs))
            self._windows.restore(state["window"])
            self._epochs, self._done = epochs, done
            self._best = tuple(state["best"]) if state["best"] else None
            self._best_val_loss = state["best_val_loss"]
            if not rewinding:
                self._zero = perf_counter() - float(state["elapsed"])
            missing = done - self._windows.batches - (last["batches_done"] if last else 0)
        if missing > 0:
            self.note("warning", f"{missing:,} batches before batch {done:,} are not in the log")
        return cut

    def close(self) -> None:
        """Write everything, a window that is still open as a partial one, and end the thread."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._writer.join()
        with self._draining:
            self._drain()
            self._dismiss()
            partial = self._windows.partial()
        if partial is not None:
            self._metrics.append(partial)
        self._metrics.close()
        self._events.close()


class _Epoch(NamedTuple):
    """An epoch as the training thread tells it, which has no time to make more of it."""

    summary: EpochSummary
    best: tuple[float, int] | None
    best_val_loss: float | None
    elapsed: float

    def values(self) -> tuple[Any, ...]:
        """What `logtext.epoch` takes. A metric may be a number of NumPy's."""
        done, best = self.summary, self.best
        return (
            "epoch",
            done.epoch,
            done.batches,
            done.batches_done,
            float(done.train_loss),
            _float(done.val_loss),
            _float(done.val_metric),
            {clean(name): float(value) for name, value in done.metrics},
            _float(best and best[0]),
            best and best[1],
            _float(self.best_val_loss),
            done.seconds,
            done.batches_per_second,
            done.lr,
            round(self.elapsed, 6),
        )


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _belongs(record: Record, batches_done: int, epochs: int) -> bool:
    """Whether a record was written before a checkpoint of so many batches and epochs."""
    done, epoch = record.get("batches_done"), record.get("epoch")
    if not isinstance(done, int) or not isinstance(epoch, int):
        return False
    if record.get("type") == "epoch":
        return epoch <= epochs
    return done <= batches_done and not record.get("partial")
