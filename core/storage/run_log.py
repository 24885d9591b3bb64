"""The log of a run: a listener that writes what happens, at next to no cost to the training."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from ..protocol.snapshot import Change, EpochSummary
from .block import Block
from .log_file import LogFile, Record, line
from .log_text import Span
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


class RunLog:
    """Writes metrics.jsonl and events.jsonl; `storage.logfields` tells what is in them.

    `batches`, `epoch`, `change` and `state` belong to the training thread, which only notes plain
    numbers: a thread of the log's own has them formatted and writes them. None of these four
    raises because of the disk; `error` tells.

    Args:
        metrics: path of metrics.jsonl.
        events: path of events.jsonl.
        higher_is_better: of the task's own metric.
        every: batches logged one by one, see `storage.windows`.
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
        self._waiting: deque[tuple[int, Block | Epoch | State]] = deque()
        """Blocks, epochs, and states to be completed, each with how many batches the block in
        front of it had by then."""
        self._begin(batches_done=0)
        self._draining = threading.Lock()
        self._zero = perf_counter()
        self._closing = threading.Event()
        self._writer = threading.Thread(
            target=self._write, args=(interval,), name="fivestep-log", daemon=True
        )
        self._writer.start()

    def _begin(self, batches_done: int) -> None:
        """Know of no batch behind these."""
        self._block = Block(0, 0, batches_done + 1, math.nan)
        """The block that is filled."""
        self._told = 0
        """Batches in the blocks before that."""
        self._taking, self._at = self._block, 0
        """The block that batches are taken out of, and how many were."""
        self._taken = 0
        """Batches taken out of all blocks."""

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

    @property
    def waiting(self) -> int:
        """Batches that are still to be put into words."""
        return self._told + len(self._block.times) - self._taken

    # What the training thread tells.

    def batches(self, block: Block) -> None:
        """The next batches will be in this block, in order."""
        self._tell(block)
        self._told += len(self._block.times)
        self._block = block
        if self.waiting > BACKLOG:
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
        elapsed = perf_counter() - self._zero
        self._tell(Epoch(summary, self._best, self._best_val_loss, elapsed))

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
        done = self._block.last
        record = {"type": kind, "time": time.time(), "batches_done": done, "text": text}
        self._events.append(line(record | fields))

    def _tell(self, one: Block | Epoch | State) -> None:
        self._waiting.append((len(self._block.times), one))

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
        if self._wording.can_engage and self.waiting >= FAST * seconds:
            with self._draining:
                self._wording.engage(self._block.last)

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
            losses, times, told = self._take(wording.at_once)
            if not losses and len(told) == 1:
                return
            last = self._taking.batches_done + self._at - 1
            self._metrics.append(wording.text(losses, times, told, last))
            if wording.scribe is not None:  # many lines, which need not be kept
                self._metrics.flush()

    def _take(
        self, most: int
    ) -> tuple[list[float], list[float], list[tuple[int, Span | Epoch | State]]]:
        """The next batches, and what stands between them; no lock keeps the training waiting."""
        block, at, waiting = self._taking, self._at, self._waiting
        losses: list[float] = []
        times: list[float] = []
        told: list[tuple[int, Span | Epoch | State]] = [(0, self._span(block, at))]
        while True:
            # What is told from here on stands behind these batches.
            there = len(block.times)
            follows = bool(waiting)
            end = waiting[0][0] if follows else there
            stop = min(end, at + most - len(losses))
            losses += block.losses[at:stop]
            times += block.times[at:stop]
            at = stop
            if at < end or not follows:
                break
            _, one = waiting.popleft()
            if isinstance(one, Block):
                block, at = one, 0
                told.append((len(losses), self._span(block, at)))
            else:
                told.append((len(losses), one))
        self._taking, self._at = block, at
        self._taken += len(losses)
        return losses, times, told

    def _span(self, block: Block, at: int) -> Span:
        """A block from one of its batches on."""
        whole = Span(block.epoch, block.batch, block.batches_done, block.lr, self._zero)
        return whole.onward(at)

    # What a checkpoint has to know, and how a resume begins.

    def state(self) -> State:
        """What belongs into a checkpoint of now: plain numbers, lists and dicts.

        It is complete, and all that was told so far is written, once `flush` has returned; then
        a checkpoint with this in it is not ahead of the log when the process is killed
        (`flush(sync=True)`: the machine, too).
        """
        state: State = {
            "batches_done": self._block.last,
            "epochs": self._epochs,
            "elapsed": perf_counter() - self._zero,
            "window": {},
            "best": self._best and list(self._best),
            "best_val_loss": self._best_val_loss,
        }
        self._tell(state)
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
            self._begin(done)
            self._epochs = epochs
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
