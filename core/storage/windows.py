"""Batches as lines of a log: one by one at first, then in windows that widen with the run."""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import Any, Final

from .log_text import Numbers, Span, batches, finite, seal

EVERY: Final = 100_000
"""Batches logged one by one; the next 900,000 in windows of 10, then 9 million in 100, ..."""
_WINDOW: Final = (
    b'{"type":"window","epoch":%d,"batch":%d,"batches_done":%d,"batches":%d,"loss_min":%a,'
    b'"loss_mean":%a,"loss_max":%a,"bad":%d,"lr":%a,"elapsed":%.6f'
)


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

    def apart(self, last: int) -> bool:
        """Whether each batch up to this one makes a line of its own."""
        return not self.batches and last <= self._every

    def lines(self, span: Span, losses: Numbers, times: Numbers) -> list[bytes]:
        """Lines for batches, see `storage.log_text.batches`; what is left stays in the window."""
        count = len(losses)
        made: list[bytes] = []
        at = 0
        while at < count:
            done = span.batches_done + at
            if self.batches and done > self._end:
                made.append(self._close())
            wide = width(done, self._every)
            end = self._every if wide == 1 else -(-done // wide) * wide
            take = min(count - at, end - done + 1)
            some, ends = losses[at : at + take], times[at : at + take]
            if wide == 1:
                made += batches(span.onward(at), some, ends)
            else:
                self._end = end
                self._add(span.onward(at + take - 1), some, ends[-1])
                if done + take > end:
                    made.append(self._close())
            at += take
        return made

    def _add(self, last: Span, losses: Numbers, ended: float) -> None:
        count, loss = len(losses), losses[-1]
        if not math.isfinite(sum(losses)):
            losses = [loss for loss in losses if math.isfinite(loss)]
        self.batches += count
        self._bad += count - len(losses)
        if losses:
            self._low = min(self._low, *losses)
            self._high = max(self._high, *losses)
            # One after the other, so that the sum is the same however the batches arrive.
            self._total = reduce(add, losses, self._total)
        epoch, batch, done, lr, began = last
        self._last = [epoch, batch, done, loss, lr, ended - began]

    def partial(self) -> bytes | None:
        """A line for the window that is open; None if none is. It stays open."""
        return self._line(b',"partial":true') if self.batches else None

    def _close(self) -> bytes:
        text = self._line()
        self._clear()
        return text

    def _line(self, end: bytes = b"") -> bytes:
        epoch, batch, batches_done, _, lr, elapsed = self._last
        good = self.batches - self._bad
        mean = self._total / good if good else math.nan
        numbers = (epoch, batch, batches_done, self.batches, self._low, mean, self._high)
        return seal(_WINDOW % finite((*numbers, self._bad, lr, elapsed)) + end)

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
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Open the window that `state` told of."""
        self._clear()
        if state:
            self.batches, self._end = int(state["batches"]), int(state["end"])
            self._bad = int(state["bad"])
            self._low, self._high = float(state["low"]), float(state["high"])
            self._total, self._last = float(state["total"]), list(state["last"])
