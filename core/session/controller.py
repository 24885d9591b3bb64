"""What a person's commands mean for a run: the state behind the session's gates."""

from __future__ import annotations

import math
from typing import Any, Literal

from ..protocol.commands import (
    Advance,
    Command,
    KeepGoing,
    Note,
    Pause,
    Resume,
    Save,
    ScaleLR,
    SetBreakpoints,
    SetFault,
    SetSpeed,
    Show,
    Stop,
    Undo,
    Validate,
)
from ..protocol.conditions import ConditionError
from ..protocol.faults import LR_FACTOR, Fault
from ..protocol.steps import INSIDE_BATCH, Step
from ..training.loop import NOT_SCALED
from ..training.lr import LearningRate
from ..training.progress import Progress
from .breakpoints import Breakpoints
from .recorder import Recorder
from .state import RunState, take_state


class Controller:
    """Applies commands and answers, at a gate: hold here? stop here? Only the session's thread
    touches it.
    """

    def __init__(
        self, progress: Progress, rate: LearningRate, record: Recorder, breaks: Breakpoints
    ) -> None:
        self._progress, self._rate, self._record, self._breaks = progress, rate, record, breaks
        self.paused = False
        self.speed: float | None = None
        """Phases per second in slow motion; None is full speed."""
        self.faults = progress.faults
        """What is to be wrong with the loop from the next batch on."""
        self.undo_now = False
        self.show = Show()
        """What somebody looks at."""
        self.stopping: Literal["batch", "epoch"] | None = None
        self.stop_reason = ""
        self.validate_now = False
        self.save_now: Literal["asked", "due"] | None = None
        """A checkpoint is to be saved once no batch is under way."""
        self._advancing: Literal["phase", "batch", "epoch"] | None = None
        self._advanced_from = self._place()
        self._slow_left = 0.0
        self.alert = False
        """Whether every gate must be attended, not only those that something was sent to."""

    def apply(self, command: Command) -> None:
        """Take in one command; a face may send any at any time."""
        match command:
            case Pause():
                if not self.paused:
                    self._note("paused", "pause")
                self.paused, self._advancing = True, None
            case Resume():
                if self.paused:
                    self._note("resumed", "resume")
                self._go()
            case Advance(unit):
                self._go()
                self._advancing, self._advanced_from = unit, self._place()
            case SetSpeed(speed):
                if speed != self.speed:
                    pace = "full speed" if speed is None else f"slow motion, {speed:g} phases/s"
                    self._note(pace, "speed")
                    self.speed = speed
                    self._slow_left = 0.0 if speed is None else 1 / speed
            case ScaleLR(factor):
                by = factor / self._rate.factor
                self._rate.scale(factor)
                sign = f"×{by:.4g}" if by >= 1 else f"÷{1 / by:.4g}"
                self._note(f"lr {sign} by hand → {self._rate.lr:.3g}", "lr")
            case Validate():
                self._note("validation asked for", "validate")
                self.validate_now = True
            case Save():
                self.save_now = "asked"
            case SetFault(fault, on):
                self.faults = self.faults | {fault} if on else self.faults - {fault}
            case Undo():
                self.undo_now = True
            case SetBreakpoints(conditions):
                self._set_breakpoints(conditions)
            case Show():
                self.show = command
            case Note(text):
                self._note(text, "warning")
            case Stop(reason, after):
                self._note(f"stop after this {after}", "stop")
                self.stopping, self.stop_reason = after, reason
                self._go()
            case KeepGoing():
                if self.stopping is not None:
                    self._note("going on after all", "stop")
                self.stopping = None
        self.settle()

    def _go(self) -> None:
        self.paused, self._advancing = False, None

    def break_here(self, text: str, *, stop: bool) -> None:
        """A breakpoint has fired: hold, or stop once no batch is under way."""
        self._note(text, "break")
        if stop:
            self.stopping, self.stop_reason = "batch", text
            self._go()
        else:
            self.paused, self._advancing = True, None
        self.settle()

    def _set_breakpoints(self, conditions: tuple[str, ...]) -> None:
        try:
            self._breaks.set(conditions)
        except ConditionError as error:
            self._note(f"no breakpoint was set: {error}", "warning")
        else:
            told = "; ".join(conditions)
            self._note(f"breakpoint: {told}" if told else "no breakpoint", "breakpoints")

    def _note(self, text: str, kind: str) -> None:
        self._record.change(self._progress, text, kind)

    def _place(self) -> tuple[int, int, int]:
        return self._progress.epoch, self._progress.batches_done, self._progress.val_batch

    def ask_to_save(self) -> None:
        """The next checkpoint is due."""
        self.save_now = self.save_now or "due"
        self.settle()

    def settle(self) -> None:
        """Tell the gates whether they have to be attended."""
        self.alert = bool(
            self.paused
            or self._advancing
            or self.speed is not None
            or self.stopping
            or self.validate_now
            or self.save_now
            or self.undo_now
            or self.faults != self._progress.faults
        )

    def arrive(self) -> None:
        """The session is at a new gate: start its slow-motion delay, end a single step."""
        self._slow_left = 0.0 if self.speed is None else 1 / self.speed
        now, then = self._place(), self._advanced_from
        if (
            (self._advancing == "phase")
            or (self._advancing == "batch" and now[1:] != then[1:])
            or (self._advancing == "epoch" and now[0] != then[0])
        ):
            self.paused, self._advancing = True, None
            self.settle()

    def hold(self) -> float | None:
        """How long to hold here: infinity while paused, seconds in slow motion, None to go on."""
        if self.paused:
            return math.inf
        if self._slow_left > 0 and not self.stopping:
            return self._slow_left
        return None

    def held(self, seconds: float) -> None:
        """The session has held for this long."""
        self._slow_left -= seconds

    def must_stop(self, step: Step) -> bool:
        """Whether to end the run here: asked for, and no batch is under way."""
        return self.stopping == "batch" and step not in INSIDE_BATCH

    def epoch_ended(self) -> None:
        """An epoch is over: a stop after it is due before the next batch."""
        if self.stopping == "epoch":
            self.stopping = "batch"


