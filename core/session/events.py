"""Where a GPU's time goes: events in its own queue, read later, never waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, Protocol

import torch

from ..protocol.steps import Step

IN_FLIGHT: Final = 2
"""Batches measured at once. A queue that runs far ahead is thereby sampled, not slowed."""


class Event(Protocol):
    """What is used of `torch.cuda.Event`."""

    def record(self) -> None:
        """Enter the queue."""

    def query(self) -> bool:
        """Whether the device has passed this point."""

    def elapsed_time(self, end_event: Any) -> float:
        """Milliseconds from this event to a later one, both passed."""


def _cuda_event() -> Event:
    event: Event = torch.cuda.Event(enable_timing=True)
    return event


class EventClock:
    """Measures phases on the device, from one gate's event to the next one's.

    The host only queues work, so its own clock would show how long queueing took.
    """

    def __init__(self, make_event: Callable[[], Event] = _cuda_event) -> None:
        self.spent = [0.0] * len(Step)
        """Seconds per phase, over the batches that were measured."""
        self.batches = 0
        """Training batches measured."""
        self._make_event = make_event
        self._pool: list[Event] = []
        self._current: list[tuple[Step, Event]] = []
        self._waiting: deque[list[tuple[Step, Event]]] = deque()

    def gate(self, step: Step) -> None:
        """The loop is about to take `step`."""
        if step is Step.DATA or step is Step.VALIDATE:
            self._close(step)
        elif self._current:
            self._current.append((step, self._record()))

    def _close(self, step: Step) -> None:
        self.read()
        if self._current:
            self._current.append((step, self._record()))
            self._waiting.append(self._current)
        self._current = [(step, self._record())] if len(self._waiting) < IN_FLIGHT else []

    def _record(self) -> Event:
        event = self._pool.pop() if self._pool else self._make_event()
        event.record()
        return event

    def read(self) -> None:
        """Take in every measured batch that the device has passed."""
        while self._waiting and self._waiting[0][-1][1].query():
            gates = self._waiting.popleft()
            for (step, begin), (_, end) in pairwise(gates):
                self.spent[step] += begin.elapsed_time(end) / 1000
            self.batches += gates[0][0] is Step.DATA
            self._pool += [event for _, event in gates]
