"""The loop under the session's hand: its gates, and what happens at each."""

from __future__ import annotations

import math
from contextlib import closing
from time import perf_counter

from ..protocol.commands import Control
from ..protocol.snapshot import Outcome, Snapshot
from ..protocol.steps import State, Step, Steps
from ..storage.persistence import Saving
from ..training.data import batch_count
from ..training.loop import RelayError, validate
from ..training.nonfinite import bad_weights
from .breakpoints import Breaks
from .controller import Steering, Switching
from .hindsight import Hindsight
from .mailbox import Mailbox
from .probes import Lookout, StoppedError, UndoneError
from .readings import Gauges
from .recorder import Judge
from .state import Parts, StateError, take_model, take_state


class Driver:
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
        parts: Parts,
        control: Control,
        mailbox: Mailbox,
        *,
        stop_on_nonfinite: bool,
        saving: Saving | None,
        stop_on_break: bool = False,
    ) -> None:
        training, progress = parts.training, parts.progress
        record, clock = parts.record, parts.clock
        self.parts = parts
        breaks = Breaks(progress, record, (*training.task.metric_names, *training.metrics))
        self.steering = Steering(progress, parts.rate, record, breaks)
        self.switching = Switching(parts, self.steering)
        self.gauges = Gauges(
            training, progress, parts.rate, record, stop_on_nonfinite=stop_on_nonfinite
        )
        self.lookout = Lookout(
            parts, self.steering, self.gauges, breaks, control, stops=stop_on_break
        )
        log = None if saving is None else saving.log
        self.hindsight = Hindsight(parts, self.gauges, self.lookout, log)
        self.judge = Judge(training.task, training.metrics, progress, record, clock, parts.loaders)
        self.trouble: Outcome | None = None
        """What the run is held by, while a person is asked how to go on."""
        self._training, self._at, self._record, self._clock = training, progress, record, clock
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
        control, at, gauges, lookout = self._control, self._at, self.gauges, self.lookout
        spent, events, saving = self._clock.spent, self._clock.events, self._saving
        hindsight = self.hindsight
        done, epoch, checks = at.batches_done, at.epoch, hindsight.checks
        # Python 3.11 takes a tenth of a microsecond to look up a member of an enumeration.
        data, backward, other, validating = Step.DATA, Step.BACKWARD, Step.OTHER, Step.VALIDATE
        attended = lookout.active
        running, since = self.now
        for step in steps:
            # At full speed nobody wants anything: what stands here is paid for by every gate.
            here = perf_counter()
            spent[running] += here - since
            self.now = (step, here)
            if events is not None:
                events.gate(step)
            if attended:
                lookout.at_gate(step, running, here)
                self._watched(step, here)
            if step is backward:
                gauges.read_loss()
            elif running is backward:  # before they are clipped, or added to
                if checks:
                    gauges.check_gradients()
            elif running is other or running is validating:
                if at.batches_done != done:
                    done = at.batches_done
                    gauges.batch_done(here)
                    if here >= hindsight.due or step is not data:
                        hindsight.batch_done(step)
                        checks = hindsight.checks
                        self._watched(step, here)
                    if attended:
                        lookout.judge("end", step)
                    if saving is not None and here >= saving.due:
                        self.steering.ask_to_save()
                        control.attention = True
                if at.epoch != epoch:
                    epoch = at.epoch
                    self.after_epoch()
                    hindsight.caught_up()
                    self._watched(step, here)
            if control.attention and not hindsight.catching_up:
                self._attend(step)
                attended = lookout.active
                checks = hindsight.checks
                if self.switching.relays:
                    self.switching.relays = False
                    steps.throw(RelayError())  # at the same gate, of another loop
            running, since = self.now
        here = perf_counter()
        spent[running] += here - since
        self.now = (other, here)
        if at.batches_done != done:
            gauges.batch_done(here)

    def _attend(self, step: Step) -> None:
        """Apply what was asked for, hold if told to, and hand over a picture if one is wanted."""
        clock, steering, mailbox = self._clock, self.steering, self.mailbox
        busy_since = self.now[1]
        steering.arrive()
        while True:
            if self._control.asked:
                self.hindsight.settle(step)
            for command in self._control.take():
                steering.apply(command)
                mailbox.settled = False
            self.tell_notices()
            self.lookout.take_up()
            if steering.must_stop(step):
                self.hindsight.verify()
                raise StoppedError
            if step is Step.DATA:
                self._change_loop()
            if steering.save_now and step is Step.DATA:
                self.save("asked" if steering.save_now == "asked" else "last")
                steering.save_now = None
                steering.settle()
            if steering.validate_now and step is Step.DATA:
                clock.watched += perf_counter() - busy_since
                self._validate_now()
                busy_since = perf_counter()
            hold = steering.hold()
            entering = steering.paused and not mailbox.settled
            if mailbox.wanted or entering:
                self.now = (Step.OTHER, perf_counter())  # watching is none of the five
                self._norm_wanted = True
                self.gauges.collect()
                curves = mailbox.begin() or entering
                self.publish(self._state(step), step, curves=curves)
            if hold is None:
                break
            mailbox.settled = steering.paused
            before = perf_counter()
            self.now = (step, before)
            if not steering.paused:
                clock.watched += before - busy_since
                busy_since = before
            self._control.wait(None if hold == math.inf else hold)
            here = perf_counter()
            clock.waited += here - busy_since  # answering while paused is no training time either
            steering.held(here - before)
            busy_since = here
        mailbox.settled = False
        if self._norm_wanted and step is Step.UPDATE:
            self._norm_wanted = False
            self.now = (Step.OTHER, perf_counter())
            self.gauges.sample_norm()
        # Whatever concerns every gate keeps their attention until it is over.
        if steering.alert or self._norm_wanted:
            self._control.attention = True
        self._watched(step, busy_since)

    def _change_loop(self) -> None:
        """Between two batches: undo what was broken on purpose, or break and mend it."""
        steering, switching = self.steering, self.switching
        if steering.undo_now:
            steering.undo_now = False
            steering.settle()
            if switching.before is not None:
                raise UndoneError
        if steering.switches != self._at.switches:
            self.gauges.collect(everything=True)
            log = None if self._saving is None else self._saving.log.state()
            switching.switch(log)
            steering.settle()

    def _state(self, step: Step) -> State:
        if self.steering.paused:
            return State.PAUSED
        return State.VALIDATING if step is Step.VALIDATE else State.RUNNING

    def publish(
        self, state: State, step: Step, outcome: Outcome | None = None, *, curves: bool = False
    ) -> Snapshot:
        """Put a picture of now into the mailbox."""
        at, epochs = self._at, self._training.epochs
        left = None if self._count is None else (epochs - at.epoch) * self._count - at.batch
        steering = self.steering
        picture = self._record.picture(
            at,
            self.parts.rate,
            state=state,
            step=step,
            epochs=epochs,
            batches_left=left,
            speed=steering.speed,
            stopping=steering.stopping,
            curves=curves,
            outcome=outcome,
            saved=None if self._saving is None else self._saving.saved,
            inside=self.lookout.inside(step, held=state is State.PAUSED),
            facts=self.lookout.facts() if curves else None,
            switches=tuple(sorted(at.switches)),
            switched=at.switched,
            undo=self.switching.before is not None,
            breakpoints=self.lookout.breaks.conditions,
            trouble=self.trouble,
        )
        self.mailbox.publish(picture)
        return picture

    # What happens at particular gates.

    def after_epoch(self) -> None:
        """Close an epoch at the first gate behind it."""
        at, record = self._at, self._record
        if record.last is not None and record.last.epoch == at.epoch:
            return
        self.parts.loaders.epoch_begins()
        self.gauges.collect(everything=True)
        summary = record.epoch(at, self.parts.rate.lr, validated=self.judge.take())
        self.steering.epoch_ended()
        if self._saving is not None:
            kinds = self._saving.after_epoch(summary.epoch, best=record.is_best(summary))
            for kind in kinds:
                self.save(kind)
        self.lookout.judge("validation", Step.DATA)

    def save(self, kind: str = "last") -> None:
        """Give the run's state, as it is between two batches, to whoever keeps it."""
        saving = self._saving
        if saving is None:
            if kind == "asked":
                self._record.change(self._at, "nothing saved: this run keeps no files", "warning")
            return
        before = perf_counter()
        self.now = (Step.OTHER, before)
        self.gauges.collect(everything=True)
        self.hindsight.verify()
        bad = bad_weights(self._training.model)
        if bad:
            saving.refuse(f"{bad} holds NaN or infinity")
        else:
            try:
                if kind == "best":
                    saving.save(kind, take_model(self.parts))
                else:
                    state = take_state(self.parts)
                    saving.save(kind, state)
                    self.hindsight.remember(state)
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
                    self._record.change(self._at, text, kind)

    def _watched(self, step: Step, since: float) -> None:
        """Count the time from `since` to now as watching, and let the step begin now."""
        here = perf_counter()
        self._clock.watched += here - since
        self.now = (step, here)

    def _validate_now(self) -> None:
        """A validation asked for by hand, between two batches."""
        steering = self.steering
        steering.validate_now = False
        if self._training.validation is None:
            return
        paused, steering.paused = steering.paused, False
        self.now = (Step.OTHER, perf_counter())
        with closing(validate(self._training, self._at, self.judge.begin())) as steps:
            self.drive(steps)
        self.judge.take()
        self.lookout.judge("validation", Step.DATA)
        steering.paused = steering.paused or paused
        self.mailbox.settled = False
