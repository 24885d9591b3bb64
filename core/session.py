"""`Session`: drives the loop, applies control at its gates, and tells what it sees."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import closing
from time import perf_counter

import torch

from .clock import Clock
from .control import Command, Control
from .data import batch_count
from .describe import describe_run
from .events import EventClock
from .failure import describe_failure
from .gauges import Gauges
from .judge import Judge
from .loop import training_loop
from .mailbox import Mailbox
from .progress import Progress
from .rate import LearningRate
from .record import Listener, Record
from .snapshot import Outcome, Snapshot, State
from .steering import Steering
from .steps import Step
from .training import Training
from .validate import validate


class _Stopped(Exception):  # noqa: N818 - not an error: the way out of a loop that was told to stop
    pass


class Session:
    """One run of a `Training`, in the caller's thread (`run`) or in one of its own (`start`).

    Args:
        training: what to train. It belongs to the session until the run has ended.
        listener: gets every batch, epoch and change, in the training thread.
        stop_on_nonfinite: end the run when a loss is NaN or infinite, before backward can carry
            it into the gradients. On an accelerator it is noticed some batches later.
    """

    def __init__(
        self,
        training: Training,
        listener: Listener | None = None,
        *,
        stop_on_nonfinite: bool = True,
    ) -> None:
        self.training = training
        self.info = describe_run(training)
        self.control = Control()
        self.mailbox = Mailbox(self.control.poke)
        self.progress = Progress()
        self.rate = LearningRate(training.optimizer, training.scheduler, training.scheduler_per)
        events = EventClock() if training.device.type == "cuda" else None
        self._clock = Clock(events)
        self._record = Record(training.task, self._clock, listener)
        self._steering = Steering(self.progress, self.rate, self._record)
        self._gauges = Gauges(
            training, self.progress, self.rate, self._record, stop_on_nonfinite=stop_on_nonfinite
        )
        self._judge = Judge(
            training.task, training.metrics, self.progress, self._record, self._clock
        )
        self._norm_wanted = False
        self._count = batch_count(training.batches)
        self._running, self._since = Step.OTHER, perf_counter()
        self._now: tuple[Step, float] = (self._running, self._since)
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._publish(State.LOADING, Step.DATA)

    # What a face uses: `Source` is these, whatever lies behind.

    def now(self) -> tuple[Step, float]:
        """The phase that runs at this very moment, and since when (`time.perf_counter`)."""
        return self._now

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        """The newest picture; asks for a fresher one, which the next gate will build."""
        return self.mailbox.latest(curves=curves)

    def snapshot(self, timeout: float = 10.0) -> Snapshot:
        """A picture built after this call, paused or not; the last one once the run has ended.

        Raises:
            TimeoutError: no gate was reached in time (a very long step, or not started).
        """
        return self.mailbox.wait(timeout)

    def send(self, command: Command) -> None:
        """Steer the run; see `core.control`."""
        self.control.send(command)

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while it has not."""
        return self.mailbox.outcome

    def start(self) -> None:
        """Run in a thread of its own."""
        # A daemon, so that a step that never returns cannot keep the process from ending.
        self._thread = threading.Thread(target=self.run, name="fivestep-training", daemon=True)
        self._thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the run to end, whichever thread it is in; True if it has."""
        if self._thread is None:
            return self._ended.wait(timeout)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def run(self) -> Outcome:
        """Train to the end, or until stopped. Failures are an outcome too, never raised.

        Raises:
            KeyboardInterrupt, SystemExit: passed on, after the outcome has been told.
        """
        training = self.training
        threads = torch.get_num_threads()
        if training.threads is not None:
            torch.set_num_threads(training.threads)
        if training.seed is not None:
            torch.manual_seed(training.seed)
        self._clock.start()
        self._since = perf_counter()
        try:
            outcome = self._train()
        except Exception as error:
            outcome = describe_failure(error, training.model, self.progress, self._running)
        except BaseException as error:
            self._end(describe_failure(error, training.model, self.progress, self._running))
            raise
        finally:
            torch.set_num_threads(threads)
        self._end(outcome)
        return outcome

    def _train(self) -> Outcome:
        training = self.training
        try:
            steps = training_loop(training, self.rate, self.progress, self._judge.begin)
            with closing(steps):
                self._drive(steps)
        except _Stopped:
            self._gauges.collect(everything=True)
            return Outcome(State.STOPPED, self._steering.stop_reason)
        self._after_epoch()
        epochs = training.epochs
        return Outcome(State.FINISHED, f"{epochs:,} epoch{'s' * (epochs != 1)} trained")

    def _end(self, outcome: Outcome) -> None:
        step = self._running if outcome.state is State.FAILED else Step.OTHER
        self.mailbox.begin()
        self._publish(outcome.state, step, outcome, curves=True)
        self.mailbox.settled = True
        self._ended.set()

    # The loop under the session's hand.

    def _drive(self, steps: Iterator[Step]) -> None:
        """Take every step that the generator offers, stopping at its gates when asked to."""
        control, steering, at = self.control, self._steering, self.progress
        spent, events = self._clock.spent, self._clock.events
        done, epoch = at.batches_done, at.epoch
        for step in steps:
            here = perf_counter()
            running = self._running
            spent[running] += here - self._since
            self._since, self._running = here, step
            self._now = (step, here)
            if events is not None:
                events.gate(step)
            if step is Step.BACKWARD:
                self._gauges.read_loss()
            elif running is Step.OTHER and at.batches_done != done:
                done = at.batches_done
                self._gauges.batch_done()
            if at.epoch != epoch:
                epoch = at.epoch
                self._after_epoch()
            if control.attention or steering.alert:
                self._attend(step)
            if self._norm_wanted and step is Step.UPDATE:
                self._sample_norm()
        here = perf_counter()
        spent[self._running] += here - self._since
        self._since, self._running = here, Step.OTHER
        if at.batches_done != done:
            self._gauges.batch_done()

    def _attend(self, step: Step) -> None:
        """Apply what was asked for, hold if told to, and hand over a picture if one is wanted."""
        clock, steering, mailbox = self._clock, self._steering, self.mailbox
        busy_since = self._since
        steering.arrive()
        while True:
            for command in self.control.take():
                steering.apply(command)
                mailbox.settled = False
            if steering.must_stop(step):
                raise _Stopped
            if steering.validate_now and step is Step.DATA:
                clock.watched += perf_counter() - busy_since
                self._validate_now()
                busy_since = perf_counter()
            hold = steering.hold()
            entering = steering.paused and not mailbox.settled
            if mailbox.wanted or entering:
                self._now = (Step.OTHER, perf_counter())  # watching is none of the five
                self._norm_wanted = True
                self._gauges.collect()
                curves = mailbox.begin() or entering
                self._publish(self._state(step), step, curves=curves)
            if hold is None:
                break
            mailbox.settled = steering.paused
            before = perf_counter()
            self._now = (step, before)
            if not steering.paused:
                clock.watched += before - busy_since
                busy_since = before
            self.control.wait(None if hold == math.inf else hold)
            here = perf_counter()
            clock.waited += here - busy_since  # answering while paused is no training time either
            steering.held(here - before)
            busy_since = here
        mailbox.settled = False
        here = perf_counter()
        clock.watched += here - busy_since
        self._since, self._running = here, step
        self._now = (step, here)

    def _state(self, step: Step) -> State:
        if self._steering.paused:
            return State.PAUSED
        return State.VALIDATING if step is Step.VALIDATE else State.RUNNING

    def _publish(
        self, state: State, step: Step, outcome: Outcome | None = None, *, curves: bool = False
    ) -> None:
        at, epochs = self.progress, self.training.epochs
        left = None if self._count is None else (epochs - at.epoch) * self._count - at.batch
        steering = self._steering
        picture = self._record.picture(
            at,
            self.rate,
            state=state,
            step=step,
            epochs=epochs,
            batches_left=left,
            speed=steering.speed,
            stopping=steering.stopping,
            curves=curves,
            outcome=outcome,
        )
        self.mailbox.publish(picture)

    # What happens at particular gates.

    def _after_epoch(self) -> None:
        """Close an epoch at the first gate behind it."""
        at = self.progress
        if self._record.last is not None and self._record.last.epoch == at.epoch:
            return
        self._gauges.collect(everything=True)
        self._record.epoch(at, self.rate.lr, validated=self._judge.take())
        self._steering.epoch_ended()

    def _sample_norm(self) -> None:
        self._norm_wanted = False
        self._now = (Step.OTHER, self._since)
        self._gauges.sample_norm()
        here = perf_counter()
        self._clock.watched += here - self._since
        self._since = here
        self._now = (self._running, here)

    def _validate_now(self) -> None:
        """A validation asked for by hand, between two batches."""
        steering = self._steering
        steering.validate_now = False
        if self.training.validation is None:
            return
        paused, steering.paused = steering.paused, False
        self._since = perf_counter()
        with closing(validate(self.training, self.progress, self._judge.begin())) as steps:
            self._drive(steps)
        self._judge.take()
        steering.paused = steering.paused or paused
        self.mailbox.settled = False
