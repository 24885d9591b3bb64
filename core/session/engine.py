"""`Engine`: drives the loop of a run, and does at each gate what is to be done there."""

from __future__ import annotations

import math
from contextlib import closing, suppress
from time import perf_counter
from typing import Any

from ..protocol.commands import Save
from ..protocol.snapshot import Outcome, Snapshot
from ..protocol.steps import INSIDE_BATCH, State, Step, Steps
from ..storage.persistence import Persistence
from ..training.data import batch_count, stream_batches
from ..training.lazy import UNMADE, unmade
from ..training.loop import training_loop, validate
from ..training.nonfinite import bad_saved_weights
from ..training.spread import is_spread
from .breakpoints import Breakpoints
from .controller import Controller, StoppedError, UndoneError, WayOn
from .mailbox import Mailbox
from .probes import Probes
from .rank_agreement import Agreement
from .rank_readings import RankReadings
from .readings import Readings
from .recorder import ValidationRecorder
from .replay import Replay
from .state import RunState, StateError, take_model, take_own, take_state


class Engine:
    """Takes the steps that a loop offers, and does at its gates what was asked for.

    Only the training thread touches it, except for `now`, which anybody may read.

    Args:
        run: the run's state.
        mailbox: where commands come from and Snapshots go to.
        stop_on_nonfinite: a NaN or an infinity ends the loop with a `NonFiniteError`.
        saving: keeps the run on the disk; None keeps nothing.
        stop_on_break: a breakpoint ends the loop, instead of holding it.
    """

    def __init__(
        self,
        run: RunState,
        mailbox: Mailbox,
        *,
        stop_on_nonfinite: bool,
        saving: Persistence | None,
        stop_on_break: bool = False,
    ) -> None:
        training = run.training
        self.run, self.mailbox, self._saving = run, mailbox, saving
        metrics = (*training.task.metric_names, *training.metrics)
        breakpoints = Breakpoints(run.progress, run.recorder, metrics)
        self.controller = Controller(run, breakpoints)
        self.agreement: Agreement | None = None
        """Where several ranks train: what they agree on."""
        if training.ranks is not None and training.replica is not None:
            ranks, replica = training.ranks, training.replica
            self.agreement = agreement = Agreement(ranks, replica, mailbox, self.controller)
            self.controller.ask = mailbox.send
            self.readings: Readings = RankReadings(
                run, ranks, replica, lambda: agreement.asks, stop_on_nonfinite=stop_on_nonfinite
            )
        else:
            self.readings = Readings(run, stop_on_nonfinite=stop_on_nonfinite)
        self.probes = Probes(run, self.controller, self.readings, breakpoints, stops=stop_on_break)
        self.validation = ValidationRecorder(
            training, run.progress, run.recorder, run.clock, run.loaders
        )
        self.replay: Replay | None = None
        """What has the run do again what it did before, until it is there."""
        self._lie_told = False
        """Whether it was said that the loader's length is wrong."""
        self._batches_done = self._epoch = 0
        """As they were at the last gate."""
        self.lazy = unmade(training.model)
        """Whether the first batch still has to make layers."""
        self.now: tuple[Step, float] = (Step.OTHER, perf_counter())
        """The phase that runs, and since when (`time.perf_counter`). Other threads read it."""

    def train(self) -> None:
        """Train to the end of the run.

        Raises:
            StoppedError: it was asked to stop, and no batch is under way.
            UndoneError: the run has to go back to before it was broken on purpose.
            NonFiniteError: something is NaN or infinite.
        """
        run, progress = self.run, self.run.progress
        self._batches_done, self._epoch = progress.batches_done, progress.epoch
        self.now = (Step.OTHER, perf_counter())
        self._stop_early()  # one that has, and is resumed
        changed = False
        # In a variable, so that an exception's traceback holds the loader until it was dealt with.
        loops = training_loop(run.training, run.rate, progress, self.validation.begin)
        for steps in loops:
            with closing(steps):
                if changed:
                    next(steps)  # its first gate, before the next batch, is where the run is
                changed = self._drive(steps)
        here = perf_counter()
        running, since = self.now
        run.clock.spent[running] += here - since
        self.now = (Step.OTHER, here)
        self._after_epoch()

    def _drive(self, steps: Steps) -> bool:
        """Take every step of a loop, doing at each gate what is to be done there.

        Returns:
            Whether it was left before a batch for which another loop has to be chosen.
        """
        mailbox, progress = self.mailbox, self.run.progress
        readings, probes, saving = self.readings, self.probes, self._saving
        agreement = self.agreement
        spent, events = self.run.clock.spent, self.run.clock.events
        # Python 3.11 takes a tenth of a microsecond to look up a member of an enumeration.
        backward, other, validating = Step.BACKWARD, Step.OTHER, Step.VALIDATE
        running, since = self.now
        for step in steps:
            # At full speed nobody wants anything: what stands here is paid for by every gate.
            here = perf_counter()
            spent[running] += here - since
            self.now = (step, here)
            if events is not None:
                events.gate(step)
            if probes.active:
                if probes.at_gate(step, running, here):
                    mailbox.attention = True
                self._watched(step, here)
            if step is backward:
                readings.read_loss()
            elif running is backward:  # before they are clipped, or added to
                if readings.checks:
                    readings.check_gradients()
            elif running is other or running is validating:
                if progress.batches_done != self._batches_done:
                    self._batches_done = progress.batches_done
                    readings.batch_done(here)
                    if probes.active and probes.check("end", step):
                        mailbox.attention = True
                    if saving is not None and here >= saving.due:
                        self._save_is_due()
                    if agreement is not None and agreement.called():
                        mailbox.attention = True
                if progress.epoch != self._epoch:
                    self._epoch = progress.epoch
                    self._after_epoch()
            if mailbox.attention and self._attend(step):
                return True
            running, since = self.now
        return False

    def _attend(self, step: Step) -> bool:
        """Do at a gate what was asked for, and hold there for as long as that is wanted.

        Returns:
            Whether another loop has to be chosen for the next batch.
        """
        clock, controller, mailbox = self.run.clock, self.controller, self.mailbox
        asking = controller.trouble is not None
        changed_loop, agreement = False, self.agreement
        inbox = mailbox if agreement is None else agreement
        busy_since = self.now[1]
        if not asking:
            controller.arrive()
            if self.replay is not None:
                self._follow(self.replay, step)
        while True:
            mailbox.attention = False
            if agreement is not None:
                agreement.arrive()
            # What was sent, in order. What comes after a way back waits for the state behind it.
            while controller.way_on is None and (command := inbox.next_command()) is not None:
                controller.apply(command)
                mailbox.settled = False
            self.tell_notices()
            self.probes.look_at(controller.show)

            if controller.way_on is not None:
                if asking:
                    break
                raise UndoneError
            if not asking:
                if controller.must_stop(step):
                    raise StoppedError
                if step is Step.DATA:  # no batch is under way
                    if self.lazy and self.run.progress.batches_done:
                        self._layers_made()
                    if controller.faults != self.run.progress.faults:
                        changed_loop = self._inject_faults() or changed_loop
                    if controller.saving is not None:
                        self.save("asked" if controller.saving == "asked" else "last")
                        controller.saving = None
                    if controller.validating:
                        clock.watched += perf_counter() - busy_since
                        self._validate_now()
                        busy_since = perf_counter()
                        continue

            hold = controller.hold()
            for_long = hold == math.inf
            if mailbox.wanted or (for_long and not mailbox.settled):
                self.now = (Step.OTHER, perf_counter())  # watching is none of the five
                controller.norm_wanted = True
                if not asking:
                    self.sample_norm(step)
                    self.readings.collect(everything=for_long)
                state = State.VALIDATING if step is Step.VALIDATE else State.RUNNING
                curves = mailbox.begin_snapshot() or (for_long and not mailbox.settled)
                self.publish(State.PAUSED if for_long else state, step, curves=curves)
            if hold is None:
                break
            mailbox.settled = for_long
            before = perf_counter()
            self.now = (step, before)
            if not for_long:
                clock.watched += before - busy_since
                busy_since = before
            patience = None if for_long else hold
            mailbox.wait(patience if agreement is None else agreement.patience(patience))
            here = perf_counter()
            clock.waited += here - busy_since  # answering while paused is no training time either
            controller.held(here - before)
            busy_since = here
        mailbox.settled = False
        if step in INSIDE_BATCH and step is not Step.OTHER:
            self.readings.read_lr()
        if agreement is not None:
            agreement.leave()
        if controller.norm_wanted and step is Step.UPDATE and not asking:
            controller.norm_wanted = False
            self.now = (Step.OTHER, perf_counter())
            self.sample_norm(step)
        if controller.lasting or controller.norm_wanted or self.lazy or self.replay is not None:
            mailbox.attention = True
        self._watched(step, busy_since)
        return changed_loop

    def _follow(self, replay: Replay, step: Step) -> None:
        """Do at a gate what was done there the first time; hold, or end the run, at the batch."""
        if replay.at_gate(step, self.controller):
            self.replay = None
            if replay.difference:
                self.run.recorder.change(self.run.progress, replay.difference, "warning")
            self.probes.hold("", (), replay.text, step, kind="replay")

    def sample_norm(self, step: Step) -> None:
        """Read the norm of the gradients before an update, or behind it while they are there."""
        progress, training = self.run.progress, self.run.training
        done = progress.batches_done
        if step is Step.UPDATE:
            self.readings.sample_norm(done + 1)
        elif training.accumulate > 1:
            return
        elif step in (Step.DATA, Step.VALIDATE, Step.OTHER):
            self.readings.sample_norm(done + progress.under_way)
        elif step is Step.ZERO_GRAD and progress.loss is None and training.clip_norm is None:
            self.readings.sample_norm(done)  # clipped ones have lost their size

    def ask(self, trouble: Outcome) -> WayOn:
        """Hold the run until a person says how it is to go on.

        Args:
            trouble: the outcome that it would have.
        """
        controller = self.controller
        controller.trouble = trouble
        if self.agreement is not None:
            self.agreement.call()
        self._attend(self.now[0])
        way_on = controller.way_on
        assert way_on is not None
        controller.trouble = controller.way_on = None
        return way_on

    def publish(
        self, state: State, step: Step, outcome: Outcome | None = None, *, curves: bool = False
    ) -> Snapshot:
        """Put a Snapshot of now into the mailbox."""
        run, controller = self.run, self.controller
        progress, epochs = run.progress, run.training.epochs
        # What the last epoch had, where its loader can't tell or was wrong.
        seen = progress.length if progress.length != progress.promised else None
        count = seen or batch_count(run.training.batches)
        left = None
        if count is not None:
            left = max(0, (epochs - progress.epoch) * count - min(progress.batch, count))
        snapshot = run.recorder.snapshot(
            progress,
            run.rate,
            state=state,
            step=step,
            epochs=epochs,
            batches_left=left,
            speed=controller.speed,
            stopping=controller.stopping,
            curves=curves,
            outcome=outcome,
            batches_per_epoch=seen,
            saved=None if self._saving is None else self._saving.saved,
            batch_loss=self.readings.loss_under_way(wait=state is State.PAUSED),
            inside=self.probes.inside(step, held=state is State.PAUSED, outcome=outcome),
            facts=self.probes.facts(validation_classes=self.validation.classes) if curves else None,
            undo=controller.healthy is not None,
            breakpoints=self.probes.breakpoints.conditions,
            trouble=controller.trouble,
        )
        self.mailbox.publish(snapshot)
        return snapshot

    # What happens at particular gates.

    def _after_epoch(self) -> None:
        """Close an epoch at the first gate after it."""
        run, progress = self.run, self.run.progress
        last = run.recorder.last
        if last is not None and last.epoch == progress.epoch:
            return
        step, here = self.now
        run.epoch_begins()
        self.readings.collect(everything=True)
        recorder, validated = run.recorder, self.validation.end()
        if validated:
            run.rate.after_validation(recorder.val_loss, recorder.metrics)
        summary = recorder.epoch(progress, run.rate.lr, run.rate.by_group, validated=validated)
        for notice in run.rate.take_notices():
            recorder.change(progress, notice, "schedule")
        promised = progress.promised
        told = None if promised is None else range(promised, promised + 1)
        told = told or stream_batches(run.training.batches)
        if told is not None and progress.length not in told and not self._lie_told:
            self._lie_told = True
            text = (
                f"the loader's length is {told[len(told) // 2]:,} batches, but the epoch had "
                f"{progress.length:,}: as many are expected of the next"
            )
            recorder.change(progress, text, "warning")
        self.controller.epoch_ended()
        self._stop_early()
        kinds: tuple[str, ...] = ()
        if self._saving is not None:
            kinds = self._saving.after_epoch(summary.epoch, best=recorder.is_best(summary))
        ranks = run.training.ranks
        for kind in kinds if ranks is None else ranks.from_first(kinds):
            self.save(kind)
        if self.probes.check("validation", Step.DATA):
            self.mailbox.attention = True
        self._watched(step, here)

    def _stop_early(self) -> None:
        """End the run before its next batch if validations have not got better for long enough."""
        training, recorder = self.run.training, self.run.recorder
        patience, waited, mark = training.early_stop, recorder.waited, recorder.mark
        if patience is None or waited < patience or self.run.progress.epoch >= training.epochs:
            return
        by = f" by more than {training.min_delta:g}" if training.min_delta else ""
        than = "finite"
        if mark is not None:
            than = f"better than {mark.value:.4g} (epoch {mark.epoch}){by}"
        self.controller.finish(
            f"early stopping: no {training.task.metric_name} {than} in {waited} "
            f"validation{'s' * (waited != 1)}"
        )
        self.mailbox.attention = True

    def save(self, kind: str = "last") -> None:
        """Have the run's state written to the disk, as it is between two batches."""
        run, saving, ranks = self.run, self._saving, self.run.training.ranks
        others: tuple[dict[str, Any], ...] = ()
        if ranks is not None:
            if kind != "best":
                others = tuple(ranks.exchange({} if ranks.first else take_own(run))[1:])
            spread = is_spread(run.training.model)
            if spread and ranks.from_first(saving is not None) and not ranks.first:
                with suppress(StateError):  # the first one says so
                    self._take(kind)
            if not ranks.first:
                return
        if saving is None:
            if kind == "asked":
                text = "nothing saved: this run keeps no files"
                run.recorder.change(run.progress, text, "warning")
            return
        self.now = (Step.OTHER, perf_counter())
        self.readings.collect(everything=True)
        try:
            state = self._take(kind)
        except StateError as error:
            saving.refuse(str(error))
        except MemoryError:
            saving.refuse("there is no memory for a copy of the run's state")
        else:
            bad = bad_saved_weights(run.training.model, state["model"])
            if bad:
                saving.refuse(f"{bad} holds NaN or infinity")
            else:
                saving.save(kind, {**state, "others": others} if others else state)
        self.tell_notices()

    def _take(self, kind: str) -> dict[str, Any]:
        """What a checkpoint of this kind holds; all ranks that share a model take part in it."""
        return take_model(self.run) if kind == "best" else take_state(self.run, gathers=True)

    def _save_is_due(self) -> None:
        """It is time for a checkpoint, which all ranks have to take part in."""
        if self.agreement is None:
            self.controller.saving = self.controller.saving or "due"
            self.mailbox.attention = True
        elif self._saving is not None:
            self._saving.due = math.inf
            self.mailbox.send(Save(due=True))

    def count_batch(self) -> None:
        """Count the batch under way: its update is made, though its schedule has failed."""
        self.run.progress.end_batch(updated=True)
        self._batches_done = self.run.progress.batches_done
        self.readings.batch_done(perf_counter())

    def tell_notices(self) -> None:
        """Put on record what became of checkpoints."""
        if self._saving is None:
            return
        for kind, text in self._saving.take_notices():
            self.mailbox.settled = False  # a Snapshot from before is outdated
            if text:
                self.run.recorder.change(self.run.progress, text, kind)

    def _layers_made(self) -> None:
        """The first batch has been through the model: tell its size, and keep it."""
        self.lazy = False
        count = self.run.training.parameters
        size = "some layers still wait" if count is None else f"parameters: {count:,}"
        text = f"the first batch has made the lazy layers: {size}"
        self.run.recorder.change(self.run.progress, text, "model")
        self.controller.saving = self.controller.saving or "due"

    def _inject_faults(self) -> bool:
        """Break or mend the loop as was asked for; whether another one has to be chosen."""
        self.readings.collect(everything=True)
        return self.controller.inject_faults(
            None if self._saving is None else self._saving.log.state()
        )

    def _validate_now(self) -> None:
        """A validation asked for by hand, between two batches."""
        run, controller = self.run, self.controller
        controller.validating = False
        if run.training.validation is None:
            return
        if self.lazy:  # it would draw the weights in the place of the first batch
            run.recorder.change(run.progress, f"the model can't be validated: {UNMADE}", "warning")
            return
        paused, controller.paused = controller.paused, False
        if self.agreement is not None:
            self.agreement.leave()
        self.now = (Step.OTHER, perf_counter())
        try:
            with closing(validate(run.training, run.progress, self.validation.begin())) as steps:
                self._drive(steps)
        finally:
            controller.paused = controller.paused or paused
            if self.agreement is not None:
                self.agreement.call()
        self.validation.end()
        self.probes.check("validation", Step.DATA)
        self.mailbox.settled = False

    def _watched(self, step: Step, since: float) -> None:
        """Count the time from `since` to now as watching, and let the step begin now."""
        here = perf_counter()
        self.run.clock.watched += here - since
        self.now = (step, here)
