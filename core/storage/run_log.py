"""The log of a run: metrics.jsonl and events.jsonl, written by a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from ..protocol.record_fields import EPOCH, change_values, epoch_values
from ..protocol.snapshot import Best, Change, EpochSummary
from .batch_lines import EVERY, BatchBlock, Windows
from .log_file import LogFile, LogRecord, line

INTERVAL: Final = 0.5
"""Seconds between two writes."""
AT_ONCE: Final = 256
"""Batches formatted in one go: about 0.3 ms in which no other thread runs Python."""
BACKLOG: Final = 16_384
"""Batches that may wait; with more, the training thread writes them itself."""

LogState = dict[str, Any]
"""Where a log is, for a checkpoint: plain numbers, lists and dicts."""


@dataclass(frozen=True, slots=True)
class _FinishedEpoch:
    """An epoch as it waits for the log's thread."""

    summary: EpochSummary
    best: Best | None
    best_val_loss: Best | None
    elapsed: float

    def record(self) -> LogRecord:
        return {"type": "epoch"} | epoch_values(
            EPOCH,
            self.summary,
            best_metric=self.best and self.best.value,
            best_epoch=self.best and self.best.epoch,
            best_val_loss=self.best_val_loss and self.best_val_loss.value,
            elapsed=round(self.elapsed, 6),
        )


