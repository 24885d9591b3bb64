"""A training loop that somebody else drives: hooks say what runs, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any, Final

import torch
from torch import Tensor, nn

from ..inspection.first_batch import Shapes
from ..protocol.diagnosis import VerdictInputs
from ..protocol.listener import Listener
from ..protocol.rank_times import RankNow
from ..protocol.snapshot import Certainty, Outcome, RunInfo, RunLocation, Snapshot
from ..protocol.steps import State, Step, Task
from ..serving.server import Introduction, RunServer
from ..session.clock import Clock
from ..session.readings import Readback
from ..session.recorder import Recorder
from ..session.session import describe_data
from ..session.suspension import SuspensionWatch
from ..storage.run_log import RunLog
from ..training.device import describe_device, device_reader
from ..training.failure import describe_failure
from ..training.lazy import learnable
from ..training.own_code import first_line
from ..training.progress import Progress, as_number
from .batches import LoaderPass, LoopBatches
from .epochs import EpochLoop
from .hooks import LoopHooks
from .learner import Learner, LoopRate
from .loss import Loss, LossReader
from .steering import LoopSteering
from .validation import ValidationLoss

NOTHING: Final[Mapping[str, Any]] = {}
"""No options."""


class ForeignLoop:
    """Books the time of a loop that is not ours, and counts its batches, from what hooks tell.

    Waiting for data, `zero_grad()` of optimizers and models, the models' forward passes, clipping,
    `backward()` and `optimizer.step()` are seen exactly, wherever they stand. The loss of a batch
    is what `backward()` is called on: the sum over the calls that reach parameters of the optimizer
    before its update, see `loss`. It is unknown where `backward()` is called on something that
    is no single number. The time that computing the loss takes is exact with a criterion, and
    otherwise inferred: what lies between the forward pass and `backward()`. Forward passes in eval
    mode that no `backward()` follows count as validation. A phase that never came is unknown.

    No number changes. Nothing is raised into the loop but a KeyboardInterrupt that a person has
    asked for: where watching fails, it ends.

    Args:
        listener: gets every epoch, and every batch whose loss is known, in the loop's thread.
        tick: called after every batch, and during validation.
        by_update: where there is no loader, an update ends a batch.
    """

    def __init__(
        self,
        listener: Listener | None = None,
        tick: Callable[[], None] | None = None,
        *,
        by_update: bool = False,
    ) -> None:
        self.name = "loop"
        """Of the run, for a person."""
        self.device = torch.device("cpu")
        self.progress = Progress()
        self.outcome: Outcome | None = None
        self.mistake: Exception | None = None
        """Of watching itself, which has ended with it; the loop went on."""
        self.knows_loss = False
        """Whether a loss was seen so far."""
        self._should_fall = True
        """Whether no other optimizer's training was seen to depend on the loss, or it on that."""
        self.learners: list[Learner] = []
        """The optimizers, in the order of their first steps."""
        self._stretched: Shapes | None = None
        """What the criterion's first call has shown, see `first_batch`."""
        self._tick = tick
        self._clock = Clock()
        self._rate = LoopRate(self.learners)
        self._record = Recorder(Task(), self._clock, listener)
        self._batches = LoopBatches(
            self.progress,
            self._count_batch,
            self._count_epoch,
            self._find_epoch_loop,
            by_update=by_update,
        )
        self._reader = LossReader()
        self._readback: Readback[tuple[int, int, int, float, tuple[float, ...]]] | None = None
        self._hooks: LoopHooks | None = None
        # The phase that runs.
        self._now = (Step.OTHER, perf_counter())
        self._depth = 0
        """Forward passes that are under way, one inside of another."""
        self._evaluates = False
        """Whether the last one was in eval mode."""
        self._in_backward = False
        self._updating: Learner | None = None
        """Inside of whose `optimizer.step()`, which may call a closure."""
        self._closure = False
        """Whether it was given one, which has computed no gradients yet."""
        self._has_criterion = False
        """Whether a criterion says when it computes the loss."""
        self._val_loss = ValidationLoss()
        self._validated = 0.0
        """Seconds of all validations that are over."""
        self._given: LoaderPass | None = None
        """Which pass over a loader has given a batch last."""
        self._evaluated: LoaderPass | None = None
        """Whose batch was validated on last."""
        self._val_loss_of: int | None = None
        """The epoch whose validation's loss is known."""
        self._unless: Step | None = None
        """What the phase that runs was, if no `backward()` follows; None if that is no matter."""
        self._aside: list[tuple[Step, Step, float]] = []
        """Seconds that wait for it: whose they are if it follows, and if it does not."""
        self._inferred: set[Step] = set()
        """Phases whose time is not exact."""
        self.steering = LoopSteering(self.progress, self._rate, self._record, self._clock)
        self.mailbox = self.steering.mailbox
        self._server: RunServer | None = None
        self._suspension: SuspensionWatch | None = None

    # What a front end uses.

    @property
    def batches_per_epoch(self) -> int | None:
        """None before the first epoch, and where the loader can't tell."""
        return self._batches.per_epoch

    @property
    def models(self) -> list[nn.Module]:
        """The outermost modules that are trained."""
        found = (model() for one in self.learners for model in one.models)
        return list(dict.fromkeys(model for model in found if model is not None))

    @property
    def info(self) -> RunInfo:
        """What is known of the run, and how surely."""
        task, batches = Task(), self._batches.batches
        size = getattr(batches, "batch_size", None)
        if size is None:
            size = getattr(getattr(batches, "batch_sampler", None), "batch_size", None)
        models = self.models
        counts = [learnable(model) for model in models]
        if not models:  # of a script whose parameters are in no module
            counts = [p.numel() for one in self.learners for p in one.parameters]
        names = dict.fromkeys(type(model).__name__ for model in models)
        return RunInfo(
            name=self.name,
            data=describe_data(batches),
            model=" + ".join(names),
            parameters=None if None in counts else sum(count or 0 for count in counts),
            task=task.name,
            metric_name=task.metric_name,
            higher_is_better=task.higher_is_better,
            optimizer=" + ".join(dict.fromkeys(one.described for one in self.learners)),
            scheduler=None,
            groups=self._rate.groups,
            batch_size=size if isinstance(size, int) else None,
            epochs=0,
            batches_per_epoch=self.batches_per_epoch,
            validation_batches=None,
            device=describe_device(self.device),
            threads=torch.get_num_threads(),
            seed=None,
            clips=self._clock.spent[Step.CLIP] > 0,
            validates=self._val_loss_of is not None,
            exact_clock=self.device.type == "cpu",
            phases=tuple(
                Certainty.UNKNOWN
                if not self._clock.spent[step]
                else Certainty.INFERRED
                if step in self._inferred or self.device.type != "cpu"
                else Certainty.EXACT
                for step in Step
            ),
            loss=Certainty.EXACT if self.knows_loss else Certainty.UNKNOWN,
            foreign=True,
            val_loss=Certainty.UNKNOWN if self._val_loss_of is None else Certainty.INFERRED,
            should_fall=self._should_fall
            and len(self._batches.places) < 2
            and self.progress.samples_done > 0,
        )

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the whole loop's time so far, one a Step, 0 to 1."""
        spent = self._clock.spent
        return tuple(seconds / (sum(spent) or 1.0) for seconds in spent)

    def now(self) -> tuple[Step, float]:
        """The phase that runs at this very moment, and since when (`time.perf_counter`)."""
        return self._now

    def ranks(self) -> tuple[RankNow, ...]:
        """Of several processes each is looked at alone."""
        return ()

    def latest(self, *, curves: bool = False) -> Snapshot:
        """A picture of the run; to be asked for in the thread of the loop."""
        state = State.RUNNING if self.outcome is None else self.outcome.state
        return self._picture(state, self._now[0], curves)

    def _picture(self, state: State, step: Step, curves: bool) -> Snapshot:
        steering, several = self.steering, len(self.learners) > 1
        epochs, left = self._expected()
        picture = replace(
            self._record.snapshot(
                self.progress,
                self._rate,
                state=state,
                step=step,
                epochs=epochs,
                batches_left=left,
                curves=curves,
                outcome=self.outcome,
                batch_loss=as_number(self.progress.loss) if state is State.PAUSED else None,
                speed=steering.controller.speed,
                stopping=steering.controller.stopping,
            ),
            learners=tuple(one.facts(self._rate.factor) for one in self.learners) * several,
            breakpoints=steering.breakpoints.conditions,
            inside=steering.inside(step, held=state is State.PAUSED, outcome=self.outcome),
        )
        if not curves:
            return picture
        facts = VerdictInputs(
            layers=picture.inside.layers,
            first_loss=self._record.first_loss,
            stretched=self._stretched,
        )
        return replace(picture, facts=facts)

    def _expected(self) -> tuple[int, int | None]:
        """Epochs of the whole run, and batches that are left; here the loop alone knows."""
        return self.progress.epoch + 1, None

    def keep(self, log: RunLog) -> None:
        """Have every record from now on kept in this log."""
        self._record.keep(log)

    def warn(self, text: str) -> None:
        """Put on record what a face has to tell of the loop."""
        self._record.change(self.progress, text, "warning")

    def serve(self, announce: Callable[[str], None], location: RunLocation) -> None:
        """Let other processes of the user's look at the loop and steer it, until it has ended.

        Args:
            announce: is told the path of the socket that answers, and each new one.
            location: where the run is kept.

        Raises:
            OSError: there is no place for a socket.
        """
        about = Introduction(location, device_reader(lambda: self.device))
        server = RunServer(self, self.mailbox, announce, about)
        self._server, self.steering.is_attended = server, lambda: server.watched

    # Beginning and end.

    def _begin(self, hooks: LoopHooks) -> None:
        self._clock.start()
        self._now = (Step.OTHER, perf_counter())
        self._hooks = hooks
        self._suspension = SuspensionWatch(
            lambda: self._clock.counted(*self._now), self.mailbox.send
        )

    def _hook_functions(self, hooks: LoopHooks) -> None:
        """Hook what no model or optimizer of its own has."""
        hooks.around(torch.amp.GradScaler, "scale", self._scale)
        hooks.around(torch.autograd, "backward", self._backward)
        for name in ("clip_grad_norm_", "clip_grad_value_"):
            hooks.around(nn.utils, name, self._clip)
        hooks.around(torch.jit, "script", hooks.without)
        hooks.around(nn.Module, "eval", self._to_eval)

    def _learn(self, optimizer: Any) -> Learner:
        """Take an optimizer among those that are watched."""
        learner = Learner(optimizer)
        self.learners.append(learner)
        self._regroup()
        return learner

    def _drop_dead(self) -> None:
        """Forget optimizers that the loop has dropped."""
        for one in [one for one in self.learners if one.optimizer is None]:
            self.learners.remove(one)

    def _regroup(self) -> None:
        """The optimizers are others than before, or in another order."""
        self._rate.name_groups()
        self._record.name_groups(self._rate.groups)

    def _end(self, error: BaseException | None, step: Step) -> None:
        """Close the books; `error` has ended the loop, during `step`."""
        at = self.progress
        place = f"epoch {at.epoch + 1}, batch {max(1, at.batch + self._batches.worked)}"
        if self.mistake is None:
            self._now_runs(Step.OTHER)
            self._take_losses(everything=True)
            self._validation_ends()
            self._batches.close()
            if error is None or isinstance(error, SystemExit):
                self._batches.finish_epoch()
            if isinstance(error, SystemExit) and at.epoch and not at.batch:
                error = None  # it has left behind an epoch, with whatever code
            self._settle(backward=False)
        epochs, stopped = self.progress.epoch, self.steering.stopped
        if error is None and not stopped:
            self.outcome = Outcome(State.FINISHED, f"{epochs} epoch{'s' * (epochs != 1)} trained")
        elif isinstance(error, Exception) and error is not self.steering.raised:
            model = next(iter(self.models), None) or nn.Identity()
            failed = describe_failure(error, model, self.progress, step)
            where = failed.where.replace(f", {Step.OTHER.info.name}", "")
            self.outcome = replace(failed, where=where)
        elif stopped or isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            self.outcome = Outcome(State.STOPPED, stopped or "interrupted")
        elif isinstance(error, SystemExit):
            self.outcome = Outcome(State.STOPPED, f"left with {_exit_code(error)} in {place}")
        else:
            self.outcome = Outcome(State.STOPPED, f"left by {type(error).__name__}")

    def _ended(self, step: Step) -> Outcome:
        """Publish the last picture, have it written down, and let go of those who look on."""
        outcome = self.outcome or Outcome(State.STOPPED, "not watched to its end")
        self.outcome = outcome
        if self._suspension is not None:
            self._suspension.close()
        self._safely(self._publish_last, outcome.state, step)
        self.mailbox.settled = True
        self._safely(self._over)
        if self._server is not None:
            self._server.close()
        return outcome

    def _publish_last(self, state: State, step: Step) -> None:
        self.mailbox.begin_snapshot()
        step = step if state is State.FAILED else Step.OTHER
        self.mailbox.publish(self._picture(state, step, True))

    def _over(self) -> None:
        """Everything is known: for whoever writes it down."""

    def _safely(self, call: Callable[..., Any], *args: Any) -> Any:
        """What `call` gives. A mistake in it ends the watch, and nothing else; it gives None."""
        try:
            return call(*args)
        except Exception as error:
            self._fail(error)
            return None

    def _fail(self, mistake: Exception) -> None:
        """Watching has failed: it ends, the loop does not. Raises what is the loop's own."""
        if mistake is self.steering.raised:
            raise mistake
        self.mistake = mistake
        if self._hooks is not None:
            self._hooks.over = True

    # Which phase runs.

    def _now_runs(self, step: Step | None = None, unless: Step | None = None) -> None:
        """Book the time of the phase that ran until now, or set it aside, and let another begin.
        At the edge before one that is known, do what was asked for.

        Args:
            step: it; None where what comes next is not known.
            unless: what it was, if no `backward()` follows.
        """
        # Each batch comes through here twelve times.
        here = perf_counter()
        known = step
        if step is None:
            step = Step.UPDATE if self._updating is not None else Step.OTHER
        (running, since), otherwise = self._now, self._unless
        self._now, self._unless = (step, here), unless
        if otherwise is None:
            self._clock.spent[running] += here - since
        else:
            self._aside.append((running, otherwise, here - since))
        if self.mailbox.attention and known is not None and known is not Step.OTHER:
            self._attend(known)

    def _attend(self, step: Step) -> None:
        """Answer and hold at the edge before a phase. Raises KeyboardInterrupt to stop the loop."""
        edge = step in (Step.DATA, Step.VALIDATE) or not self._batches.worked
        try:
            self.steering.attend(step, self._picture, edge=edge)
        finally:
            here = perf_counter()
            self._clock.watched += here - self._now[1] - self.steering.waited
            self._now = (step, here)

    def _settle(self, *, backward: bool, but: Step | None = None) -> None:
        """Book what was set aside: whether a backward pass has followed is known now.

        Args:
            backward: it has.
            but: what may be this still waits.
        """
        spent, aside, self._aside = self._clock.spent, self._aside, []
        for running, otherwise, seconds in aside:
            if otherwise is but:
                self._aside.append((running, otherwise, seconds))
            else:
                spent[running if backward else otherwise] += seconds

    def _forward_begins(self, model: nn.Module, given: Any) -> None:
        self._depth += 1
        if self._in_backward or self._depth > 1:  # computed again for it, or a part of itself
            return
        self._evaluates = not model.training
        if model.training:
            if self.progress.val_batch or self._val_loss.under_way:
                self._validation_ends()
            batches = self._batches
            batches.goes_on()
            batches.begins()
            self._now_runs(Step.FORWARD)
            if not batches.worked:
                batches.works()
        else:
            self._batches.evaluated, self._evaluated = True, self._given
            if not torch.is_grad_enabled() and self._hooks is not None:
                self._val_loss.begin(self._hooks)
            self.progress.val_batch += 1
            self._compute_in_eval(Step.FORWARD)
        if self._aside:  # between two forward passes is no loss
            self._settle(backward=False, but=Step.VALIDATE)
        if self.steering.busy:
            self.steering.sees_features(given)

    def _compute_in_eval(self, step: Step) -> None:
        """A phase begins that is validation, unless `backward()` follows."""
        if torch.is_grad_enabled():
            self._now_runs(step, unless=Step.VALIDATE)
        else:
            self._now_runs(Step.VALIDATE)

    def _forward_ends(self, model: nn.Module, _: Any, outputs: Any) -> None:
        self._depth = max(0, self._depth - 1)
        if self._in_backward or self._depth:
            return
        learns = torch.is_grad_enabled()
        if learns:
            if not isinstance(outputs, Tensor):
                self._reader.in_outputs(outputs)
        elif not model.training and self._tick is not None:
            self._tick()
        if self.steering.busy:
            self.steering.sees_outputs(outputs)
        if learns and not self._has_criterion:
            self._inferred.add(Step.LOSS)
            unless = Step.UPDATE if self._updating is not None else Step.OTHER
            self._now_runs(Step.LOSS, unless=unless)
        else:
            self._now_runs()

    def _to_eval(self, bare: Callable[..., Any], module: Any) -> Any:
        """A model is about to be validated, it may be: before its losses are looked up."""
        self._safely(self._expect_validation, module)
        return bare(module)

    def _expect_validation(self, module: nn.Module) -> None:
        trained = {id(one) for one in self.models}
        if self._hooks is not None and any(id(one) in trained for one in module.modules()):
            self._val_loss.begin(self._hooks)

    def _validation_ends(self) -> None:
        """The model trains again: a validation is over, if there was one. One before the first
        update is none of an epoch.
        """
        loss = self._val_loss.end(self.progress.val_batch)
        if not self.progress.val_batch:
            return
        if self._reader.composite:  # what is validated is a part of what is trained
            loss = None
        self.progress.val_batch = 0
        spent = self._clock.spent[Step.VALIDATE]
        seconds, self._validated = spent - self._validated, spent
        if loss is not None and self.progress.updates:
            self._val_loss_of = self.progress.epoch
            self._record.validated(self.progress.batches_done, loss, {}, seconds)
            self.steering.validated()

    def _loss_begins(self, criterion: nn.Module, _: Any) -> None:
        if self._in_backward:
            return
        if self._evaluates:
            self._val_loss.criterion_begins(criterion)
            self._compute_in_eval(Step.LOSS)
        else:
            self._now_runs(Step.LOSS)

    def _loss_ends(self, criterion: nn.Module, given: Any, loss: Any) -> None:
        if not self._in_backward:
            if self._evaluates:
                self._val_loss.criterion_ends(criterion, given, loss)
            self._reader.computed(loss)
            self._now_runs()

    def _cleared_by(self, owner: Any) -> list[Learner]:
        """Whose gradients `zero_grad()` of an optimizer or a module clears."""
        raise NotImplementedError

    def _zero_grad(self, bare: Callable[..., Any], owner: Any, *args: Any, **options: Any) -> Any:
        cleared = self._safely(self._cleared_by, owner)
        if not cleared or self._now[0] is Step.ZERO_GRAD:
            return bare(owner, *args, **options)
        self._now_runs(Step.ZERO_GRAD)
        for learner in cleared:
            if self._updating is None and learner.losses.forget():
                self._should_fall = False  # as in a GAN, where the generator's are thrown away
        done = bare(owner, *args, **options)
        self._now_runs()
        return done

    def _scale(self, bare: Callable[..., Any], scaler: Any, outputs: Any) -> Any:
        scaled = bare(scaler, outputs)
        if isinstance(outputs, Tensor):
            self._reader.scaled(scaled, outputs)
        return scaled

    def _clip(self, bare: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self._now_runs(Step.CLIP)
        done = bare(*args, **options)
        self._now_runs()
        return done

    def _backward(self, bare: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if self._in_backward:  # for gradient checkpoints
            return bare(*args, **options)
        of = args[0] if args else options.get("tensors")
        # Before: afterwards what its graph has saved is gone.
        loss = self._safely(self._backward_begins, of)
        self._in_backward = True
        try:
            done = bare(*args, **options)
        finally:
            self._in_backward = False
        self._safely(self._backward_ends, loss, of, options.get("inputs"))
        return done

    def _backward_begins(self, of: Any) -> Loss | None:
        """Gives the loss."""
        hooks = self._hooks
        assert hooks is not None
        for learner in self.learners:
            learner.find_parameters(hooks)
        loss = self._reader.read(of)
        if self.steering.busy:
            self.steering.before_backward(loss)
        self._now_runs(Step.BACKWARD)
        return loss

    def _backward_ends(self, loss: Loss | None, of: Any, inputs: Any) -> None:
        reached = False
        for learner in self.learners:
            if learner.reached_by(of, inputs):
                reached = True
                learner.losses.add(loss)
        self._reader.let_go()
        if reached:
            if self._aside:
                self._settle(backward=True)
            self._works()
            self._batches.learned = True
            if self.progress.val_batch or self._val_loss.under_way:  # it was to learn, in eval mode
                self._val_loss.end(0)
                self.progress.val_batch = 0
        else:  # another optimizer's: no step of this one
            self._now = (Step.OTHER, self._now[1])
            self._settle(backward=False)
            self._should_fall = False
        if self.steering.busy:
            self.steering.after_backward()
        if self._closure and reached and self._updating is not None:
            self._closure_computed(self._updating, loss)
        else:
            self._now_runs()

    def _works(self) -> None:
        """The batch at hand is trained on, whether a model was called or not."""
        if not self._batches.worked:
            self._batches.begins()
            self._batches.works()

    def _learner_of(self, optimizer: Any) -> Learner | None:
        """What is known of an optimizer; None if it is not watched."""
        return next((one for one in self.learners if one.optimizer is optimizer), None)

    def _update_begins(
        self, optimizer: Any, args: tuple[Any, ...] = (), options: Mapping[str, Any] = NOTHING
    ) -> None:
        learner = self._learner_of(optimizer)
        if learner is None:
            return
        learner.loss = learner.losses.take()
        closure = args[1] if len(args) > 1 else options.get("closure")
        self._closure = learner.loss is None and closure is not None
        if self._closure:
            self._now_runs(Step.OTHER)
        else:
            self._edge_of_update(learner)
        self._updating = learner
        if self._rate.factor != 1.0:
            self._rate.put_on(learner)

    def _edge_of_update(self, learner: Learner) -> None:
        """The gradients are there, and move the parameters next."""
        self.steering.before_update(learner)
        self._now_runs(Step.UPDATE)

    def _closure_computed(self, learner: Learner, loss: Loss | None) -> None:
        """`optimizer.step(closure)` has its first gradients."""
        self._closure = False
        learner.loss, factor = loss, self._rate.factor
        self._edge_of_update(learner)
        if factor != self._rate.factor:
            self._rate.take_off()
            self._rate.put_on(learner)

    def _update_ends(self, optimizer: Any, *_: Any) -> None:
        learner = self._learner_of(optimizer)
        if learner is None:
            return
        if self._rate.plain:
            self._rate.take_off()
        self._now_runs(Step.OTHER)
        if self.steering.busy:
            self.steering.after_update(self._now[1])
        self._updating = None
        self.progress.updates += 1
        if not learner.updates:
            self._drop_dead()
            self.learners.remove(learner)
            self.learners.insert(sum(one.updates > 0 for one in self.learners), learner)
            self._regroup()
        learner.updates += 1
        self._works()
        # What a closure computes first has the weights that the batch began with.
        inside = learner.losses.take_first()
        learner.loss = inside if learner.loss is None else learner.loss
        learner.updated_by = self.progress.batches_done
        self._batches.updated(first=learner is self.learners[0])

    # Batches and epochs.

    def _find_epoch_loop(self) -> EpochLoop | None:
        """The loop over epochs that is under way, if that is looked for."""
        return None

    def _pass_begins(self, one: LoaderPass) -> None:
        assert self._hooks is not None
        self._batches.pass_begins(one, elsewhere=not self._hooks.here)

    def _wants_batch(self, one: LoaderPass) -> None:
        if self._batches.fetched_elsewhere:
            return
        self._depth, self._updating = 0, None  # an error may have been caught in there
        validates = one is self._evaluated and not self._batches.worked
        if validates and self._now[0] is Step.OTHER:
            self._now = (Step.VALIDATE, self._now[1])  # what was done with the batch before
        if self._batches.wants(one) and self._aside:
            self._settle(backward=False)
        self._now_runs(Step.VALIDATE if validates else Step.DATA)

    def _gets_batch(self, one: LoaderPass, batch: Any) -> None:
        self._batches.gets(one, batch)
        self._given = one
        if not self._batches.fetched_elsewhere:
            self._now_runs(Step.OTHER)
            self.steering.sees_batch(batch)

    def _pass_ends(self, one: LoaderPass) -> None:
        if not self._batches.fetched_elsewhere:
            self._now_runs(Step.OTHER)
        self._batches.pass_ends(one)

    def _count_batch(self, samples: int) -> None:
        """Count the batch that is over."""
        if self._now[0] is not Step.OTHER:
            self._now_runs(Step.OTHER)
        progress, loss = self.progress, None
        for i, learner in enumerate(self.learners):
            updated = learner.updated_by == progress.batches_done
            # or it only adds to the gradients
            one = learner.loss if updated else learner.losses.take() if i == 0 else None
            if i == 0:
                loss = one
            if len(self.learners) > 1 and isinstance(one, float):
                self._record.loss_of(learner.name, progress.batches_done + 1, one)
        progress.batch += 1
        progress.batches_done += 1
        progress.samples_done += samples
        if loss is not None:
            self.knows_loss = True
            place = (progress.epoch + 1, progress.batch, progress.batches_done)
            rate = self._rate
            lrs = rate.lrs if rate.groups else ()
            if isinstance(loss, float):
                self._record.batch(*place, loss, rate.lr, perf_counter(), lrs)
            else:
                if self._readback is None:
                    self._readback = Readback(loss.device)
                self._readback.push((*place, rate.lr, lrs), loss)
                self._take_losses()
        self.steering.batch_ends(loss)
        if self._tick is not None:
            self._tick()

    def _take_losses(self, *, everything: bool = False) -> None:
        """Record the losses that have arrived from an accelerator."""
        readback = self._readback
        if readback is None:
            return
        losses = readback.drain() if everything else readback.poll()
        for (epoch, batch, done, lr, lrs), loss in losses:
            self._record.batch(epoch, batch, done, loss, lr, perf_counter(), lrs)
            if not math.isfinite(loss):
                self.steering.meets_bad_loss(loss)

    def _count_epoch(self) -> None:
        """Close the epoch under way."""
        self._take_losses(everything=True)
        validated = self._val_loss_of == self.progress.epoch
        self.progress.end_epoch()
        rate = self._rate
        self._record.epoch(self.progress, rate.lr, rate.by_group, validated=validated)
        self.steering.epoch_ends()


def _exit_code(error: SystemExit) -> str:
    """What a process ends with: "exit code 1 (no data)" where it was given a text."""
    code = error.code
    if code is None or isinstance(code, int):
        return f"exit code {code or 0:d}"
    return f"exit code 1 ({first_line(error).partition(': ')[2]})"
