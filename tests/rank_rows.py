"""Ranks that are not there: what each of them would be doing after some seconds of training."""

from __future__ import annotations

from dataclasses import replace

from fivestep.core.protocol.rank_times import RankNow, RankTimes, RankWatch
from fivestep.core.protocol.steps import Step

BATCH = 0.01
"""Seconds of a batch."""
EVEN = {Step.DATA: 0.02, Step.FORWARD: 0.3, Step.BACKWARD: 0.58, Step.UPDATE: 0.1}
"""Shares of a batch of a rank that waits for nobody."""


def rank(number: int, shares: dict[Step, float] = EVEN, **changes: object) -> RankNow:
    """A rank after 400 batches whose time went like this."""
    facts = {
        "step": Step.BACKWARD, "seconds": 0.002, "batches_done": 400, "silent": 0.0, **changes
    }  # fmt: skip
    done = facts["batches_done"]
    assert isinstance(done, int)
    spent = tuple(shares.get(step, 0.0) * BATCH * done for step in Step)
    return RankNow(rank=number, host="here", process=number + 1, spent=spent, timed=done, **facts)  # type: ignore[arg-type]


def late_data(number: int, share: float = 0.4) -> RankNow:
    """A rank that waits for its data while the others wait for it in their backward passes."""
    shares = {Step.DATA: share, Step.FORWARD: 0.3, Step.BACKWARD: 0.6 - share, Step.UPDATE: 0.1}
    return rank(number, shares)


def before(*ranks: RankNow) -> tuple[RankNow, ...]:
    """The same at the start of the run."""
    return tuple(replace(one, spent=(0.0,) * len(Step), timed=0, batches_done=0) for one in ranks)


def times(*ranks: RankNow) -> tuple[RankTimes, ...]:
    """Where the time of all their batches went."""
    return RankWatch().take(before(*ranks), 0.0).take(ranks, 4.0).times
