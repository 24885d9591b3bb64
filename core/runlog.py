"""The log of a run: a listener that writes what happens, at next to no cost to the training."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from .logfile import LogFile, Record, line
from .logtext import ROW, Span
from .snapshot import Change, EpochSummary
from .windows import EVERY
from .wording import Epoch, State, Wording

INTERVAL: Final = 0.5
"""Seconds after which what was logged is written."""
GLANCE: Final = 0.1
"""Seconds after which a new log first looks how fast batches come."""
FAST: Final = 1000
"""Batches a second from which on a second process puts them into words."""
BACKLOG: Final = 16_384
"""Batches that may wait; with more, the training thread writes them itself."""
_LOOK: Final = 0xFFF


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
        self._wording = Wording(every)
        self._sign = 1 if higher_is_better else -1
        self._best: tuple[float, int] | None = None
        self._best_val_loss: float | None = None
        self._epochs = 0
        self._next, self._epoch, self._lr = 1, 0, math.nan
        """What the next batch has if it belongs to the span that is told: `batches_done`, epoch
        and lr."""
        self._told: list[float] = []
        """Batches that wait, `ROW` numbers each."""
        self._taken = 0
        """Batches that were taken out of there."""
        self._waiting: deque[tuple[int, Span | Epoch | State]] = deque()
        """Spans, epochs, and states to be completed, that belong behind so many batches."""
        self._span = Span(0, 0, 0, math.nan)
        """What the next batch to be taken belongs to, unless another one waits."""
        self._taking, self._draining = threading.Lock(), threading.Lock()
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
        if batches_done != self._next or lr != self._lr or epoch != self._epoch:
            with self._taking:
                self._waiting.append((self._place(), Span(epoch, batch, batches_done, lr)))
            self._epoch, self._lr = epoch, lr
        self._next = batches_done + 1
        told = self._told
        told.append(loss)
        told.append(perf_counter() - self._zero)
        if not batches_done & _LOOK and len(told) > BACKLOG * ROW:
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
        told = Epoch(summary, self._best, self._best_val_loss, perf_counter() - self._zero)
        with self._taking:
            self._waiting.append((self._place(), told))

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
        done = self._next - 1
        record = {"type": kind, "time": time.time(), "batches_done": done, "text": text}
        self._events.append(line(record | fields))

    def _place(self) -> int:
        """How many batches were told of; with `_taking` held."""
        return self._taken + len(self._told) // ROW

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
        if self._wording.can_engage and len(self._told) >= FAST * ROW * seconds:
            with self._draining:
                self._wording.engage(self._next - 1)

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
        wording = self._wording
        while True:
            with self._taking:
                # `batch` takes no lock: a slice and a deletion can't be interrupted, and it
                # only ever adds behind them.
                count = min(len(self._told) // ROW, wording.at_once)
                numbers = self._told[: count * ROW]
                del self._told[: count * ROW]
                began, self._taken = self._taken, self._taken + count
                told: list[tuple[int, Span | Epoch | State]] = [(0, self._span)]
                begun = 0
                while self._waiting and self._waiting[0][0] <= self._taken:
                    place, one = self._waiting.popleft()
                    told.append((place - began, one))
                    if isinstance(one, Span):
                        begun, self._span = place - began, one
                self._span = self._span.onward(count - begun)
            if not count and len(told) == 1:
                return
            self._metrics.append(wording.text(numbers, told))
            if wording.scribe is not None:  # many lines, which need not be kept
                self._metrics.flush()

    # What a checkpoint has to know, and how a resume begins.

    def state(self) -> State:
        """What belongs into a checkpoint of now: plain numbers, lists and dicts.

        It is complete, and all that was told so far is written, once `flush` has returned; then
        a checkpoint with this in it is not ahead of the log when the process is killed
        (`flush(sync=True)`: the machine, too).
        """
        with self._taking:
            state: State = {
                "batches_done": self._next - 1,
                "epochs": self._epochs,
                "elapsed": perf_counter() - self._zero,
                "window": {},
                "best": self._best and list(self._best),
                "best_val_loss": self._best_val_loss,
            }
            self._waiting.append((self._place(), state))
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
            self._wording.windows.restore(state["window"])
            self._epochs, self._next, self._lr = epochs, done + 1, math.nan
            self._best = tuple(state["best"]) if state["best"] else None
            self._best_val_loss = state["best_val_loss"]
            if not rewinding:
                self._zero = perf_counter() - float(state["elapsed"])
            missing = done - self._wording.windows.batches - (last["batches_done"] if last else 0)
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
            self._wording.dismiss()
            partial = self._wording.windows.partial()
        if partial is not None:
            self._metrics.append(partial)
        self._metrics.close()
        self._events.close()


def _belongs(record: Record, batches_done: int, epochs: int) -> bool:
    """Whether a record was written before a checkpoint of so many batches and epochs."""
    done, epoch = record.get("batches_done"), record.get("epoch")
    if not isinstance(done, int) or not isinstance(epoch, int):
        return False
    if record.get("type") == "epoch":
        return epoch <= epochs
    return done <= batches_done and not record.get("partial")
