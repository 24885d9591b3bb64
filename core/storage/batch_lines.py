"""Batches as lines of a log: one by one at first, then in windows that widen with the run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from itertools import chain, repeat
from operator import add
from typing import Any, Final

from ..protocol.record_fields import BATCH, WINDOW, groups_template, template
from .log_file import seal

MOST: Final = 1024
"""Most batches of a block."""
EVERY: Final = 100_000
"""Batches logged one by one; the next 900,000 in windows of 10, then 9 million in 100, ..."""
_BATCH: Final = template("batch", BATCH, ("%d", "%d", "%d", "%a", "%a", "%.6f")).encode()
_NUMBERS: Final = ("%d", "%d", "%d", "%d", "%a", "%a", "%a", "%d", "%a", "%.6f")
_WINDOW: Final = template("window", WINDOW, _NUMBERS).encode()
_PARTIAL: Final = b',"partial":true'


class BatchBlock:
    """Batches in a row, of one epoch, by what the first of them has.

    The training thread adds to it. Another thread may read it meanwhile: there are as many
    batches as there are `times`, which come last.
    """

    __slots__ = (
        "batch", "batches_done", "epoch", "group_lrs", "groups", "losses", "lrs", "times"
    )  # fmt: skip

    def __init__(
        self, epoch: int, batch: int, batches_done: int, groups: tuple[str, ...] = ()
    ) -> None:
        self.epoch, self.batch, self.batches_done = epoch, batch, batches_done
        self.groups = groups
        """The names of the optimizer's parameter groups, where there are several."""
        self.losses: list[float] = []
        self.lrs: list[float] = []
        """The learning rate of each batch's update."""
        self.group_lrs: list[tuple[float, ...]] = []
        """The same for each of several parameter groups."""
        self.times: list[float] = []
        """When each was done (`time.perf_counter`)."""

    @property
    def last(self) -> int:
        """`batches_done` after the last batch in it so far."""
        return self.batches_done + len(self.times) - 1


class _Null:
    """Stands for NaN and infinity, which JSON does not have; `%a` writes it as null."""

    def __repr__(self) -> str:
        return "null"


_NULL: Final = _Null()


def _or_null(numbers: Iterable[float]) -> list[Any]:
    """The numbers, with null for NaN and infinity."""
    return [number if math.isfinite(number) else _NULL for number in numbers]


def batch_lines(block: BatchBlock, start: int, stop: int, zero: float) -> list[bytes]:
    """A line for each of the batches `start` to `stop` of a block; the run started at `zero`."""
    rows = zip(
        repeat(block.epoch),
        range(block.batch + start, block.batch + stop),
        range(block.batches_done + start, block.batches_done + stop),
        _or_null(block.losses[start:stop]),
        _or_null(block.lrs[start:stop]),
        [ended - zero for ended in block.times[start:stop]],
        *([_or_null(lrs) for lrs in zip(*block.group_lrs[start:stop], strict=True)]),
        strict=False,
    )
    line = _BATCH + groups_template(block.groups, "%a").encode() + b"\n"
    # All at once takes half the time of one by one.
    text = line * (stop - start) % tuple(chain.from_iterable(rows))
    return [seal(body) for body in text.split(b"\n")[:-1]]


def width(batches_done: int, every: int = EVERY) -> int:
    """How many batches share the record that holds this one (1 is the first batch)."""
    wide, last = 1, every
    while batches_done > last:
        wide, last = wide * 10, last * 10
    return wide


class Windows:
    """Turns batches into lines. What it gives depends on their numbers alone, never on time or
    on how many are handed over at once.
    """

    def __init__(self, every: int = EVERY) -> None:
        self._every = every
        self._clear()

    def _clear(self) -> None:
        self.batches = 0
        """Batches in the window that is open."""
        self._end = 0
        self._bad = 0
        self._low, self._high, self._total = math.inf, -math.inf, 0.0
        self._last: list[Any] = []
        self._lrs: dict[str, float] = {}

    def lines(self, block: BatchBlock, start: int, stop: int, zero: float) -> list[bytes]:
        """Lines for some batches, as `batch_lines`; what is left stays in the open window."""
        made: list[bytes] = []
        while start < stop:
            done = block.batches_done + start
            if self.batches and done > self._end:
                made.append(self._close())
            wide = width(done, self._every)
            end = self._every if wide == 1 else -(-done // wide) * wide
            upto = min(stop, start + end - done + 1)
            if wide == 1:
                made += batch_lines(block, start, upto, zero)
            else:
                self._end = end
                self._add(block, start, upto, zero)
                if block.batches_done + upto > end:
                    made.append(self._close())
            start = upto
        return made

    def _add(self, block: BatchBlock, start: int, stop: int, zero: float) -> None:
        losses = block.losses[start:stop]
        finite = [loss for loss in losses if math.isfinite(loss)]
        self.batches += len(losses)
        self._bad += len(losses) - len(finite)
        if finite:
            self._low = min(self._low, *finite)
            self._high = max(self._high, *finite)
            # One after the other, so that the sum is the same however the batches arrive.
            self._total = reduce(add, finite, self._total)
        last = stop - 1
        numbers = (block.epoch, block.batch + last, block.batches_done + last, losses[-1])
        self._last = [*numbers, block.lrs[last], block.times[last] - zero]
        self._lrs = (
            dict(zip(block.groups, block.group_lrs[last], strict=True)) if block.groups else {}
        )

    def partial(self) -> bytes | None:
        """A line for the window that is open; None if none is. It stays open."""
        return self._line(_PARTIAL) if self.batches else None

    def _close(self) -> bytes:
        text = self._line()
        self._clear()
        return text

    def _line(self, end: bytes = b"") -> bytes:
        epoch, batch, batches_done, _, lr, elapsed = self._last
        good = self.batches - self._bad
        mean = self._total / good if good else math.nan
        numbers = (epoch, batch, batches_done, self.batches, self._low, mean, self._high)
        values = (*numbers, self._bad, lr, elapsed, *self._lrs.values())
        line = _WINDOW + groups_template(tuple(self._lrs), "%a").encode()
        return seal(line % tuple(_or_null(values)) + end)

    def state(self) -> dict[str, Any]:
        """The window that is open, in plain numbers; empty if none is."""
        if not self.batches:
            return {}
        return {
            "batches": self.batches,
            "end": self._end,
            "bad": self._bad,
            "low": self._low,
            "high": self._high,
            "total": self._total,
            "last": list(self._last),
            "lrs": dict(self._lrs),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Open the window that `state` gave."""
        self._clear()
        if state:
            self.batches, self._end = int(state["batches"]), int(state["end"])
            self._bad = int(state["bad"])
            self._low, self._high = float(state["low"]), float(state["high"])
            self._total, self._last = float(state["total"]), list(state["last"])
            self._lrs = dict(state.get("lrs", {}))
