"""Breakpoints, and what is shown of the inside of a batch: costs nothing while nobody asks."""

from __future__ import annotations

import math
from typing import Final

from ..inspection.inspector import Inspector, batch_facts
from ..protocol.commands import Control
from ..protocol.conditions import Gate
from ..protocol.diagnosis import Facts
from ..protocol.inside import Inside
from ..protocol.steps import FIVE, Step
from .breakpoints import Breakpoints, BreakReport, told
from .controller import Controller
from .readings import Readings
from .state import RunState

SLOW: Final = 10.0
"""Phases per second up to which slow motion counts as held."""


class StoppedError(Exception):
    """The way out of a loop that was told to stop; no failure.

    `clean` says whether no batch is under way, so that the run can go on from here.
    """

    def __init__(self, *, clean: bool = True) -> None:
        super().__init__()
        self.clean = clean


class UndoneError(Exception):
    """The way out of a loop that is to start again from an earlier state."""


class Probes:
    """Looks into the batches of a run at its gates. Only the training thread touches it.

    Args:
        parts: the run's state.
        steering: is told when a breakpoint has fired.
        gauges: compute a gradient norm where a breakpoint needs one.
        breaks: the breakpoints.
        control: is told to attend to the gate where one has fired.
        stops: a breakpoint ends the run, instead of holding it.
    """

    def __init__(
        self,
        parts: RunState,
        controller: Controller,
        readings: Readings,
        breaks: Breakpoints,
        control: Control,
        *,
        stops: bool,
    ) -> None:
        self.breaks = breaks
        self.active = False
        """Whether gates have to be told."""
        self.report: BreakReport | None = None
        """Where a breakpoint has ended the run."""
        self._parts, self._controller, self._readings = parts, controller, readings
        self._control = control
        self._inspector = Inspector(parts.training, parts.progress)
        self._stops = stops
        self._validation_trains: bool | None = None

    def take_up(self) -> None:
        """See what somebody wants to see from now on."""
        self._inspector.take(self._controller.show)
        self.active = self.breaks.active or self._controller.show.layers

    def at_gate(self, step: Step, running: Step, here: float) -> None:
        """`running` was taken, and `step` is about to be.

        Raises:
            StoppedError: a breakpoint ends the run right here: the batch can't be finished.
        """
        inspector, held = self._inspector, self._controller.alert
        if running is Step.UPDATE:
            inspector.after_update(here, exact=held)
        elif running is Step.DATA and step in FIVE:
            self.judge("begin", step)
        if step is Step.BACKWARD:
            self.judge("loss", step)
        elif step is Step.UPDATE:
            self.judge("update", step)
            inspector.before_update(here, every=held)
        elif step is Step.VALIDATE and running is not Step.VALIDATE:
            self._validation_trains = self._parts.training.model.training

    def judge(self, gate: Gate, step: Step) -> None:
        """Hold or stop at a gate where a breakpoint's condition has just become true.

        Raises:
            StoppedError: as `at_gate`.
        """
        breaks, progress = self.breaks, self._parts.progress
        if not breaks.active:
            return
        loss = progress.loss.item() if gate == "loss" and progress.loss is not None else None
        norm = self._readings.norm() if gate == "update" and breaks.needs_norm else None
        fired = breaks.judge(gate, loss=loss, norm=norm, lr=self._parts.rate.lr)
        if not fired:
            return
        values = breaks.known(fired[0])
        text = f"breakpoint {'; '.join(fired)}" + (f" ({told(values)})" if values else "")
        self._controller.break_here(text, stop=self._stops)
        self._control.attention = True  # this very gate attends to it
        bad = not all(math.isfinite(x) for x in (loss, norm) if x is not None)
        if self._stops and self.report is None:
            where = (
                f"epoch {progress.epoch + 1}, batch {progress.batch + 1}, before {step.info.name}"
            )
            layers = self._inspector.layers()
            self.report = BreakReport(fired[0], values, where, batch_facts(progress), layers)
        if self._stops and bad:
            raise StoppedError(clean=False)

    def inside(self, step: Step, *, held: bool) -> Inside:
        """What somebody wants to see, now; `held` while paused."""
        speed = self._controller.speed
        return self._inspector.inside(step, held=held or (speed is not None and speed <= SLOW))

    def facts(self) -> Facts:
        """What verdicts need besides a Snapshot."""
        return self._inspector.facts(
            first_loss=self._parts.record.first_loss, validation_trains=self._validation_trains
        )
