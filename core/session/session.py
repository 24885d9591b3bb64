"""`Session`: one run of a training, as a front end sees it."""

from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.utils.data import IterableDataset

from ..inspection.batch_content import criterion_name
from ..protocol.commands import Command, Show, Suspended
from ..protocol.diagnosis import VerdictInputs
from ..protocol.listener import Listener
from ..protocol.rank_times import RankNow
from ..protocol.snapshot import Outcome, RunInfo, RunLocation, Snapshot
from ..protocol.steps import State, Step
from ..serving.server import Introduction, RunServer
from ..storage.persistence import Persistence
from ..training.advice import lost_worker
from ..training.compile import COMPILED_ANEW, COMPILING, compile_in_place
from ..training.data import Batches, TensorBatches, batch_count
from ..training.device import computing_with, describe_device, device_reader
from ..training.failure import describe_failure
from ..training.lr import LearningRate, ScheduleError, group_names
from ..training.nonfinite import NonFiniteError
from ..training.progress import Progress
from ..training.resume_data import Loaders, unrepeatable
from ..training.rng import seed_rng
from ..training.spread import is_spread
from ..training.training import Training
from ..training.workers import Workers
from ..verdicts.verdicts import find_verdicts
from .breakpoints import BreakReport
from .clock import Clock, EventClock
from .controller import StoppedError, UndoneError
from .engine import Engine
from .mailbox import Mailbox
from .rank_agreement import told_by_ranks
from .recorder import Recorder
from .recovery import OnNonFinite, Recovery
from .replay import FirstTime, Replay
from .resume_check import ResumeCheck
from .run_length import check_batches, check_reach
from .state import RunState, put_rng, put_state, state_of_rank

if TYPE_CHECKING:
    from ..serving.rank_reader import RankReader
    from ..training.ranks import RankGroup

BLINK: Final = 1.0
"""Seconds; a shorter stop of the process can't be told from what lies between two beats."""


def describe_run(training: Training) -> RunInfo:
    """What does not change of a training while it runs."""
    about, task, optimizer = training.about, training.task, training.optimizer
    scheduler = training.scheduler
    batch_size = getattr(training.batches, "batch_size", None)
    ranks = "" if training.ranks is None else f", {training.ranks.size} processes"
    if is_spread(training.model):
        ranks += " with a part each"
    return RunInfo(
        name=about.name,
        data=about.data or describe_data(training.batches),
        model=about.model or type(training.model).__name__,
        parameters=training.parameters,
        task=task.name,
        metric_name=task.metric_name,
        higher_is_better=task.higher_is_better,
        optimizer=describe_optimizer(optimizer),
        scheduler=None if scheduler is None else about.scheduler or type(scheduler).__name__,
        batch_size=batch_size if isinstance(batch_size, int) else None,
        epochs=training.epochs,
        batches_per_epoch=batch_count(training.batches),
        validation_batches=(
            None if training.validation is None else batch_count(training.validation)
        ),
        device=describe_device(training.device) + ranks,
        threads=training.threads or torch.get_num_threads(),
        seed=training.seed,
        validates=training.validation is not None,
        exact_clock=training.device.type == "cpu",
        amp=training.amp,
        compile=training.compile,
        groups=group_names(optimizer),
        settings=tuple((key, _in_short(value)) for key, value in about.settings),
        criterion=criterion_name(training.criterion),
        clips=training.clip_norm is not None or training.scaler.is_enabled(),
        clip_norm=training.clip_norm,
        early_stop=training.early_stop,
        min_delta=training.min_delta,
        accumulate=training.accumulate,
        schedule_moves=(
            "validation" if isinstance(scheduler, ReduceLROnPlateau) else training.scheduler_per
        ),
    )


def _in_short(value: Any) -> Any:
    """A value as it is if it is plain, else in Python's own words."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(map(_in_short, value))
    return value if isinstance(value, float) and math.isfinite(value) else repr(value)[:200]


def describe_optimizer(optimizer: Optimizer) -> str:
    """The optimizer's name, and whether it is fused."""
    return type(optimizer).__name__ + (" (fused)" if optimizer.defaults.get("fused") else "")


