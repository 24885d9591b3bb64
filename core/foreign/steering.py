"""What a person asks of a loop that is not ours: at its edges it is held, stepped and stopped."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import replace
from threading import current_thread, main_thread
from time import perf_counter
from typing import Any, Final

import torch
from torch import Tensor, nn

from ..inspection.batch_facts import batch_facts
from ..inspection.inspector import Inspector
from ..protocol.at_hand import AT_HAND
from ..protocol.commands import Command, ScaleLR, Sent, SetLR, Show, Stop
from ..protocol.conditions import Gate
from ..protocol.foreign import refusal
from ..protocol.inside import Inside
from ..protocol.snapshot import Outcome, Snapshot
from ..protocol.steps import State, Step
from ..session.breakpoints import Breakpoints, BreakReport, values_text
from ..session.clock import Clock
from ..session.controller import Controller
from ..session.mailbox import Mailbox
from ..session.recorder import Recorder
from ..session.state import RunState
from ..training.progress import Progress
from .learner import Learner, LoopRate, Together
from .loss import Loss
from .training import ForeignTraining

NORM_COST: Final = 100
"""A norm of the gradients is read again after this many times what the last one took."""


Picturing = Callable[[State, Step, bool], Snapshot]
"""Makes a Snapshot of now, with curves or without."""


class LoopState(RunState):
    """What a `Controller` needs of a run that is not ours: nothing of it could be kept."""

    def __init__(
        self, progress: Progress, rate: LoopRate, recorder: Recorder, clock: Clock
    ) -> None:
        self.progress, self.rate, self.recorder, self.clock = progress, rate, recorder, clock


class LoopSteering:
    """Does at the edges between phases what was asked for, and looks at what they leave.

    Everything happens in the loop's thread; other threads use the mailbox.

    Args:
        progress, rate, recorder, clock: of the loop.
    """

    def __init__(
        self, progress: Progress, rate: LoopRate, recorder: Recorder, clock: Clock
    ) -> None:
        self.mailbox = Mailbox()
        self.breakpoints = Breakpoints(progress, recorder)
        self.controller = Controller(LoopState(progress, rate, recorder, clock), self.breakpoints)
        self.waited = 0.0
        """Seconds of the last `attend` in which the loop was held."""
        self.stops_on_break = False
        """Whether a breakpoint stops the loop, instead of holding it."""
        self.stopped = ""
        """Why the loop was stopped, if it was."""
        self.report: BreakReport | None = None
        """Where a breakpoint has stopped it."""
        self.is_attended: Callable[[], bool] = bool
        """Whether a screen is there to say how to go on: NaN holds the loop then."""
        self._progress, self._rate, self._recorder = progress, rate, recorder
        self._clock = clock
        self._inspector: Inspector | None = None
        self._norm_due = 0.0
        self._bad = False
        """Whether the last loss or norm was NaN or infinite."""
        self._stop_now = False
        self._asked = False
        """Whether the loop's own handler of Ctrl+C was called."""
        self.raised: Exception | None = None
        """What it has raised: the loop's, no fault of watching."""
        self.busy = True
        """Whether anybody looks at what the loop has in its hands, or waits for it; nothing of it
        is asked for otherwise."""
        self.mailbox.attention = True

    # At an edge.

    def attend(self, step: Step, picture: Picturing, *, edge: bool) -> None:
        """Do what was asked for, and hold for as long as that is wanted.

        Args:
            step: what comes next.
            picture: makes a Snapshot.
            edge: no batch is under way.

        Raises:
            KeyboardInterrupt: a stop was asked for, and is due here; or what the loop's own handler
                of Ctrl+C has raised.
        """
        controller, mailbox = self.controller, self.mailbox
        self.waited = 0.0
        controller.arrive()
        while True:
            mailbox.attention = False
            while (command := mailbox.next_command()) is not None:
                self._apply(command)
                mailbox.settled = False
            self._look_at(controller.show)
            if self._stop_now or (controller.stopping == "batch" and edge):
                # The script's own way out may take more steps.
                controller.stopping, self._stop_now = None, False
                self._interrupt(controller.stop_reason)
            hold = controller.hold()
            for_long = hold == math.inf
            if mailbox.wanted or (for_long and not mailbox.settled):
                controller.norm_wanted = True
                curves = mailbox.begin_snapshot() or (for_long and not mailbox.settled)
                state = State.VALIDATING if step is Step.VALIDATE else State.RUNNING
                mailbox.publish(picture(State.PAUSED if for_long else state, step, curves))
            if hold is None:
                break
            mailbox.settled = for_long
            before = perf_counter()
            mailbox.wait(None if for_long else hold)
            took = perf_counter() - before
            controller.held(took)
            self._clock.waited += took
            self.waited += took
        mailbox.settled = False
        if controller.lasting:
            mailbox.attention = True
        self.busy = controller.lasting or self._inspector is not None or self.breakpoints.active

    def _interrupt(self, reason: str) -> None:
        """Stop the loop as Ctrl+C would: where it has a handler of its own, by that one. One that
        comes back leaves the end to the loop; a second stop, or a breakpoint's, does not ask it.
        """
        self.stopped = reason
        own = signal.getsignal(signal.SIGINT)
        handled = callable(own) and own is not signal.default_int_handler
        if handled and not self._asked and current_thread() is main_thread():
            self._asked = True
            try:
                signal.raise_signal(signal.SIGINT)
            except Exception as error:
                self.raised = error
                raise
            if self.report is None:
                self.stopped = ""
                text = f"{reason}: the loop's own handler of Ctrl+C was called, and it goes on"
                self._recorder.change(self._progress, text, "stop")
                return
        raise KeyboardInterrupt(reason)

    def _apply(self, command: Command) -> None:
        inner = command.command if isinstance(command, Sent) else command
        problem = refusal(inner)
        if isinstance(inner, (ScaleLR, SetLR)) and (why := self._rate.fixed):
            problem = f"lr stays: {why}"
        if problem:
            self._recorder.change(self._progress, problem, "warning")
            return
        again = isinstance(inner, Stop) and self.controller.stopping is not None
        self.controller.apply(command)
        self._stop_now = (self._stop_now or again) and self.controller.stopping is not None

    def _check(self, gate: Gate, *, loss: float | None = None, norm: float | None = None) -> None:
        """Hold or stop the loop if a breakpoint's condition has just become true."""
        points, progress = self.breakpoints, self._progress
        fired = points.check(gate, loss=loss, norm=norm, lr=self._rate.lr)
        if not fired:
            return
        values = points.known(fired[0])
        text = f"breakpoint {'; '.join(fired)}" + (f" ({values_text(values)})" if values else "")
        stops = self.stops_on_break and not self.controller.break_holds
        if stops and self.report is None:
            where = f"epoch {progress.epoch + 1}, batch {progress.batch + 1}"
            self._look_at(Show(layers=True))
            layers = self._inspector.layers() if self._inspector is not None else ()
            self.report = BreakReport(fired[0], values, where, batch_facts(progress), layers)
        self.controller.break_here(text, "break", stop=stops)
        self.mailbox.attention = True

    def meets_bad_loss(self, loss: float, what: str = "the loss") -> None:
        """Something is NaN or infinite: hold, once, where somebody is there to look."""
        if self._bad:
            return
        self._bad = True
        if self.is_attended():
            text = f"held: {what} is {loss}, noticed before optimizer.step()"
            self.controller.break_here(text, "break", stop=False)
            self.mailbox.attention = True

    # What the loop has in its hands.

    def _look_at(self, show: Show) -> None:
        """Look at this from now on."""
        if show.view not in AT_HAND:
            show = replace(show, view=None)
        if self._inspector is None:
            training = None if show == Show() else self._training()
            if training is None:
                return
            recorder = self._recorder
            self._inspector = Inspector(training, self._progress, lambda: recorder.epochs)
        self._inspector.take(show)
        if show == Show():
            self._inspector = None  # and with it the model, which the loop may drop

    def _training(self) -> ForeignTraining | None:
        """What is trained, as one model and one optimizer; None before it is known."""
        learners = [one for one in self._rate.learners if one.optimizer is not None]
        models: dict[str, nn.Module] = {}
        for one in learners:
            for model in (model() for model in one.models):
                if model is not None and model not in models.values():
                    models[_free_name(type(model).__name__, models)] = model
        if not models:
            return None
        whole = next(iter(models.values())) if len(models) == 1 else nn.ModuleDict(models)
        optimizers = [one.optimizer for one in learners]
        optimizer: Any = optimizers[0] if len(optimizers) == 1 else Together(optimizers)
        return ForeignTraining(whole, optimizer)

    def inside(self, step: Step, *, held: bool, outcome: Outcome | None) -> Inside:
        """What was asked to be shown, as it is now."""
        if self._inspector is None:
            return Inside()
        return self._inspector.inside(step, held=held, outcome=outcome)

    def sees_batch(self, batch: Any) -> None:
        """The loader has given this."""
        pair = isinstance(batch, (tuple, list)) and len(batch) == 2
        self._progress.begin_batch(*batch if pair else (batch, None))
        if self.breakpoints.active:
            self._check("begin")

    def sees_features(self, given: Any) -> None:
        """The model is called with this."""
        if self._progress.features is None:
            self._progress.begin_batch(given[0] if len(given) == 1 else given, None)

    def sees_outputs(self, outputs: Any) -> None:
        """The model has given this; its graph is not kept for longer than somebody looks."""
        self._progress.outputs = outputs

    def before_backward(self, loss: Loss | None) -> None:
        """`backward()` is about to be called, on this loss."""
        held = torch.tensor(loss) if isinstance(loss, float) else loss
        self._progress.loss = held.detach() if isinstance(held, Tensor) else None
        if self.breakpoints.active and isinstance(loss, float):
            self._check("loss", loss=loss)
        if self._inspector is not None:
            self._inspector.before_backward()

    def after_backward(self) -> None:
        """`backward()` is over."""
        if self._inspector is not None:
            self._inspector.after_backward()

    def before_update(self, learner: Learner) -> None:
        """An optimizer is about to take its step: are its loss and its gradients finite?"""
        here, loss = perf_counter(), learner.loss
        if isinstance(loss, float) and not math.isfinite(loss):
            self.meets_bad_loss(loss)
        elif here >= self._norm_due or self.breakpoints.needs_norm or self.controller.lasting:
            self._read_norm(learner, here)
        if self._inspector is not None:
            self._inspector.before_update(here, every=self.controller.lasting)

    def _read_norm(self, learner: Learner, here: float) -> None:
        controller = self.controller
        wanted = controller.norm_wanted or self.breakpoints.needs_norm or controller.lasting
        controller.norm_wanted = False
        found = learner.norm()
        if found is None or not (found.is_cpu or wanted):  # reading it would make it wait
            self._norm_due = here + 1
            return
        learner.grad_norm = norm = float(found)
        if learner is self._rate.learners[0]:
            self._recorder.grad_norm(self._progress.batches_done + 1, norm)
        if math.isfinite(norm):
            self._bad = False
        else:
            self.meets_bad_loss(norm, "the gradients' norm")
        if self.breakpoints.active:
            self._check("update", norm=norm)
        self._norm_due = here + NORM_COST * (perf_counter() - here)

    def after_update(self, here: float) -> None:
        """It has."""
        if self._inspector is not None:
            self._inspector.after_update(here, exact=self.controller.lasting)

    def batch_ends(self, loss: Loss | None) -> None:
        """A batch is over."""
        if isinstance(loss, float) and math.isfinite(loss):
            self._bad = False
        self._progress.forget_batch()
        if self.breakpoints.active:
            self._check("end")

    def epoch_ends(self) -> None:
        """An epoch is over."""
        self.controller.epoch_ended()

    def validated(self) -> None:
        """A validation's loss is known."""
        if self.breakpoints.active:
            self._check("validation")


def _free_name(name: str, taken: Any) -> str:
    """A name, numbered where it is taken."""
    number = 1
    while (found := name if number == 1 else f"{name}_{number}") in taken:
        number += 1
    return found