class FaultInjection:
    """Turns switches between two batches. Only the training thread touches it."""

    def __init__(self, parts: RunState, controller: Controller) -> None:
        self.before: dict[str, Any] | None = None
        """The run's state from before anything was broken; None if nothing is."""
        self.relays = False
        """Whether another loop is to go on with the next batch."""
        self._parts, self._controller = parts, controller

    def fault(self, log: dict[str, Any] | None) -> None:
        """Make the loop what the steering wants, from the next batch on.

        Args:
            log: where the run's log is, for the way back.
        """
        progress, rate = self._parts.progress, self._parts.rate
        wanted, now = self._controller.faults, progress.faults
        if self._parts.training.scaler.is_enabled():
            self._controller.faults = now
            self._note(NOT_SCALED, "warning")
            return
        if not now:
            self.before = take_state(self._parts) | {"log": log}
        for fault in sorted(wanted - now):
            progress.faults_so_far = (
                *progress.faults_so_far,
                *(() if fault in progress.faults_so_far else (fault,)),
            )
            self._note(f"broken on purpose: {fault.info.label}")
        for fault in sorted(now - wanted):
            self._note(f"mended: {fault.info.label}")
        if Fault.LR_TIMES_100 in wanted ^ now:
            by = LR_FACTOR if Fault.LR_TIMES_100 in wanted else 1 / LR_FACTOR
            rate.scale(rate.factor * by)
        progress.faults = wanted
        self.relays = True

    def undone(self) -> dict[str, Any]:
        """The state from before, once; nothing is broken any more."""
        before, self.before = self.before, None
        assert before is not None
        self._controller.faults = frozenset()
        return before

    def _note(self, text: str, kind: str = "switch") -> None:
        self._parts.record.change(self._parts.progress, text, kind)