def describe_data(batches: Batches) -> str:
    """A description of data that has none of its own."""
    if isinstance(batches, (list, tuple)):
        return f"{len(batches):,} batch{'es' * (len(batches) != 1)}"
    samples = batches.features if isinstance(batches, TensorBatches) else None
    if samples is None:
        samples = getattr(batches, "dataset", None)
    try:
        count = len(samples)  # type: ignore[arg-type]
        guessed = "~" * isinstance(samples, IterableDataset)  # nothing but its own word for it
        return f"{guessed}{count:,} sample{'s' * (count != 1)}"
    except (TypeError, NotImplementedError):
        return "samples without a known end"


class Session:
    """One run of a `Training`, in the caller's thread (`run`) or in one of its own (`start`).

    Args:
        training: what to train. It belongs to the session until the run has ended.
        listener: gets every batch, epoch and change, in the training thread.
        on_nonfinite: what to do when a loss or a gradient is NaN or infinite, which is noticed
            before the weights meet it (on an accelerator some batches later): end the run; go
            back to the last good checkpoint with half the learning rate, at most three times
            for one batch; hold and wait for a `GoBack` or a `Stop`; or go on as if nothing was.
            Without `saving` there is nothing to go back to: the run ends.
        saving: keeps the run on the disk.
        state: the run goes on from there, as `session.state.take_state` gave it.
        reschedule: the training is longer now; see `session.state.put_state`.
        restart_epoch: the data are others now; see `session.state.put_state`.
        breakpoints: conditions to hold at when they become true; see `protocol.conditions.parse`.
        on_break: hold, or end the run once the batch is through (`report` tells where).
        notes: warnings about how the run is resumed; recorded when it begins.
        replay: what the run did the first time, to be done again, and the batch to hold at (or, as
            `on_break` says, to end at), behind its backward pass.

    Raises:
        StateError: the state belongs to another training.
        UnfitError: schedule or batches come to an end before the training does.
        ConditionError: a breakpoint can't be understood.
    """

    def __init__(
        self,
        training: Training,
        listener: Listener | None = None,
        *,
        on_nonfinite: OnNonFinite = "stop",
        saving: Persistence | None = None,
        state: Mapping[str, Any] | None = None,
        reschedule: bool = False,
        restart_epoch: bool = False,
        breakpoints: tuple[str, ...] = (),
        on_break: Literal["pause", "stop"] = "pause",
        notes: tuple[str, ...] = (),
        replay: tuple[FirstTime, int] | None = None,
    ) -> None:
        self.training = training
        self._info = describe_run(training)
        self.mailbox = Mailbox()
        self.progress = Progress()
        self.rate = LearningRate(
            training.optimizer,
            training.scheduler,
            training.scheduler_per,
            training.scheduler_metric,
        )
        self.at_end: list[Callable[[Snapshot], None]] = []
        """Called with the last picture, in the training thread, once the run has ended and is kept.
        Each returns at once, and raises nothing."""
        self.saving = saving
        if saving is not None:
            saving.wake = self.mailbox.poke
        clock = Clock(EventClock() if training.device.type == "cuda" else None)
        log = None if saving is None else saving.log
        recorder = Recorder(
            training.task, clock, listener, log, self.rate.groups, training.min_delta
        )
        self._run = RunState(training, self.progress, self.rate, recorder, clock, Loaders(training))
        ranks = training.ranks
        if ranks is not None:
            on_nonfinite = ranks.from_first(on_nonfinite)
            if not ranks.first:
                breakpoints = ()  # the first looks for all
            if state is not None:
                state = state_of_rank(state, training)
        self._state = state
        self._notes = notes
        self.resumed_at: int | None = None
        """Batches done in the state that the run goes on from; None for a new run."""
        if state is not None:
            self._notes += put_state(
                self._run, state, reschedule=reschedule, restart_epoch=restart_epoch
            )
            self.resumed_at = self.progress.batches_done
        check_batches(training)
        self._notes += check_reach(training, self.progress)
        self._engine = Engine(
            self._run,
            self.mailbox,
            stop_on_nonfinite=on_nonfinite != "ignore",
            saving=saving,
            stop_on_break=on_break == "stop",
        )
        if breakpoints:
            self._engine.probes.breakpoints.set(breakpoints)
            self.mailbox.poke()  # from the first gate on
        if replay is not None:
            self._engine.replay = Replay(self._run, *replay)
            self.mailbox.poke()
        self._recovery = Recovery(self._engine, saving, on_nonfinite)
        self._thread: threading.Thread | None = None
        self._workers = Workers(training)
        self._beats = ((perf_counter(), self._counted()),) * 2
        self._ended, self._looking = threading.Event(), threading.Lock()
        self._show = Show()
        self._server: RunServer | None = None
        self._ranks: RankReader | None = None
        self._engine.publish(State.LOADING, Step.DATA, curves=state is not None)

    # What a front end uses; a `Source` has these, wherever the run is.

    @property
    def info(self) -> RunInfo:
        """What does not change while the run goes on, but for the size of a model whose lazy layers
        the first batch makes.
        """
        if self._info.parameters is None:
            self._info = replace(self._info, parameters=self.training.parameters)
        return self._info

    def now(self) -> tuple[Step, float]:
        """The phase that runs at this very moment, and since when (`time.perf_counter`)."""
        return self._engine.now

    def ranks(self) -> tuple[RankNow, ...]:
        """What each of several processes does at this moment, as far as this one knows: the first
        knows all of them. Asks them anew. Empty for one process.
        """
        return () if self._ranks is None else self._ranks.read()

    def _rank_now(self, place: tuple[int, str, int]) -> RankNow:
        (step, since), done = self._engine.now, self.progress.batches_done
        spent, timed = self._run.clock.measured(step, since, done)
        seconds = perf_counter() - since
        return RankNow(*place, step, seconds, done, spent, timed)

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        """The newest Snapshot; asks for a fresher one, which the next gate will build."""
        return self.mailbox.latest(curves=curves)

    def snapshot(self, timeout: float = 10.0) -> Snapshot:
        """A Snapshot built after this call, paused or not; the last one once the run has ended.

        Raises:
            TimeoutError: no gate was reached in time (a very long step, or not started).
        """
        return self.mailbox.fresh(timeout)

    def send(self, command: Command) -> None:
        """Steer the run; see `protocol.commands`. One that has ended can still be looked into."""
        if not self._ended.is_set():
            self.mailbox.send(command)
        elif isinstance(command, Show):
            self._show = command
            threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        """Look into a run that has ended, as was asked for last."""
        probes, last = self._engine.probes, self.mailbox.latest()
        if last is None:
            return
        with self._looking, suppress(Exception):  # a failed model may not be readable
            probes.look_at(self._show)
            inside = probes.inside(last.step, held=True, outcome=last.outcome)
            self.mailbox.publish(replace(last, inside=inside))

    def beat(self) -> None:
        """Note that the process runs. To be called a few times a second, for `awake` to compare."""
        self._beats = (self._beats[-1], (perf_counter(), self._counted()))

    def awake(self, since: float) -> None:
        """The process was stopped by a signal after the last `beat`, and runs again since then
        (`time.perf_counter`). The time between is taken out of training's, and put on record.
        """
        # A stop may end in the middle of a beat, which is then no longer one from before it.
        last, before = self._beats[self._beats[-1][0] <= since]
        if since - last > BLINK:
            self.send(Suspended(since - last, before))
        self.beat()

    def _counted(self) -> tuple[float, ...]:
        return self._run.clock.counted(*self._engine.now)

    def serve(self, announce: Callable[[str], None], location: RunLocation) -> None:
        """Let other processes of the user's look at the run and steer it, until it has ended.
        Of several processes that train one model each has to call this: they tell each other
        where they answer.

        Args:
            announce: is told the path of the socket that answers, and each new one.
            location: where the run is kept.

        Raises:
            OSError: there is no place for a socket.
        """
        about = Introduction(location, device_reader(lambda: self.training.device))
        try:
            self._server = RunServer(self, self.mailbox, announce, about)
        finally:
            ranks = self.training.ranks
            if ranks is not None:
                self._meet_ranks(ranks, "" if self._server is None else str(self._server.path))

    def _meet_ranks(self, ranks: RankGroup, path: str) -> None:
        """Tell the other ranks where this one answers; the first reads all of them from then on."""
        from ..serving.rank_reader import RankReader

        addresses = ranks.exchange((socket.gethostname(), path))
        place = ranks.number, socket.gethostname(), os.getpid()
        own = partial(self._rank_now, place)
        self._ranks = RankReader(own, addresses if ranks.first else ())

    @property
    def attended(self) -> bool:
        """Whether somebody steers the run from another process, or is there to be asked."""
        server = self._server
        return server is not None and (server.steered or server.watched)

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
            KeyboardInterrupt, SystemExit: passed on, once the outcome is there to be read.
        """
        training = self.training
        with computing_with(training.threads):
            if training.seed is not None:
                seed_rng(training.seed + (0 if training.ranks is None else training.ranks.number))
            self._run.clock.start()
            self._engine.now = (Step.OTHER, perf_counter())
            try:
                self._begin()
                outcome = self._train()
            except Exception as error:
                outcome = self._interrupted(error) or self._failed(error)
                if training.ranks is not None:
                    gone = () if self._ranks is None else self._ranks.gone()
                    outcome = told_by_ranks(training.ranks, outcome, gone)
                self._workers.end()
            except BaseException as error:
                self._end(self._failed(error))
                raise
        self._end(outcome)
        return outcome

    def _begin(self) -> None:
        """Put random generators and clock back for a resume, and save a first checkpoint.

        A model is compiled by its first batches: here that is only asked for.
        """
        run, progress, state = self._run, self.progress, self._state
        if state is not None:
            run.clock.restore(state["clock"], progress.batches_done, progress.samples_done)
            put_rng(state, self.training.device)
            self._state = None  # the weights of a large model twice would be a waste
            where = f"epoch {progress.epoch + 1}, after batch {progress.batch}"
            if not progress.batch:
                where = f"the start of epoch {progress.epoch + 1}"
            if progress.epoch >= self.training.epochs:
                where = f"the end, behind epoch {progress.epoch}"
            where += self._trained_again()
            run.recorder.change(progress, f"resumed at {where}", "resumed", faults=progress.faults)
            loss = None if self.saving is None else self.saving.next_loss
            if loss is not None and not self._notes:
                ResumeCheck(self.training, progress, run.recorder, loss)
        for note in (*self._notes, *self._beforehand()):
            run.recorder.change(progress, note, "warning")
        if self.training.compile:
            compile_in_place(self.training.model)
            anew = self.resumed_at is not None
            run.recorder.change(progress, COMPILED_ANEW if anew else COMPILING, "compile")
        if not progress.batch:
            run.epoch_begins()
        if self._engine.lazy:
            self.mailbox.poke()  # it is saved once there is something to save
        else:
            self._engine.save("first")

    def _trained_again(self) -> str:
        """Which batches the run that is resumed has trained since its checkpoint; "" if none."""
        first = self.progress.batches_done + 1
        last = 0 if self.saving is None else self.saving.logged
        if first > last:
            return ""
        if first == last:
            return f": batch {first:,} has no good checkpoint and is trained again"
        return f": batches {first:,} to {last:,} have no good checkpoint and are trained again"

    def _beforehand(self) -> Iterator[str]:
        """What will not go as a person may expect, a line each."""
        why = unrepeatable(self.training.batches)
        if why and self.saving is not None and self.resumed_at is None:
            yield f"if this run is interrupted inside an epoch, that epoch starts over: {why}"

    def _train(self) -> Outcome:
        engine = self._engine
        while True:
            try:
                engine.train()
                engine.save()
            except UndoneError:
                self._recovery.undo()
                self._workers.end()
            except StoppedError as stopped:
                if stopped.clean:
                    engine.readings.collect(everything=True)
                    engine.save()
                self._workers.end()
                return Outcome(engine.controller.stops_as, engine.controller.stop_reason)
            except NonFiniteError as error:
                trouble = self._failed(error)
                goes_back = self._recovery.goes_back(trouble)
                self._workers.end()
                if not goes_back:
                    return trouble
            else:
                epochs = self.training.epochs
                return Outcome(State.FINISHED, f"{epochs:,} epoch{'s' * (epochs != 1)} trained")

    def _interrupted(self, error: Exception) -> Outcome | None:
        """The outcome where the signal that ends the run has ended data workers, too; or None."""
        engine, mailbox, controller = self._engine, self.mailbox, self._engine.controller
        if not lost_worker(error) or engine.now[0] not in (Step.DATA, Step.VALIDATE):
            return None
        if self.training.ranks is not None:
            return None
        give_up = perf_counter() + BLINK
        while controller.stopping is None and (left := give_up - perf_counter()) > 0:
            mailbox.attention = False
            while (command := mailbox.next_command()) is not None:
                controller.apply(command)
            if controller.stopping is None:
                mailbox.wait(left)
        if controller.stopping is None:
            return None
        engine.save()
        return Outcome(State.STOPPED, controller.stop_reason)

    def _failed(self, error: BaseException) -> Outcome:
        """The outcome of a failure. A checkpoint is saved where no batch was under way."""
        engine, training = self._engine, self.training
        step = engine.now[0]
        # Several ranks save together, or not at all.
        between = training.ranks is None and step in (Step.DATA, Step.VALIDATE)
        outcome = describe_failure(error, training.model, self.progress, step)
        if isinstance(error, ScheduleError):  # it fails behind a whole update
            # An accumulation that is closed late, after its batches were counted, is not known.
            between = training.ranks is None and (
                training.accumulate == 1 or batch_count(training.batches) is not None
            )
            if between and training.scheduler_per == "update":
                engine.count_batch()
        if between and isinstance(error, Exception) and not isinstance(error, NonFiniteError):
            with suppress(NonFiniteError):  # seen only now
                engine.save()  # a batch that failed to come, or a validation, has changed nothing
        engine.now = (step, perf_counter())
        return outcome

    @property
    def report(self) -> BreakReport | None:
        """Where a breakpoint has ended the run; None if none has."""
        return self._engine.probes.report

    def _end(self, outcome: Outcome) -> None:
        engine = self._engine
        step = engine.now[0] if outcome.state is State.FAILED else Step.OTHER
        if self.saving is not None:
            self.saving.finish()
            engine.tell_notices()
        if outcome.state is not State.FAILED:
            engine.sample_norm(engine.now[0])
        self.mailbox.begin_snapshot()
        picture = engine.publish(outcome.state, step, outcome, curves=True)
        if self.saving is not None:
            facts = picture.facts or VerdictInputs()
            self.saving.ended(self.info, picture, find_verdicts(self.info, picture, facts))
            engine.tell_notices()
            if self._run.recorder.changes != picture.changes:  # even that could not be written
                engine.publish(outcome.state, step, outcome, curves=True)
        self.mailbox.settled = True
        if self._server is not None:
            self._server.close()
        if self._ranks is not None:
            self._ranks.close()
        for tell in self.at_end:
            tell(picture)
        self._ended.set()
        while (command := self.mailbox.next_command()) is not None:
            self.send(command)  # what was asked for too late for a gate can still be looked at