class RunLog:
    """Writes metrics.jsonl and events.jsonl; `protocol.record_fields` says what is in them.

    `batches`, `epoch`, `change` and `state` belong to the training thread, which only notes plain
    numbers: a thread of the log's own formats and writes them. None of these four raises because
    of the disk; `error` says what is wrong.

    Args:
        metrics: path of metrics.jsonl.
        events: path of events.jsonl.
        every: batches logged one by one, see `storage.batch_lines`.
        interval: seconds between two writes.
        dir_fd: the open folder that relative paths are meant from.

    Raises:
        OSError: one of the files can't be opened.
    """

    def __init__(
        self,
        metrics: Path,
        events: Path,
        *,
        every: int = EVERY,
        interval: float = INTERVAL,
        dir_fd: int | None = None,
    ) -> None:
        self.tend: Callable[[], object] = lambda: None
        """Called between two writes, in the log's own thread."""
        self._metrics = LogFile(metrics, dir_fd=dir_fd)
        try:
            self._events = LogFile(events, dir_fd=dir_fd)
        except OSError:
            self._metrics.close()
            raise
        self._told: str | None = None
        """The error that `trouble` has told of."""
        self._windows = Windows(every)
        self._epochs = 0
        self._waiting: deque[tuple[int, BatchBlock | _FinishedEpoch | LogState]] = deque()
        """What comes between batches, in order: new blocks, epochs, and states to be completed;
        each with how many batches the block before it had by then."""
        self._begin(batches_done=0)
        self._draining = threading.Lock()
        self._zero = perf_counter()
        self._closing = threading.Event()
        self._writer = threading.Thread(
            target=self._write, args=(interval,), name="fivestep-log", daemon=True
        )
        self._writer.start()

    def _begin(self, batches_done: int) -> None:
        """Start counting after `batches_done`."""
        self._block = BatchBlock(0, 0, batches_done + 1)
        """The block that the training thread fills."""
        self._earlier = 0
        """Batches in the blocks before that."""
        self._reading, self._read = self._block, 0
        """The block that is formatted, and how many of its batches were."""
        self._formatted = 0
        """Batches of all blocks that were formatted."""

    @property
    def error(self) -> str | None:
        """Why nothing can be written now; None while all is well."""
        return self._metrics.error or self._events.error

    @property
    def lost(self) -> int:
        """Records dropped because nothing could be written for too long."""
        return self._metrics.lost + self._events.lost

    def trouble(self) -> str:
        """A line on what is wrong with the files, or is mended; "" if it was told before."""
        error, told = self.error, self._told
        self._told = error
        if error == told:
            return ""
        if error:
            return f"the log can't be written: {error}; training goes on, it is kept in memory"
        if self.lost:
            return f"the log is written again; records lost: {self.lost:,}"
        return "the log is written again, nothing of it is lost"

    @property
    def waiting(self) -> int:
        """Batches that are not formatted yet."""
        return self._earlier + len(self._block.times) - self._formatted

    # What the training thread calls.

    def batches(self, block: BatchBlock) -> None:
        """The next batches will be in this block, in order."""
        self._put(block)
        self._earlier += len(self._block.times)
        self._block = block
        if self.waiting > BACKLOG:
            self.flush()

    def epoch(
        self, summary: EpochSummary, best: Best | None = None, best_val_loss: Best | None = None
    ) -> None:
        """An epoch was finished; `best` is the best metric so far."""
        self._epochs = summary.epoch
        elapsed = perf_counter() - self._zero
        self._put(_FinishedEpoch(summary, best, best_val_loss, elapsed))

    def change(self, change: Change) -> None:
        self._events.append(line({"type": "change"} | change_values(change)))

    def _put(self, item: BatchBlock | _FinishedEpoch | LogState) -> None:
        self._waiting.append((len(self._block.times), item))

    # How it gets into the files.

    def _write(self, interval: float) -> None:
        while not self._closing.wait(interval):
            self.flush()
            self.tend()

    def flush(self, *, sync: bool = False) -> bool:
        """Write everything noted so far, from any thread; `sync` as in `LogFile.flush`."""
        with self._draining:
            self._drain()
        done = self._metrics.flush(sync=sync)
        return self._events.flush(sync=sync) and done

    def _drain(self) -> None:
        """Format what waits, in pieces; no lock keeps the training thread waiting meanwhile."""
        made: list[bytes] = []
        while True:
            # What is put from here on comes after these batches.
            there = len(self._reading.times)
            end = self._waiting[0][0] if (follows := bool(self._waiting)) else there
            start, stop = self._read, min(end, self._read + AT_ONCE)
            made += self._windows.lines(self._reading, start, stop, self._zero)
            self._read = stop
            self._formatted += stop - start
            if stop == end:
                if not follows:
                    break
                _, item = self._waiting.popleft()
                if isinstance(item, BatchBlock):
                    self._reading, self._read = item, 0
                elif isinstance(item, _FinishedEpoch):
                    made.append(line(item.record()))
                else:
                    item["window"] = self._windows.state()
            if len(made) >= AT_ONCE:
                self._metrics.append(b"".join(made))
                made.clear()
        self._metrics.append(b"".join(made))

    # What a checkpoint has to know, and how a resume begins.

    def state(self) -> LogState:
        """What belongs into a checkpoint of now.

        It is complete, and all that was noted before it is written, once `flush` has returned;
        then a checkpoint with this in it is not ahead of the log when the process is killed
        (`flush(sync=True)`: the machine, too).
        """
        state: LogState = {
            "batches_done": self._block.last,
            "epochs": self._epochs,
            "elapsed": perf_counter() - self._zero,
            "window": {},
        }
        self._put(state)
        return state

    def restore(self, state: LogState, *, rewinding: bool = False) -> int:
        """Go back to where the log was at `state`: later records are cut off.

        Args:
            state: what `state` gave, in this process or an earlier one.
            rewinding: within one run: `elapsed` goes on instead of going back.

        Returns:
            How many batches before `state` metrics.jsonl lacks: 0, unless it is not the run's.

        Raises:
            OSError: the file can't be read or cut.
            KeyError, TypeError, ValueError: it is no such state.
        """
        done, epochs = int(state["batches_done"]), int(state["epochs"])
        with self._draining:
            self._drain()
            _, last = self._metrics.cut_back(lambda record: _belongs(record, done, epochs))
            self._windows.restore(state["window"])
            self._begin(done)
            self._epochs = epochs
            if not rewinding:
                self._zero = perf_counter() - float(state["elapsed"])
            return max(done - self._windows.batches - (last["batches_done"] if last else 0), 0)

    def put_back(self) -> list[str]:
        """The files that had lost their names and were put back; see `LogFile.put_back`."""
        return [file.path.name for file in (self._metrics, self._events) if file.put_back()]

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


def _belongs(record: LogRecord, batches_done: int, epochs: int) -> bool:
    """Whether a record was written before a checkpoint of so many batches and epochs."""
    done, epoch = record.get("batches_done"), record.get("epoch")
    if not isinstance(done, int) or not isinstance(epoch, int):
        return False
    if record.get("type") == "epoch":
        return epoch <= epochs
    return done <= batches_done and not record.get("partial")
