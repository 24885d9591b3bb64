"""The loop under the session's hand: its gates, and what happens at each."""

from __future__ import annotations

import math
from contextlib import closing
from time import perf_counter

from ..protocol.commands import Control
from ..protocol.snapshot import Outcome, Snapshot
from ..protocol.steps import State, Step, Steps
from ..storage.persistence import Persistence
from ..training.data import batch_count
from ..training.loop import RelayError, validate
from ..training.nonfinite import bad_weights
from .breakpoints import Breakpoints
from .controller import Controller, FaultInjection
from .mailbox import Mailbox
from .probes import Probes, StoppedError, UndoneError
from .readings import Readings
from .recorder import ValidationRecorder
from .state import RunState, StateError, take_model, take_state


class Engine:
    """Takes the steps that a loop offers, and attends to what was asked for at its gates.

    Only the training thread touches it, except for `now`, which anybody may read.

    Args:
        parts: the run's state.
        control: what a person asks for.
        mailbox: where pictures go.
        stop_on_nonfinite: a NaN or an infinity ends the loop with a `NonFiniteError`.
        saving: keeps the run on the disk; None keeps nothing.
        stop_on_break: a breakpoint ends the loop, instead of holding it.
    """

    def __init__(
        self,
        parts: RunState,
        control: Control,
        mailbox: Mailbox,
        *,
        stop_on_nonfinite: bool,
        saving: Persistence | None,
        stop_on_break: bool = False,
    ) -> None:
        training, progress = parts.training, parts.progress
        record, clock = parts.record, parts.clock
        self.parts = parts
        breaks = Breakpoints(progress, record, (*training.task.metric_names, *training.metrics))
        self.controller = Controller(progress, parts.rate, record, breaks)
        self.switching = FaultInjection(parts, self.controller)
        self.readings = Readings(
            training, progress, parts.rate, record, stop_on_nonfinite=stop_on_nonfinite
        )
        self.probes = Probes(
            parts, self.controller, self.readings, breaks, control, stops=stop_on_break
        )
        self.judge = ValidationRecorder(
            training.task, training.metrics, progress, record, clock, parts.loaders
        )
        self.trouble: Outcome | None = None
        """What the run is held by, while a person is asked how to go on."""
        self._training, self._progress, self._record, self._clock = (
            training,
            progress,
            record,
            clock,
        )
        self._control, self.mailbox, self._saving = control, mailbox, saving
        self._norm_wanted = False
        self._count = batch_count(training.batches)
        self.now: tuple[Step, float] = (Step.OTHER, perf_counter())
        """The phase that is being taken, and since when. Other threads read it."""

    def drive(self, steps: Steps) -> None:
        """Take every step that the generator offers, stopping at its gates when asked to.

        Raises:
            StoppedError: it was told to stop, and no batch is under way.
            NonFiniteError: something is NaN or infinite.
        """
        control, progress, readings, probes = (
            self._control,
            self._progress,
            self.readings,
            self.probes,
        )
        spent, events, saving = self._clock.spent, self._clock.events, self._saving
        done, epoch, checks = progress.batches_done, progress.epoch, readings.checks
        # Python 3.11 takes a tenth of a microsecond to look up a member of an enumeration.
        backward, other, validating = Step.BACKWARD, Step.OTHER, Step.VALIDATE
        attended = probes.active
        running, since = self.now
        for step in steps:
            # At full speed nobody wants anything: what stands here is paid for by every gate.
            here = perf_counter()
            spent[running] += here - since
            self.now = (step, here)
            if events is not None:
                events.gate(step)
            if attended:
                probes.at_gate(step, running, here)
                self._watched(step, here)
            if step is backward:
                readings.read_loss()
            elif running is backward:  # before they are clipped, or added to
                if checks:
                    readings.check_gradients()
            elif running is other or running is validating:
                if progress.batches_done != done:
                    done = progress.batches_done
                    readings.batch_done(here)
                    if attended:
                        probes.judge("end", step)
                    if saving is not None and here >= saving.due:
                        self.controller.ask_to_save()
                        control.attention = True
                if progress.epoch != epoch:
                    epoch = progress.epoch
                    self.after_epoch()
                    self._watched(step, here)
            if control.attention:
                self._attend(step)
                attended = probes.active
                if self.switching.relays:
                    self.switching.relays = False
                    steps.throw(RelayError())  # at the same gate, of another loop
            running, since = self.now
        here = perf_counter()
        spent[running] += here - since
        self.now = (other, here)
        if progress.batches_done != done:
            readings.batch_done(here)

    def _attend(self, step: Step) -> None:
        """Apply what was asked for, hold if told to, and hand over a picture if one is wanted."""
        clock, controller, mailbox = self._clock, self.controller, self.mailbox
        busy_since = self.now[1]
        controller.arrive()
        while True:
            for command in self._control.take():
                controller.apply(command)
                mailbox.settled = False
            self.tell_notices()
            self.probes.take_up()
            if controller.must_stop(step):
                raise StoppedError
            if step is Step.DATA:
                self._change_loop()
            if controller.save_now and step is Step.DATA:
                self.save("asked" if controller.save_now == "asked" else "last")
                controller.save_now = None
                controller.settle()
            if controller.validate_now and step is Step.DATA:
                clock.watched += perf_counter() - busy_since
                self._validate_now()
                busy_since = perf_counter()
            hold = controller.hold()
            entering = controller.paused and not mailbox.settled
            if mailbox.wanted or entering:
                self.now = (Step.OTHER, perf_counter())  # watching is none of the five
                self._norm_wanted = True
                self.readings.collect()
                curves = mailbox.begin() or entering
                self.publish(self._state(step), step, curves=curves)
            if hold is None:
                break
            mailbox.settled = controller.paused
            before = perf_counter()
            self.now = (step, before)
            if not controller.paused:
                clock.watched += before - busy_since
                busy_since = before
            self._control.wait(None if hold == math.inf else hold)
            here = perf_counter()
            clock.waited += here - busy_since  # answering while paused is no training time either
            controller.held(here - before)
            busy_since = here
        mailbox.settled = False
        if self._norm_wanted and step is Step.UPDATE:
            self._norm_wanted = False
            self.now = (Step.OTHER, perf_counter())
            self.readings.sample_norm()
        # Whatever concerns every gate keeps their attention until it is over.
        if controller.alert or self._norm_wanted:
            self._control.attention = True
        self._watched(step, busy_since)

    def _change_loop(self) -> None:
        """Between two batches: undo what was broken on purpose, or break and mend it."""
        controller, switching = self.controller, self.switching
        if controller.undo_now:
            controller.undo_now = False
            controller.settle()
            if switching.before is not None:
                raise UndoneError
        if controller.faults != self._progress.faults:
            self.readings.collect(everything=True)
            log = None if self._saving is None else self._saving.log.state()
            switching.fault(log)
            controller.settle()

    def _state(self, step: Step) -> State:
        if self.controller.paused:
            return State.PAUSED
        return State.VALIDATING if step is Step.VALIDATE else State.RUNNING

    def publish(
        self, state: State, step: Step, outcome: Outcome | None = None, *, curves: bool = False
    ) -> Snapshot:
        """Put a picture of now into the mailbox."""
        progress, epochs = self._progress, self._training.epochs
        left = (
            None
            if self._count is None
            else (epochs - progress.epoch) * self._count - progress.batch
        )
        controller = self.controller
        picture = self._record.picture(
            progress,
            self.parts.rate,
            state=state,
            step=step,
            epochs=epochs,
            batches_left=left,
            speed=controller.speed,
            stopping=controller.stopping,
            curves=curves,
            outcome=outcome,
            saved=None if self._saving is None else self._saving.saved,
            inside=self.probes.inside(step, held=state is State.PAUSED),
            facts=self.probes.facts() if curves else None,
            faults=tuple(sorted(progress.faults)),
            faults_so_far=progress.faults_so_far,
            undo=self.switching.before is not None,
            breakpoints=self.probes.breaks.conditions,
            trouble=self.trouble,
        )
        self.mailbox.publish(picture)
        return picture

    # What happens at particular gates.

    def after_epoch(self) -> None:
        """Close an epoch at the first gate behind it."""
        progress, record = self._progress, self._record
        if record.last is not None and record.last.epoch == progress.epoch:
            return
        self.parts.loaders.epoch_begins()
        self.readings.collect(everything=True)
        summary = record.epoch(progress, self.parts.rate.lr, validated=self.judge.take())
        self.controller.epoch_ended()
        if self._saving is not None:
            kinds = self._saving.after_epoch(summary.epoch, best=record.is_best(summary))
            for kind in kinds:
                self.save(kind)
        self.probes.judge("validation", Step.DATA)

    def save(self, kind: str = "last") -> None:
        """Give the run's state, as it is between two batches, to whoever keeps it."""
        saving = self._saving
        if saving is None:
            if kind == "asked":
                self._record.change(
                    self._progress, "nothing saved: this run keeps no files", "warning"
                )
            return
        before = perf_counter()
        self.now = (Step.OTHER, before)
        self.readings.collect(everything=True)
        bad = bad_weights(self._training.model)
        if bad:
            saving.refuse(f"{bad} holds NaN or infinity")
        else:
            try:
                if kind == "best":
                    saving.save(kind, take_model(self.parts))
                else:
                    saving.save(kind, take_state(self.parts))
            except StateError as error:
                saving.refuse(str(error))
            except MemoryError:
                saving.refuse("there is no memory for a copy of the run's state")
        self.tell_notices()

    def tell_notices(self) -> None:
        """Put what was told about checkpoints on record."""
        if self._saving is not None:
            for kind, text in self._saving.take_notices():
                self.mailbox.settled = False  # a picture from before is outdated
                if text:
                    self._record.change(self._progress, text, kind)

    def _watched(self, step: Step, since: float) -> None:
        """Count the time from `since` to now as watching, and let the step begin now."""
        here = perf_counter()
        self._clock.watched += here - since
        self.now = (step, here)

    def _validate_now(self) -> None:
        """A validation asked for by hand, between two batches."""
        controller = self.controller
        controller.validate_now = False
        if self._training.validation is None:
            return
        paused, controller.paused = controller.paused, False
        self.now = (Step.OTHER, perf_counter())
        with closing(validate(self._training, self._progress, self.judge.begin())) as steps:
            self.drive(steps)
        self.judge.take()
        self.probes.judge("validation", Step.DATA)
        controller.paused = controller.paused or paused
        self.mailbox.settled = False
