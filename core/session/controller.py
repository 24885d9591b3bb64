"""`Controller`: what a person has asked of a run, which decides what happens at its gates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Literal

from ..protocol.commands import (
    Advance,
    Command,
    GoBack,
    KeepGoing,
    Note,
    Pause,
    Resume,
    Save,
    ScaleLR,
    Sender,
    Sent,
    SetBreakpoints,
    SetFault,
    SetLR,
    SetSpeed,
    Show,
    Stop,
    Suspended,
    Undo,
    Validate,
)
from ..protocol.conditions import ConditionError
from ..protocol.faults import LR_FACTOR, Fault
from ..protocol.snapshot import Outcome
from ..protocol.steps import INSIDE_BATCH, State, Step
from ..training.lazy import unmade
from ..training.lr import factor_text
from .breakpoints import Breakpoints
from .state import RunState, take_state

NOT_SCALED: Final = (
    "the loop can't be broken under amp fp16: its GradScaler divides what is left in .grad, and "
    "refuses an update without gradients; amp bf16 or off shows it"
)
_ASKED: Final[dict[type, str]] = {
    Pause: "a pause",
    Resume: "going on",
    Save: "a checkpoint",
    Undo: "to undo",
    GoBack: "going back",
    SetFault: "another loop",
    SetSpeed: "another speed",
    Stop: "the end",
    KeepGoing: "going on",
}
"""What a command asks for, where nothing tells what came of it."""
WayOn = Literal["checkpoint", "undo", "stop"]
"""Back to the last good checkpoint, back to before anything was broken on purpose, or no way."""


class StoppedError(Exception):
    """The way out of a loop that was asked to stop; no failure.

    `clean` says whether no batch is under way, so that the run can go on from here.
    """

    def __init__(self, *, clean: bool = True) -> None:
        super().__init__()
        self.clean = clean


class UndoneError(Exception):
    """The way out of a loop whose run goes back to before it was broken on purpose."""


class Controller:
    """The whole state of a gate. Only the training thread touches it."""

    def __init__(self, run: RunState, breakpoints: Breakpoints) -> None:
        self._run, self._breakpoints = run, breakpoints
        self.paused = False
        self.speed: float | None = None
        """Phases per second in slow motion; None is full speed."""
        self.stopping: Literal["batch", "epoch"] | None = None
        self.stop_reason = ""
        self.stops_as: State = State.STOPPED
        self.validating = False
        """Whether to validate between two batches."""
        self.saving: Literal["asked", "due"] | None = None
        """Whether, and why, to save a checkpoint between two batches."""
        self.faults = run.progress.faults
        """What is to be wrong with the loop from the next batch on."""
        self.healthy: dict[str, Any] | None = None
        """The run's state from before anything was broken; None if nothing is."""
        self.break_holds = False
        """Whether somebody has set breakpoints from another process: they hold even a run that
        they would end."""
        self._shows: dict[Sender | None, Show] = {}
        """What each front end shows of the inside of a batch; None is the one in this process."""
        self._by: Sender | None = None
        """Who has sent the command that is applied."""
        self.norm_wanted = False
        """Whether to read the norm of the gradients before the next update."""
        self.trouble: Outcome | None = None
        """What the run is held by until `way_on` is set: the outcome that it would have."""
        self.way_on: WayOn | None = None
        """What a command has decided. Later commands wait until it is done."""
        self.ask: Callable[[Command], object] | None = None
        """Where several ranks train: how a command of one of them gets to all."""
        self._advancing: Literal["phase", "batch", "epoch"] | None = None
        self._advanced_from = self._place()
        self.slow_left = 0.0
        """Seconds that slow motion still holds at this gate."""

    def apply(self, command: Command) -> None:
        """Do, or note for the gate that allows it, what a command says."""
        match command:
            case Pause():
                if not self.paused:
                    self._note("paused", "pause")
                self._halt()
            case Resume():
                if self.paused:
                    self._note("went on", "resume")
                self._go()
            case Advance(unit):
                self._go()
                self._advancing, self._advanced_from = unit, self._place()
                if unit == "epoch" and self._by is None:
                    self._note("to the end of the epoch, then paused", "advance")
            case SetSpeed(speed):
                if speed != self.speed:
                    pace = "full speed" if speed is None else f"slow motion, {speed:g} steps/s"
                    self._note(pace, "speed")
                    self.speed = speed
                    self.slow_left = 0.0 if speed is None else 1 / speed
            case ScaleLR(factor):
                rate = self._run.rate
                by = factor / rate.factor
                rate.scale(factor)
                self._note(f"lr {factor_text(by)} by hand → {rate.text}", "lr")
            case SetLR(lr):
                rate = self._run.rate
                if rate.lr > 0:
                    self.apply(ScaleLR(rate.factor * lr / rate.lr))
                else:
                    self._note(f"lr stays: the schedule has it at {rate.lr:g} now", "warning")
            case Validate():
                self._note("validation asked for", "validate")
                self.validating = True
            case Save(due):
                if not due:
                    self.saving = "asked"
                self.saving = self.saving or "due"
            case SetFault(fault, on):
                self.faults = self.faults | {fault} if on else self.faults - {fault}
            case Undo():
                self.faults = frozenset()
                if self.healthy is not None:
                    self.way_on = "undo"
            case GoBack():
                if self.trouble is not None:
                    self.way_on = "checkpoint"
            case SetBreakpoints(conditions):
                self._set_breakpoints(conditions)
            case Show():
                self._shows[self._by] = command
            case Note(text):
                self._note(text, "warning")
            case Suspended(seconds, before):
                self._run.clock.leave_out(seconds, before)
                text = f"the process was stopped for {seconds:,.0f} s, which count as waiting"
                self._note(text, "suspended")
            case Stop() if self.trouble is not None:
                self.way_on = "stop"
            case Stop(reason, after):
                self._note(f"stop after this {after}", "stop")
                self.stopping, self.stop_reason, self.stops_as = after, reason, State.STOPPED
                self._go()
            case KeepGoing():
                if self.stopping is not None:
                    self._note("going on after all", "stop")
                self.stopping = None
            case Sent(inner, by):
                self._apply_for(inner, by)

    def _apply_for(self, command: Command, by: Sender) -> None:
        """Do what another process asks for, and put that on record in any case."""
        recorder, self._by = self._run.recorder, by
        before = recorder.changes
        try:
            self.apply(command)
            if recorder.changes is before and not isinstance(command, Show):
                what = _ASKED.get(type(command), type(command).__name__)
                if isinstance(command, Advance):
                    what = "one step" if command.unit == "phase" else f"one {command.unit}"
                self._note(f"{what} asked for", "asked")
        finally:
            self._by = None
        if isinstance(command, SetBreakpoints):
            self.break_holds = True
        if command == Show():
            del self._shows[by]

    @property
    def show(self) -> Show:
        """What is shown of the inside of a batch by any front end; of several views the last."""
        if len(self._shows) == 1:
            return next(iter(self._shows.values()))
        shows = self._shows.values()
        return Show(
            layers=any(one.layers for one in shows),
            histograms=any(one.histograms for one in shows),
            batch=any(one.batch for one in shows),
            view=next((one.view for one in reversed(shows) if one.view is not None), None),
        )

    def _go(self) -> None:
        self.paused, self._advancing = False, None

    def _halt(self) -> None:
        self.paused, self._advancing = True, None

    def _set_breakpoints(self, conditions: tuple[str, ...]) -> None:
        try:
            self._breakpoints.set(conditions)
        except ConditionError as error:
            self._note(f"no breakpoint was set: {error}", "warning")
        else:
            texts = "; ".join(conditions)
            self._note(f"breakpoint: {texts}" if texts else "no breakpoint", "breakpoints")

    def break_here(self, text: str, kind: Literal["break", "replay"], *, stop: bool) -> None:
        """A breakpoint has fired, or the batch is there that was asked for: hold, or stop once no
        batch is under way.
        """
        self._note(text, kind)
        if self.ask is not None:
            self.ask(Stop(text) if stop else Pause())
        elif stop:
            self.stopping, self.stop_reason, self.stops_as = "batch", text, State.STOPPED
            self._go()
        else:
            self._halt()

    def finish(self, reason: str) -> None:
        """The run has come to its end, before its last epoch."""
        self.stopping, self.stop_reason, self.stops_as = "batch", reason, State.FINISHED

    # What the engine asks at a gate.

    @property
    def lasting(self) -> bool:
        """Whether something is asked for that concerns every gate, until it is done."""
        return bool(
            self.paused
            or self._advancing
            or self.speed is not None
            or self.stopping
            or self.validating
            or self.saving
            or self.faults != self._run.progress.faults
        )

    @property
    def lockstep(self) -> bool:
        """Whether several ranks have to meet at every gate: the run is held, or steps."""
        return self.paused or self._advancing == "phase" or self.speed is not None

    def arrive(self) -> None:
        """The run is at a new gate: begin the delay of slow motion, end a single step."""
        self.slow_left = 0.0 if self.speed is None else 1 / self.speed
        now, then = self._place(), self._advanced_from
        if (
            (self._advancing == "phase")
            or (self._advancing == "batch" and now[1:] != then[1:])
            or (self._advancing == "epoch" and now[0] != then[0])
        ):
            self._halt()

    def _place(self) -> tuple[int, int, int]:
        progress = self._run.progress
        return progress.epoch, progress.batches_done, progress.val_batch

    def hold(self) -> float | None:
        """How long to hold here: infinity while paused or in trouble, seconds in slow motion, None
        to go on.
        """
        if self.paused or self.trouble is not None:
            return math.inf
        if self.slow_left > 0 and not self.stopping:
            return self.slow_left
        return None

    def held(self, seconds: float) -> None:
        """The run was held for this long."""
        self.slow_left -= seconds

    def must_stop(self, step: Step) -> bool:
        """Whether to end the run here: it was asked for, and no batch is under way."""
        return self.stopping == "batch" and step not in INSIDE_BATCH

    def epoch_ended(self) -> None:
        """An epoch is over: a stop after it is due before the next batch."""
        if self.stopping == "epoch":
            self.stopping = "batch"

    # What is broken on purpose.

    def inject_faults(self, log: dict[str, Any] | None) -> bool:
        """Make what is wrong with the loop what was asked for, between two batches.

        Args:
            log: the state of the run's log, for the way back.

        Returns:
            Whether anything is changed, so that the loop has to be chosen anew.
        """
        progress, rate = self._run.progress, self._run.rate
        wanted, now = self.faults, progress.faults
        unborn = not progress.batches_done and unmade(self._run.training.model)
        if wanted == now or unborn:  # what is not made yet could not be brought back
            return False
        if self._run.training.scaler.is_enabled():
            self.faults = now
            self._note(NOT_SCALED, "warning")
            return False
        if not now:
            self.healthy = take_state(self._run) | {"log": log}
        begun = sorted(wanted - now)
        progress.faults_so_far = tuple(dict.fromkeys((*progress.faults_so_far, *begun)))
        for fault in begun:
            self._note(f"broken on purpose: {fault.info.label}", "switch", wanted)
        for fault in sorted(now - wanted):
            self._note(f"mended: {fault.info.label}", "switch", wanted)
        if Fault.LR_TIMES_100 in wanted ^ now:
            by = LR_FACTOR if Fault.LR_TIMES_100 in wanted else 1 / LR_FACTOR
            rate.scale(rate.factor * by)
        progress.faults = wanted
        return True

    def went_back(self, faults: frozenset[Fault]) -> None:
        """The run is in an earlier state. What was asked for and not yet done still is to be done.

        Args:
            faults: those of the loop that was left.
        """
        there = self._run.progress.faults
        self.faults = (there - (faults - self.faults)) | (self.faults - faults)
        if not there:
            self.healthy = None

    def _note(self, text: str, kind: str, faults: frozenset[Fault] | None = None) -> None:
        self._run.recorder.change(self._run.progress, text, kind, self._by, faults)
