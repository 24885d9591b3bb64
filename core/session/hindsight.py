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

from ..protocol.steps import Step
from ..storage.run_log import RunLog
from ..training.data import TensorBatches
from ..training.fused import OPTIMIZERS
from ..training.nonfinite import FiniteCheck, NonFiniteError
from ..training.training import Training
from .probes import Probes
from .readings import Readings
from .state import Parts, take_state

FAST: Final = 1000
"""Batches a second from which on not each of them is looked at: a look takes up to 10 µs."""
FIRST: Final = 0.05
"""Seconds in which it is seen how fast batches come."""
PERIOD: Final = 1.0
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
        gauges: look at gradients, where they are to be looked at.
        lookout: while it is active, every batch is looked at.
        log: is taken back with the run.
    """

    def __init__(
        self, parts: Parts, readings: Readings, probes: Probes, log: RunLog | None
    ) -> None:
        self.due = 0.0 if readings.checks and possible(parts.training) else math.inf
        """When `batch_done` is to be called in the middle of an epoch (`time.perf_counter`)."""
        self._parts, self._readings, self._probes, self._log = parts, readings, probes, log
        self._state: dict[str, Any] | None = None
        """To go back to; None while every batch is looked at."""
        self._check = FiniteCheck(parts.training.device)
        self._until: tuple[int, int] | None = None
        self._since: tuple[float, int] | None = None

    @property
    def catching_up(self) -> bool:
        """Whether the run is on its way back to where it had been already."""
        return self._until is not None

    @property
    def checks(self) -> bool:
        """Whether the gradients of the next batch are to be looked at."""
        return self._readings.checks and self._state is None

    def batch_done(self, step: Step) -> None:
        """Behind a batch: answer for those until now, when it is due or before their weights are
        judged.

        Args:
            step: comes next: data, or something else behind an epoch's last batch.

        Raises:
            NonFiniteError: the weights are not good any more.
        """
        if self.catching_up:
            self.caught_up()
        elif step is Step.DATA:
            self.verify()
            self._advance()
        elif self._parts.training.validation is not None:
            self.verify()

    def _advance(self) -> None:
        """Take the run's state, between two batches that are good, if batches come fast."""
        here, done = perf_counter(), self._parts.progress.batches_done
        since, self._since = self._since, (here, done)
        fast = since is not None and done - since[1] > FAST * (here - since[0])
        looked_into = self._probes.active or self._parts.progress.faults
        # Weights that are bad from the start would always look as if a batch had been.
        if fast and not looked_into and (self._state is not None or self._good()):
            self._keep(take_state(self._parts))
            now = perf_counter()
            self.due = now + max(PERIOD, COST * (now - here))
        else:
            self._state = None
            self.due = here + (FIRST if since is None else PERIOD)

    def remember(self, state: Mapping[str, Any]) -> None:
        """A state was taken to be saved, of good weights: the run need not go back behind it."""
        if self._state is not None:
            self._keep(state)

    def _keep(self, state: Mapping[str, Any]) -> None:
        self._state = {**state, "log": self._log and self._log.state()}

    def verify(self) -> None:
        """Answer for all batches until now, if they were not looked at one by one.

        Raises:
            NonFiniteError: one of them has spoiled the weights.
        """
        if self._state is not None and not self._good():
            raise NonFiniteError("the weights hold NaN or infinity, noticed in hindsight")

    def _good(self) -> bool:
        groups = self._parts.training.optimizer.param_groups
        # As `data`, so that no graph under way takes them for changed; nothing but NaN changes.
        self._check.look([p.data for group in groups for p in group["params"]])
        return not self._check.taken()

    def settle(self, step: Step) -> None:
        """Look at everything that nobody has looked at: a command is about to change the training.

        Args:
            step: the gate that the command has come to.

        Raises:
            NonFiniteError: it is not good.
        """
        if self._state is None:
            return
        self.verify()
        self.forget()
        if step is Step.UPDATE:
            self._readings.check_gradients()

    def forget(self) -> None:
        """Look at every batch for a while: what was trained so far will not come again."""
        if self.due < math.inf:
            self._state = self._since = None
            self.due = perf_counter()
            self._arrive()

    def go_back(self) -> dict[str, Any] | None:
        """The state that the run has to go back to in order to look; None if it has looked."""
        state, self._state = self._state, None
        if state is None:
            self._arrive()
        else:
            progress = self._parts.progress
            self._until, self._since = (progress.epoch, progress.batches_done), None
            self.due = 0.0  # `caught_up` tells when
            self._parts.record.hush(True)
        return state

    def caught_up(self) -> None:
        """Behind a batch or an epoch: see whether the run is where it was."""
        progress = self._parts.progress
        if self._until is not None and (progress.epoch, progress.batches_done) >= self._until:
            self._arrive()
            self.due = perf_counter() + PERIOD

    def _arrive(self) -> None:
        self._until = None
        self._parts.record.hush(False)
