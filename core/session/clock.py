"""`Clock`: seconds per phase of a run, with pauses and watching kept apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise
from time import perf_counter
from typing import Any, Final, NamedTuple

from torch.cuda import Event

from ..protocol.snapshot import PhaseTime
from ..protocol.steps import Step

IN_FLIGHT: Final = 2
"""Batches measured at once. A queue that runs far ahead is thereby sampled, not slowed."""


class EventClock:
    """Measures phases on the device, from one gate's event to the next one's.

    The host only queues work, so its own clock would show how long queueing took.
    """

    def __init__(self, make_event: Callable[[], Event] = lambda: Event(enable_timing=True)) -> None:
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

    def forget(self) -> None:
        """Drop the batches that are being measured."""
        self._current.clear()
        self._waiting.clear()

    def read(self) -> None:
        """Take in every measured batch that the device has passed."""
        while self._waiting and self._waiting[0][-1][1].query():
            gates = self._waiting.popleft()
            for (step, begin), (_, end) in pairwise(gates):
                self.spent[step] += begin.elapsed_time(end) / 1000
            self.batches += gates[0][0] is Step.DATA
            self._pool += [event for _, event in gates]


WINDOW: Final = 5.0
"""Seconds of training that shares and rates are means over."""
WARM_UP: Final = 1.0
"""Seconds of training before a remaining time is worth saying."""


class _Mark(NamedTuple):
    active: float
    spent: tuple[float, ...]
    timed: int
    training: float
    watched: float
    batches: int
    samples: int


class Clock:
    """Adds up seconds per phase. The session adds to `spent` itself: a gate has no time for calls.

    All times are in seconds of `time.perf_counter`.

    Args:
        events: the device's own clock, for a device that works off a queue; it then measures
            phases, the host still measures rates.
    """

    def __init__(self, events: EventClock | None = None) -> None:
        self.events = events
        self.started = perf_counter()
        self.spent = [0.0] * len(Step)
        """Seconds per phase since the start."""
        self.waited = 0.0
        """Seconds spent paused, or held back by slow motion."""
        self.watched = 0.0
        """Seconds spent at gates on pictures, samples and commands."""
        self._marks: deque[_Mark] = deque()
        self.start()

    def start(self) -> None:
        """Begin counting from now."""
        self.started = perf_counter()
        self._marks.clear()
        self._marks.append(self._mark(0.0, 0, 0))

    def state(self) -> dict[str, Any]:
        """What has been counted so far."""
        return {
            "elapsed": self.elapsed,
            "waited": self.waited,
            "watched": self.watched,
            "spent": list(self.spent),
        }

    def restore(self, state: dict[str, Any], batches: int, samples: int) -> None:
        """Go on counting from `state`; rates and shares begin anew, at these counts."""
        self.started = perf_counter() - state["elapsed"]
        self.waited, self.watched = state["waited"], state["watched"]
        spent = state["spent"]
        self.spent[: len(spent)] = spent  # an older version knew fewer phases
        self.forget_rates(batches, samples)

    def forget_rates(self, batches: int, samples: int) -> None:
        """Take rates and shares from here on: the counts are others than they were."""
        self._marks.clear()
        self._marks.append(self._mark(self.active, batches, samples))

    def counted(self, running: Step, since: float) -> tuple[float, ...]:
        """Seconds so far of each phase, the running one up to now, of watching and of waiting. Any
        thread may ask.
        """
        spent = list(self.spent)
        spent[running] += perf_counter() - since
        return *spent, self.watched, self.waited

    def measured(self, running: Step, since: float, batches: int) -> tuple[tuple[float, ...], int]:
        """Seconds so far of each phase, and the batches that they were measured over: on the
        device's own clock, if it has one. Any thread may ask.

        Args:
            running: the phase that runs.
            since: since when (`time.perf_counter`).
            batches: done so far.
        """
        if self.events is not None:
            return tuple(self.events.spent), self.events.batches
        return self.counted(running, since)[: len(Step)], batches

    def leave_out(self, seconds: float, before: tuple[float, ...]) -> None:
        """Count seconds in which the process was stopped as waiting. They are in whatever has grown
        most since `before`, as `counted` gave it then.
        """
        now = [*self.spent, self.watched, self.waited]
        grown = [new - old for new, old in zip(now, before, strict=True)]
        most = grown.index(max(grown))
        out = min(seconds, grown[most])
        if most < len(Step):
            self.spent[most] -= out
        elif most == len(Step):
            self.watched -= out
        else:
            return  # the run was held: it was waiting all the while
        self.waited += out
        if self.events is not None:
            self.events.forget()

    @property
    def elapsed(self) -> float:
        """Wall time since the start."""
        return perf_counter() - self.started

    @property
    def active(self) -> float:
        """Wall time without pauses and slow motion."""
        return self.elapsed - self.waited

    def mark(self, batches: int, samples: int) -> None:
        """Remember the counts now, so that rates and shares are those of the last seconds."""
        now = self.active
        if now - self._marks[-1].active > WINDOW / 50 or len(self._marks) == 1:
            self._marks.append(self._mark(now, batches, samples))
        while len(self._marks) > 2 and now - self._marks[1].active > WINDOW:
            self._marks.popleft()

    def _mark(self, active: float, batches: int, samples: int) -> _Mark:
        spent, timed = self._timed(batches)
        training = self._training()
        return _Mark(active, tuple(spent), timed, training, self.watched, batches, samples)

    def _timed(self, batches: int) -> tuple[list[float], int]:
        """Seconds per phase so far, and the batches that they were measured over."""
        if self.events is None:
            return self.spent, batches
        self.events.read()
        return self.events.spent, self.events.batches

    def phases(self, batches: int) -> tuple[PhaseTime, ...]:
        """Share of the last seconds and mean time per batch, one entry a Step."""
        old = self._marks[0]
        now, timed = self._timed(batches)
        spent = [new - before for new, before in zip(now, old.spent, strict=True)]
        total, done = sum(spent), timed - old.timed
        return tuple(
            PhaseTime(
                step,
                spent[step] / total if total > 0 else 0.0,
                spent[step] / done if done > 0 else None,
            )
            for step in Step
        )

    @property
    def watching(self) -> float | None:
        """Share of the last seconds spent on watching, 0 to 1."""
        old = self._marks[0]
        active = self.active - old.active
        return (self.watched - old.watched) / active if active > 0 else None

    def rates(self, batches: int, samples: int) -> tuple[float | None, float | None]:
        """Batches and samples per second of training and data time over the last seconds."""
        old = self._marks[0]
        training = self._training() - old.training
        if training <= 0 or batches <= old.batches:
            return None, None
        return (batches - old.batches) / training, (samples - old.samples) / training

    def _training(self) -> float:
        return sum(self.spent) - self.spent[Step.VALIDATE]
