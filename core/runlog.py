"""The log of a run: a listener that writes what happens, at next to no cost to the training."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from .jsonfile import clean, encode
from .logfile import LogFile, Record, line, seal
from .snapshot import Change, EpochSummary
from .windows import EVERY, ROW, Windows

INTERVAL: Final = 0.5
"""Seconds after which what was logged is written."""
AT_ONCE: Final = 256
"""Batches formatted in one go: about 0.3 ms in which no other thread runs Python."""
BACKLOG: Final = 16_384
"""Batches that may wait; with more, the training thread writes them itself."""
_LOOK: Final = 0xFFF


class RunLog:
    """Writes metrics.jsonl and events.jsonl; `core.logfields` tells what is in them.

    `batch`, `epoch`, `change` and `state` belong to the training thread, which only notes plain
    numbers: a thread of the log's own formats and writes them. None of these four raises because
    of the disk; `error` tells.

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
        self._taken = 0
        """Batches that were taken out of `_rows`."""
        self._epochs_waiting: deque[tuple[int, dict[str, Any]]] = deque()
        """Records that belong behind so many batches."""
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
        self._rows.extend((epoch, batch, batches_done, loss, lr, perf_counter() - self._zero))
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
        record = {
            "type": "epoch",
            "epoch": summary.epoch,
            "batches": summary.batches,
            "batches_done": summary.batches_done,
            "train_loss": summary.train_loss,
            "val_loss": loss,
            "val_metric": metric,
            "metrics": {clean(name): value for name, value in summary.metrics},
            "best_metric": self._best and self._best[0],
            "best_epoch": self._best and self._best[1],
            "best_val_loss": self._best_val_loss,
            "seconds": summary.seconds,
            "batches_per_second": summary.batches_per_second,
            "lr": summary.lr,
            "elapsed": round(perf_counter() - self._zero, 6),
        }
        with self._taking:
            place = self._taken + len(self._rows) // ROW
            self._epochs_waiting.append((place, record))

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
            done = self._rows[2 - ROW] if self._rows else self._done
        record = {"type": kind, "time": time.time(), "batches_done": done, "text": text}
        self._events.append(line(record | fields))

    # How it gets into the files.

    def _write(self, interval: float) -> None:
        while not self._closing.wait(interval):
            self.flush()

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
        """Format what waits, without making the training thread wait for long."""
        rows = self._rows
        while True:
            with self._taking:
                place = self._epochs_waiting[0][0] if self._epochs_waiting else math.inf
                count = min(len(rows) // ROW, AT_ONCE, place - self._taken)
                # `batch` takes no lock: a slice and a deletion can't be interrupted, and it
                # only ever adds behind them.
                part = rows[: int(count) * ROW]
                del rows[: len(part)]
                self._taken += len(part) // ROW
                if part:
                    self._done = part[2 - ROW]
                epoch = self._epochs_waiting.popleft()[1] if self._taken == place else None
            if part:
                self._metrics.append(*self._windows.lines(part))
            if epoch is not None:
                self._metrics.append(_line(epoch))
            elif not part:
                return

    # What a checkpoint has to know, and how a resume begins.

    def state(self) -> dict[str, Any]:
        """What belongs into a checkpoint of now: plain numbers, lists and dicts.

        All that was told so far is written before, so that a checkpoint with this in it is never
        ahead of the log when the process is killed (`flush(sync=True)`: the machine, too).
        """
        with self._draining:
            self._drain()
            state = {
                "batches_done": self._done,
                "epochs": self._epochs,
                "elapsed": perf_counter() - self._zero,
                "window": self._windows.state(),
                "best": self._best and list(self._best),
                "best_val_loss": self._best_val_loss,
            }
        self._metrics.flush()
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
            partial = self._windows.partial()
        if partial is not None:
            self._metrics.append(partial)
        self._metrics.close()
        self._events.close()


def _line(record: Record) -> bytes:
    """`line` of a record without texts of others, in a third of the time."""
    try:
        return seal(encode(record)[:-1].encode())
    except (TypeError, ValueError):  # NaN, or a number of a kind of its own
        return line(record)


def _belongs(record: Record, batches_done: int, epochs: int) -> bool:
    """Whether a record was written before a checkpoint of so many batches and epochs."""
    done, epoch = record.get("batches_done"), record.get("epoch")
    if not isinstance(done, int) or not isinstance(epoch, int):
        return False
    if record.get("type") == "epoch":
        return epoch <= epochs
    return done <= batches_done and not record.get("partial")
