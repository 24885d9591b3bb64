"""Gradients judged in hindsight, where batches come too fast for a look at each.

Whatever an update does with a NaN or an infinity, something of it stays in the weights: one look
at these answers for every batch before. When it is not good, or a loss isn't, the run goes back to
its last good state, which is kept in memory, and comes again, bit for bit, with a look at every
batch. The first bad gradient is then met where it would have been met all along: before any
weight has met it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final

from .data import TensorBatches
from .fused import OPTIMIZERS
from .nonfinite import FiniteCheck, NonFiniteError
from .runlog import RunLog
from .state import Parts, take_state
from .training import Training

FAST: Final = 1000
"""Batches a second from which on not each of them is looked at: a look takes up to 10 µs."""
FIRST: Final = 0.05
"""Seconds in which it is seen how fast batches come."""
PERIOD: Final = 0.5
"""Seconds from one good state to the next, at least; so far a run may have to go back."""
COST: Final = 300
"""The next one is taken after this many times what the last one took, if that is longer."""


def possible(training: Training) -> bool:
    """Whether its batches can be trained again, bit for bit, and no NaN or infinity gets lost:
    these optimizers carry all they are given on, which clipping, say, would not.
    """
    return (
        training.repeatable
        and isinstance(training.batches, TensorBatches)
        and type(training.optimizer) in OPTIMIZERS.values()
        and training.device.type == "cpu"
        and not training.compile
        and training.amp is None
        and training.clip_norm is None
        and training.accumulate == 1
    )


class Hindsight:
    """The last good state of a run. Only the training thread touches it.

    Args:
        parts: the run's state.
        log: is taken back with it.
        wanted: a NaN or an infinity matters to the run.
    """

    def __init__(self, parts: Parts, log: RunLog | None, *, wanted: bool) -> None:
        self.state: dict[str, Any] | None = None
        """To go back to; None while every batch is looked at."""
        self.due = 0.0 if wanted and possible(parts.training) else math.inf
        """When `advance` is to be called (`time.perf_counter`)."""
        self._parts, self._log = parts, log
        self._check = FiniteCheck(parts.training.device)
        self._until: tuple[int, int] | None = None
        self._since: tuple[float, int] | None = None

    @property
    def catching_up(self) -> bool:
        """Whether the run is on its way back to where it had been already."""
        return self._until is not None

    def advance(self, *, alone: bool) -> None:
        """Between two batches of an epoch: answer for those until now, and remember them.

        Args:
            alone: nobody looks into the batches or breaks them: the loop is the plain one.

        Raises:
            NonFiniteError: the weights are not good any more.
        """
        self.verify()
        here, done = perf_counter(), self._parts.progress.batches_done
        since, self._since = self._since, (here, done)
        fast = since is not None and done - since[1] > FAST * (here - since[0])
        if alone and fast and self._good():
            self.state = take_state(self._parts) | {"log": self._log and self._log.state()}
            now = perf_counter()
            self.due = now + max(PERIOD, COST * (now - here))
        else:
            self.state = None
            self.due = here + (FIRST if since is None else PERIOD)

    def remember(self, state: Mapping[str, Any]) -> None:
        """A state was taken to be saved, of good weights: the run need not go back behind it."""
        if self.state is not None:
            self.state = {**state, "log": self._log and self._log.state()}

    def verify(self) -> None:
        """Answer for all batches until now, if they were not looked at one by one.

        Raises:
            NonFiniteError: one of them has spoiled the weights.
        """
        if self.state is not None and not self._good():
            raise NonFiniteError("the weights hold NaN or infinity, noticed in hindsight")

    def _good(self) -> bool:
        groups = self._parts.training.optimizer.param_groups
        # As `data`, so that no graph under way takes them for changed; nothing but NaN changes.
        self._check.look([p.data for group in groups for p in group["params"]])
        return not self._check.taken()

    def forget(self) -> None:
        """Look at every batch for a while: what was trained so far will not come again."""
        if self.due < math.inf:
            self.state = self._since = None
            self.due = perf_counter()
            self._arrive()

    def go_back(self) -> dict[str, Any] | None:
        """The state that the run has to go back to in order to look; None if it has looked."""
        state, self.state = self.state, None
        if state is None:
            self._arrive()
        else:
            at = self._parts.progress
            self._until, self._since = (at.epoch, at.batches_done), None
            self.due = 0.0  # `caught_up` tells when
            self._parts.record.quiet = True
        return state

    def caught_up(self) -> None:
        """Behind a batch or an epoch: see whether the run is where it was."""
        at = self._parts.progress
        if self._until is not None and (at.epoch, at.batches_done) >= self._until:
            self._arrive()
            self.due = perf_counter() + PERIOD

    def _arrive(self) -> None:
        self._until = None
        self._parts.record.quiet = False
