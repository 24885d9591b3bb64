"""`Probes`: looks into the batches of a run, for breakpoints and for the front end."""

from __future__ import annotations

import math
from typing import Final, Literal

from ..inspection.batch_facts import batch_facts
from ..inspection.inspector import Inspector
from ..protocol.commands import Show
from ..protocol.conditions import Gate
from ..protocol.diagnosis import VerdictInputs
from ..protocol.inside import Inside
from ..protocol.snapshot import Outcome
from ..protocol.steps import FIVE, Step
from .breakpoints import Breakpoints, BreakReport, values_text
from .controller import Controller, StoppedError
from .readings import Readings
from .state import RunState

SLOW: Final = 10.0
"""Phases per second up to which slow motion counts as held."""


class Probes:
    """Looks into batches at the gates of a run; costs nothing while nobody asks for it. Only the
    training thread touches it.

    Args:
        run: the run's state.
        controller: holds or stops the run where a breakpoint fires.
        readings: compute a gradient norm where a breakpoint needs one.
        breakpoints: the conditions to check.
        stops: a breakpoint ends the run, instead of holding it.
    """

    def __init__(
        self,
        run: RunState,
        controller: Controller,
        readings: Readings,
        breakpoints: Breakpoints,
        *,
        stops: bool,
    ) -> None:
        self.breakpoints = breakpoints
        self.active = True
        """Whether `at_gate` must be called."""
        self._first = True
        """Whether no batch was looked at yet."""
        self.report: BreakReport | None = None
        """Where a breakpoint has ended the run."""
        self._run, self._controller, self._readings = run, controller, readings
        self._inspector = Inspector(run.training, run.progress, lambda: run.recorder.epochs)
        self._stops = stops
        self._validation_trains: bool | None = None

    def look_at(self, show: Show) -> None:
        """Look at this from now on."""
        self._inspector.take(show)
        self._set_active()

    def _set_active(self) -> None:
        self.active = self._first or self.breakpoints.active or self._inspector.at_gates

    def at_gate(self, step: Step, running: Step, here: float) -> bool:
        """Look at what there is to see after `running` and before `step`.

        Returns:
            Whether a breakpoint has fired.

        Raises:
            StoppedError: a breakpoint ends the run right here: the batch can't be finished.
            UnfitError: at the first batch, what would fail only later.
        """
        if self._first and step in (Step.FORWARD, Step.BACKWARD):
            self._inspector.first_batch(step)
            self._first = step is not Step.BACKWARD
            self._set_active()
        inspector, held = self._inspector, self._controller.lasting
        if running is Step.UPDATE:
            inspector.after_update(here, exact=held)
        elif running is Step.BACKWARD:
            inspector.after_backward()
        fired = running is Step.DATA and step in FIVE and self.check("begin", step)
        if step is Step.BACKWARD:
            fired = self.check("loss", step) or fired
            inspector.before_backward()
        elif step is Step.UPDATE:
            fired = self.check("update", step) or fired
            inspector.before_update(here, every=held)
        elif step is Step.VALIDATE and running is not Step.VALIDATE:
            self._validation_trains = self._run.training.model.training
        return fired

    def check(self, gate: Gate, step: Step) -> bool:
        """Hold or stop the run at a gate where a breakpoint's condition has just become true.

        Returns:
            Whether one has.

        Raises:
            StoppedError: as `at_gate`.
        """
        breakpoints, progress = self.breakpoints, self._run.progress
        if not breakpoints.active:
            return False
        loss = progress.loss.item() if gate == "loss" and progress.loss is not None else None
        norm = self._readings.norm() if gate == "update" and breakpoints.needs_norm else None
        fired = breakpoints.check(gate, loss=loss, norm=norm, lr=self._run.rate.lr)
        if not fired:
            return False
        values = breakpoints.known(fired[0])
        text = f"breakpoint {'; '.join(fired)}" + (f" ({values_text(values)})" if values else "")
        stops = self.hold(fired[0], values, text, step)
        alone = self._controller.ask is None  # else the others would wait in the batch
        if stops and alone and not all(math.isfinite(x) for x in (loss, norm) if x is not None):
            raise StoppedError(clean=False)
        return True

    def hold(
        self,
        condition: str,
        values: tuple[tuple[str, float], ...],
        text: str,
        step: Step,
        kind: Literal["break", "replay"] = "break",
    ) -> bool:
        """Hold the run here, or have it end with a report of what there is to see; whether it ends.

        Args:
            condition, values: see `BreakReport`.
            text, kind: why, for the record.
            step: the one about to be taken.
        """
        progress = self._run.progress
        stops = self._stops and not self._controller.break_holds
        self._controller.break_here(text, kind, stop=stops)
        if stops and self.report is None:
            where = (
                f"epoch {progress.epoch + 1}, batch {progress.batch + 1}, before {step.info.name}"
            )
            layers = self._inspector.layers()
            self.report = BreakReport(condition, values, where, batch_facts(progress), layers)
        return stops

    def inside(self, step: Step, *, held: bool, outcome: Outcome | None) -> Inside:
        """What was asked to be shown, as it is now; `held` while paused."""
        speed = self._controller.speed
        slow = speed is not None and speed <= SLOW
        return self._inspector.inside(step, held=held or slow, outcome=outcome)

    def forget(self) -> None:
        """Drop what was seen: the run goes back to before it."""
        self._inspector.forget()

    def facts(self, *, validation_classes: int | None) -> VerdictInputs:
        """What verdicts need besides a Snapshot."""
        return self._inspector.facts(
            first_loss=self._run.recorder.first_loss,
            validation_trains=self._validation_trains,
            validation_classes=validation_classes,
        )
