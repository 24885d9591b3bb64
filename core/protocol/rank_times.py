"""What each of several processes that train one model is doing, and how long each of them waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final, Self

from .steps import Step

WINDOW: Final = 5.0
"""Seconds that times and shares are means over."""
MOST_ROWS: Final = 8
"""Ranks that are shown one by one; of more the slowest, the fastest and those between."""
ORDER: Final = (
    Step.VALIDATE,
    Step.DATA,
    Step.ZERO_GRAD,
    Step.FORWARD,
    Step.LOSS,
    Step.BACKWARD,
    Step.CLIP,
    Step.UPDATE,
    Step.OTHER,
)
"""The steps as a batch takes them, behind the validation before it."""


@dataclass(frozen=True, slots=True)
class RankNow:
    """What one rank is doing. It is read from outside: the rank does nothing for it."""

    rank: int
    host: str
    process: int
    """Its number on that host; 0 before it has answered, and where nobody can ask it: on another
    machine than the first rank's."""
    step: Step
    seconds: float
    """For which it has been in this step."""
    batches_done: int
    spent: tuple[float, ...]
    """Seconds in each phase since the start, the running one up to now; one entry a Step."""
    timed: int
    """Batches that `spent` was measured over."""
    silent: float = 0.0
    """Seconds since its last answer, of which all this is; 0 while it answers."""

    @property
    def unseen(self) -> bool:
        """Whether it runs on a machine where nobody can ask it."""
        return not self.process and not self.silent

    @property
    def place(self) -> tuple[int, int]:
        """How far it has come: of two ranks the one with the smaller place is behind."""
        return self.batches_done, ORDER.index(self.step)


@dataclass(frozen=True, slots=True)
class RankTimes:
    """Where a rank's time has gone in the last seconds, in seconds a batch."""

    now: RankNow
    seconds: float | None = None
    """Of the whole batch, without validation; None before there was one."""
    phases: tuple[float, ...] = (0.0,) * len(Step)
    waits: float = 0.0
    """Of its backward pass, what another rank's takes less: there gradients are exchanged, and
    whoever comes first waits. Inferred: ranks of one kind compute equally long."""

    @property
    def data_share(self) -> float:
        """Of its time, what it waits for data; 0 to 1."""
        return self.phases[Step.DATA] / self.seconds if self.seconds else 0.0

    @property
    def waits_share(self) -> float:
        """Of its time, what it waits for other ranks; 0 to 1, inferred."""
        return self.waits / self.seconds if self.seconds else 0.0

    @property
    def own(self) -> float:
        """Seconds that it takes for a batch when it waits for no other rank."""
        return (self.seconds or 0.0) - self.waits


class RankWatch:
    """Makes times of the last seconds from what ranks were seen doing."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, tuple[RankNow, ...]]] = deque()
        self.times: tuple[RankTimes, ...] = ()
        """One for each rank, in order; empty in a run of one process."""

    def take(self, ranks: tuple[RankNow, ...], clock: float, window: float = WINDOW) -> Self:
        """Take in what they do at this moment (`time.perf_counter`).

        Args:
            ranks: in order.
            clock: seconds of a clock that only goes forward.
            window: how many of the last seconds count.
        """
        seen = self._seen
        if not seen or len(seen[0][1]) != len(ranks) or not all(map(_follows, seen[0][1], ranks)):
            seen.clear()
        if ranks:
            if not seen or clock - seen[-1][0] >= window / 50:
                seen.append((clock, ranks))
            while len(seen) > 2 and clock - seen[1][0] >= window:
                seen.popleft()
        before = seen[0][1] if seen else ()
        self.times = _without_waiting(
            tuple(_times(old, new) for old, new in zip(before, ranks, strict=True))
        )
        return self


def _follows(old: RankNow, new: RankNow) -> bool:
    """Whether all that one has spent lies behind the other: the run may have gone back, and its
    clock with it; or this rank had not answered yet.
    """
    later = all(after >= before for after, before in zip(new.spent, old.spent, strict=True))
    return later and new.process == old.process and new.timed >= old.timed


def _times(old: RankNow, new: RankNow) -> RankTimes:
    batches = new.timed - old.timed
    spent = [after - before for after, before in zip(new.spent, old.spent, strict=True)]
    if batches <= 0:
        return RankTimes(new)
    total = sum(spent) - spent[Step.VALIDATE]
    return RankTimes(new, total / batches, tuple(second / batches for second in spent))


def _without_waiting(times: tuple[RankTimes, ...]) -> tuple[RankTimes, ...]:
    """The same, with what each waits for the others, as far as they can be seen."""
    least = min((one.phases[Step.BACKWARD] for one in times if one.seconds), default=0.0)
    return tuple(
        replace(one, waits=one.phases[Step.BACKWARD] - least) if one.seconds else one
        for one in times
    )


def slowest(times: tuple[RankTimes, ...]) -> RankTimes | None:
    """The rank that the others wait for, or would; None before it can be told."""
    return max((one for one in times if one.seconds), key=lambda one: one.own, default=None)


def shown(times: tuple[RankTimes, ...]) -> tuple[RankTimes, ...]:
    """Those worth a row, in order: all of a few; of many the slowest, the fastest, the median, and
    those that stand out.
    """
    if len(times) <= MOST_ROWS:
        return times
    by_speed = sorted(times, key=lambda one: one.own)
    median = by_speed[len(by_speed) // 2]
    away = sorted(times, key=lambda one: (one.now.silent, abs(one.own - median.own)), reverse=True)
    chosen = [by_speed[-1], by_speed[0], median, *away]
    numbers = list(dict.fromkeys(one.now.rank for one in chosen))[:MOST_ROWS]
    return tuple(one for one in times if one.now.rank in numbers)
