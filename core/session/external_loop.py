"""A loop of one's own, watched from outside: hooks say what runs, and how sure that is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack
from dataclasses import replace
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..inspection.first_batch import Shapes, stretched
from ..protocol.diagnosis import VerdictInputs
from ..protocol.listener import Listener
from ..protocol.snapshot import Certainty, Outcome, RunInfo, Snapshot
from ..protocol.steps import State, Step, Task
from ..training.data import Batches, batch_count
from ..training.device import describe_device
from ..training.failure import describe_failure
from ..training.graph import leaves_behind
from ..training.lazy import learnable
from ..training.lr import LearningRate
from ..training.progress import Progress, samples_in
from .clock import Clock
from .loop_hooks import LoopHooks, home_of
from .loop_loss import LoopLoss, Loss
from .readings import Readback
from .recorder import Log, Recorder
from .session import describe_data, describe_optimizer

AHEAD: Final = 2
"""Batches that a loop may fetch before it works on the first of them."""


class WatchedLoader:
    """A loader under watch: it gives the loader's batches, and each pass over it is an epoch.

    Whatever else the loader has (`len`, `dataset`, `batch_size`, `sampler`, ...) is the loader's.
    """

    def __init__(self, watched: Watched, batches: Batches) -> None:
        self._watched, self._batches = watched, batches

    def __iter__(self) -> Iterator[Any]:
        return self._watched.batches_of(self._batches)

    def __len__(self) -> int:
        return len(self._batches)  # type: ignore[arg-type]  # a loader without one raises TypeError

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_watched", "_batches"):  # while it is copied
            raise AttributeError(name)
        return getattr(self._batches, name)


class _Pass:
    """One time through a loader."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.samples = 0
        """Of the batch that it gave last."""
        self.updates = 0
        """Updates before that batch."""


class Watched:
    """A training loop that somebody else drives: `with Watched(...) as watched:` around it, and
    `watched(loader)` in the place of the loader. No number changes; at the end, an exception's
    too, every hook is gone. Nothing is raised into the loop: where watching fails, it ends.

    Waiting for data, `zero_grad()` of the optimizer and of the model, the model's forward pass,
    `backward()` and `optimizer.step()` are seen exactly, wherever they stand. The loss of a batch
    is what `backward()` is called on: the sum over the calls that reach parameters of this
    optimizer before its update, see `loop_loss`. It is unknown where `backward()` is called on
    something that is no single number. The time that computing the loss takes is exact with the
    criterion, and otherwise inferred: what lies between the forward pass and `backward()`. Forward
    passes in eval mode that no `backward()` follows count as validation. A phase that never came
    is unknown.

    Each pass over a loader is an epoch, unless the model was only validated in it, or it goes on
    beside another one, as in `zip`. A loader that another thread goes through is not waited for
    here; each update then ends a batch.

    Args:
        model: what is trained.
        optimizer: what trains it; of one that wraps another, the one inside is watched.
        criterion: a module that gives the loss; None, or any other callable, if there is none.
        listener: gets every epoch, and every batch whose loss is known, in the loop's thread.
        tick: called after every batch, and during validation.

    Raises:
        TypeError: the model or the optimizer is none.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: Callable[..., Any] | None = None,
        listener: Listener | None = None,
        tick: Callable[[], None] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"the model must be a torch.nn.Module, not a {type(model).__name__}")
        self.model, self.optimizer = model, _innermost(optimizer)
        self.criterion = criterion if isinstance(criterion, nn.Module) else None
        parameter = next(model.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        self.progress = Progress()
        self.outcome: Outcome | None = None
        self.mistake: Exception | None = None
        """Of watching itself, which has ended with it; the loop went on."""
        self.batches_per_epoch: int | None = None
        """None before the first epoch, and where the loader can't tell."""
        self.knows_loss = False
        """Whether a loss was seen so far."""
        self.should_fall = True
        """Whether the loss has nothing but data to depend on; not in a GAN, say."""
        self._stretched: Shapes | None = None
        """What the criterion's first call has shown, see `first_batch`."""
        self._looked = criterion is None
        """Whether it was looked at."""
        self._tick = tick
        self._clock = Clock()
        self._rate = LearningRate(self.optimizer)
        self._record = Recorder(Task(), self._clock, listener, groups=self._rate.groups)
        self._readback: Readback[tuple[int, int, int, float, tuple[float, ...]]] = Readback(
            self.device
        )
        self._hooks: LoopHooks | None = None
        self._learning: dict[Tensor, RemovableHandle | None] = {}
        """The optimizer's parameters, with what takes away the hook by which they tell when a
        gradient has reached them. After the first backward pass that has, one of them tells: each
        hook takes as long as some lines of Python."""
        self._told = False
        """Whether there was such a pass."""
        self._reached: deque[Tensor] = deque(maxlen=1)
        """One that has told so in this backward pass."""
        # The phase that runs.
        self._now = (Step.OTHER, perf_counter())
        self._depth = 0
        """Forward passes of the model that are under way, one inside of another."""
        self._in_backward = False
        self._updating = False
        """Inside of `optimizer.step()`, which may call a closure."""
        self._unless: Step | None = None
        """What the phase that runs was, if no `backward()` follows; None if that is no matter."""
        self._aside: list[tuple[Step, Step, float]] = []
        """Seconds that wait for it: whose they are if it follows, and if it does not."""
        # The batches that the loop was given and has not finished, by their numbers of samples.
        self._leader: _Pass | None = None
        """The pass over a loader whose batches are counted; None between two of them."""
        self._batches: Batches = ()
        self._given: deque[int] = deque()
        self._worked = False
        """Whether the oldest of them has been in the model."""
        self._fetched_elsewhere = False
        """Whether another thread goes through the loader."""
        self._exhausted = False
        """Whether the loader has no more, while the loop still works on what it was given."""
        self._losses = LoopLoss()
        self._loss: Loss | None = None
        """Of the last update."""
        self._updated_by: int | None = None
        """What `batches_done` was at the last update."""

    # What a front end uses.

    @property
    def info(self) -> RunInfo:
        """What is known of the run, and how surely."""
        task, model, size = Task(), self.model, getattr(self._batches, "batch_size", None)
        inferred = set() if self.criterion is not None else {Step.LOSS}
        return RunInfo(
            name="loop",
            data=describe_data(self._batches),
            model=type(model).__name__,
            parameters=learnable(model),
            task=task.name,
            metric_name=task.metric_name,
            higher_is_better=task.higher_is_better,
            optimizer=describe_optimizer(self.optimizer),
            scheduler=None,
            groups=self._rate.groups,
            batch_size=size if isinstance(size, int) else None,
            epochs=0,
            batches_per_epoch=self.batches_per_epoch,
            validation_batches=None,
            device=describe_device(self.device),
            threads=torch.get_num_threads(),
            seed=None,
            validates=False,
            exact_clock=self.device.type == "cpu",
            phases=tuple(
                Certainty.UNKNOWN
                if not self._clock.spent[step]
                else Certainty.INFERRED
                if step in inferred or self.device.type != "cpu"
                else Certainty.EXACT
                for step in Step
            ),
            loss=Certainty.EXACT if self.knows_loss else Certainty.UNKNOWN,
        )

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the whole loop's time so far, one a Step, 0 to 1."""
        spent = self._clock.spent
        return tuple(seconds / (sum(spent) or 1.0) for seconds in spent)

    def now(self) -> tuple[Step, float]:
        """The phase that runs at this very moment, and since when (`time.perf_counter`)."""
        return self._now

    def latest(self, *, curves: bool = False) -> Snapshot:
        """A picture of the run; to be asked for in the thread of the loop."""
        picture = self._record.snapshot(
            self.progress,
            self._rate,
            state=State.RUNNING if self.outcome is None else self.outcome.state,
            step=self._now[0],
            epochs=self.progress.epoch + 1,
            batches_left=None,  # the loop alone knows when it ends
            curves=curves,
            outcome=self.outcome,
        )
        if not curves:
            return picture
        facts = VerdictInputs(first_loss=self._record.first_loss, stretched=self._stretched)
        return replace(picture, facts=facts)

    def keep(self, log: Log) -> None:
        """Have every record from now on kept in this log."""
        self._record.keep(log)

    def __call__(self, batches: Batches) -> WatchedLoader:
        """The loader under watch, for one epoch or for many.

        Raises:
            RuntimeError: not inside `with`.
        """
        if self._hooks is None:
            raise RuntimeError("watch a loop inside `with fivestep.watch(...) as watched:`")
        return WatchedLoader(self, batches)

    def batches_of(self, batches: Batches) -> Iterator[Any]:
        """The batches of one epoch, as they are; once the watch is over, unwatched."""
        hooks, one = self._hooks, _Pass(batches)
        if hooks is None:
            yield from batches
            return

        def safely(call: Callable[..., None], *args: Any) -> None:
            if not hooks.over:
                try:
                    call(one, *args)
                except Exception as error:
                    self._fail(error)

        safely(self._pass_begins)
        source = iter(batches)
        while True:
            safely(self._wants_batch)
            try:
                batch = next(source)
            except StopIteration:
                break
            safely(self._gets_batch, batch)
            try:
                yield batch
            except GeneratorExit:  # left by `break` or by an error: which, is seen later
                safely(self._pass_is_left)
                raise
        safely(self._pass_ends)

    def __enter__(self) -> Self:
        if self._hooks is not None or self.outcome is not None:
            raise RuntimeError("one watch goes around one loop; make another")
        with ExitStack() as undo:
            hooks = LoopHooks(self._fail)
            undo.callback(hooks.close)
            model, optimizer = self.model, self.optimizer
            if isinstance(model, torch.jit.ScriptModule) and not _takes_hooks(model):
                hooks.around(type(model), "__call__", self._forward)
            else:
                hooks.add(model.register_forward_pre_hook, self._forward_begins)
                hooks.add(model.register_forward_hook, self._forward_ends)
            if self.criterion is not None:
                hooks.add(self.criterion.register_forward_pre_hook, self._loss_begins)
                hooks.add(self.criterion.register_forward_hook, self._loss_ends)
            hooks.add(optimizer.register_step_pre_hook, self._update_begins)
            hooks.add(optimizer.register_step_post_hook, self._update_ends)
            for owner in (optimizer, model):
                hooks.around(home_of(owner, "zero_grad"), "zero_grad", self._zero_grad)
            hooks.around(torch.amp.GradScaler, "scale", self._scale)
            hooks.around(torch.autograd, "backward", self._backward)
            hooks.around(torch.jit, "script", hooks.without)
            self._clock.start()
            self._now = (Step.OTHER, perf_counter())
            self._hooks = hooks
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        hooks, step = self._hooks, self._now[0]
        if hooks is None:
            return
        try:
            hooks.close()
        finally:
            self._hooks = None
            self._safely(self._end, error, step)
            if self.outcome is None:  # a mistake in there
                self.outcome = Outcome(State.STOPPED, "not watched to its end")

    def _end(self, error: BaseException | None, step: Step) -> None:
        """Close the books; `error` has ended the loop, during `step`."""
        if self.mistake is None:
            self._gate(Step.OTHER)
            self._take_losses(everything=True)
            if error is None:
                self._finish_epoch()
            self._settle(backward=False)
        epochs = self.progress.epoch
        if error is None:
            self.outcome = Outcome(State.FINISHED, f"{epochs} epoch{'s' * (epochs != 1)} trained")
        elif isinstance(error, Exception):
            failed = describe_failure(error, self.model, self.progress, step)
            where = failed.where.replace(f", {Step.OTHER.info.name}", "")
            self.outcome = replace(failed, where=where)
        elif isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            self.outcome = Outcome(State.STOPPED, "interrupted")
        else:
            self.outcome = Outcome(State.STOPPED, f"left by {type(error).__name__}")

    def _safely(self, call: Callable[..., Any], *args: Any) -> Any:
        """What `call` gives. A mistake in it ends the watch, and nothing else; it gives None."""
        try:
            return call(*args)
        except Exception as error:
            self._fail(error)
            return None

    def _fail(self, mistake: Exception) -> None:
        """Watching has failed: it ends, the loop does not."""
        self.mistake = mistake
        if self._hooks is not None:
            self._hooks.over = True

    # Which phase runs.

    def _gate(self, step: Step | None = None, unless: Step | None = None) -> None:
        """Let a phase begin, and book the time of the one before, or set it aside.

        Args:
            step: it; None where what comes next is not known.
            unless: what it was, if no `backward()` follows.
        """
        # Each batch comes through here twelve times.
        here = perf_counter()
        if step is None:
            step = Step.UPDATE if self._updating else Step.OTHER
        (running, since), otherwise = self._now, self._unless
        self._now, self._unless = (step, here), unless
        if otherwise is None:
            self._clock.spent[running] += here - since
        else:
            self._aside.append((running, otherwise, here - since))

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

    def _forward_begins(self, model: nn.Module, _: Any) -> None:
        self._depth += 1
        if self._in_backward or self._depth > 1:  # computed again for it, or a part of itself
            return
        if model.training:
            self._worked = True
            self._gate(Step.FORWARD)
        else:
            self.progress.val_batch += 1
            self._compute_in_eval(Step.FORWARD)
        if self._aside:  # between two forward passes is no loss
            self._settle(backward=False, but=Step.VALIDATE)

    def _forward(self, bare: Callable[..., Any], module: Any, *args: Any, **options: Any) -> Any:
        """The same for a model that takes no hooks."""
        if module is not self.model:
            return bare(module, *args, **options)
        self._safely(self._forward_begins, module, args)
        outputs = bare(module, *args, **options)
        self._safely(self._forward_ends, module, args, outputs)
        return outputs

    def _compute_in_eval(self, step: Step) -> None:
        """A phase begins that is validation, unless `backward()` follows."""
        if torch.is_grad_enabled():
            self._gate(step, unless=Step.VALIDATE)
        else:
            self._gate(Step.VALIDATE)

    def _forward_ends(self, model: nn.Module, _: Any, outputs: Any) -> None:
        self._depth = max(0, self._depth - 1)
        if self._in_backward or self._depth:
            return
        learns = torch.is_grad_enabled()
        if learns:
            if not isinstance(outputs, Tensor):
                self._losses.in_outputs(outputs)
        elif not model.training and self._tick is not None:
            self._tick()
        if learns and self.criterion is None:
            self._gate(Step.LOSS, unless=Step.UPDATE if self._updating else Step.OTHER)
        else:
            self._gate()

    def _loss_begins(self, *_: Any) -> None:
        if self._in_backward:
            return
        if self.model.training:
            self._gate(Step.LOSS)
        else:
            self._compute_in_eval(Step.LOSS)

    def _loss_ends(self, criterion: nn.Module, given: Any, loss: Any) -> None:
        if not self._in_backward:
            if not self._looked and self.model.training and len(given) == 2:
                self._looked = True  # first: a copy of it is called
                self._stretched = stretched(criterion, *given)
            self._losses.computed(loss)
            self._gate()

    def _zero_grad(self, bare: Callable[..., Any], owner: Any, *args: Any, **options: Any) -> Any:
        if owner is not self.optimizer and owner is not self.model:
            return bare(owner, *args, **options)
        self._gate(Step.ZERO_GRAD)
        if not self._updating and self._losses.forget():
            self.should_fall = False  # as in a GAN, where the generator's are thrown away
        done = bare(owner, *args, **options)
        self._gate()
        return done

    def _scale(self, bare: Callable[..., Any], scaler: Any, outputs: Any) -> Any:
        scaled = bare(scaler, outputs)
        if isinstance(outputs, Tensor):
            self._losses.scaled(scaled, outputs)
        return scaled

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
        count = 0
        for group in self.optimizer.param_groups:
            count += len(group["params"])
        if count != len(self._learning):
            self._find_parameters()
        loss = self._losses.read(of)
        self._reached.clear()
        self._gate(Step.BACKWARD)
        return loss

    def _backward_ends(self, loss: Loss | None, of: Any, inputs: Any) -> None:
        if self._reached and not self._told:
            self._told = True
            for p, hook in self._learning.items():
                if hook is not None and p is not self._reached[0]:
                    hook.remove()
        if self._reached or (self._told and _reaches(of, inputs, self._learning)):
            if self._aside:
                self._settle(backward=True)
            self._losses.add(loss)
            self._worked = True
        else:  # another optimizer's: no step of this one
            self._losses.let_go()
            self._now = (Step.OTHER, self._now[1])
            self._settle(backward=False)
            self.should_fall = False
        self._gate()

    def _find_parameters(self) -> None:
        """Lazy ones are none before the first forward pass, frozen ones until they learn."""
        assert self._hooks is not None
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                if p not in self._learning and p.requires_grad and p.is_leaf and not is_lazy(p):
                    register = p.register_post_accumulate_grad_hook
                    hook = (
                        None if self._told else self._hooks.add_bare(register, self._reached.append)
                    )
                    self._learning[p] = hook

    def _update_begins(self, *_: Any) -> None:
        self._gate(Step.UPDATE)
        self._updating = True
        self._loss = self._losses.take()

    def _update_ends(self, *_: Any) -> None:
        self._gate(Step.OTHER)
        self._updating = False
        self.progress.updates += 1
        self._worked = True
        # What a closure computes first has the weights that the batch began with.
        inside = self._losses.take_first()
        self._loss = inside if self._loss is None else self._loss
        self._updated_by = self.progress.batches_done
        if self._given and (self._exhausted or self._fetched_elsewhere):
            self._end_batch()
            if self._exhausted and not self._given:
                self._finish_epoch()

    # Batches and epochs.

    def _pass_begins(self, one: _Pass) -> None:
        assert self._hooks is not None
        self._fetched_elsewhere = not self._hooks.here
        if self._leader is None:
            self._lead(one)
        elif self._worked:  # a validation inside an epoch, say
            self._end_batch()

    def _lead(self, one: _Pass) -> None:
        """From now on the batches of this pass are counted."""
        self._finish_epoch()
        self._leader, self._batches = one, one.batches
        self.batches_per_epoch = batch_count(one.batches)

    def _wants_batch(self, one: _Pass) -> None:
        if self._fetched_elsewhere:
            return
        self._depth, self._updating = 0, False  # an error may have been caught in there
        if one is not self._leader:
            if not self._worked:
                return
            # The loop works on its batches, and the pass before was given up.
            self._given.clear()
            self._lead(one)
            self._given.append(one.samples)
        # A loop that fetches ahead asks for a batch before it has worked on the last one.
        if self._worked or len(self._given) > AHEAD:
            self._end_batch()
        elif self.progress.val_batch and self._given:
            self._given.popleft()  # it was no batch to train on
        self.progress.val_batch = 0
        if self._aside:
            self._settle(backward=False)
        self._gate(Step.DATA)

    def _gets_batch(self, one: _Pass, batch: Any) -> None:
        one.samples, one.updates = samples_in(batch), self.progress.updates
        if one is self._leader:
            self._given.append(one.samples)
        if not self._fetched_elsewhere:
            self._gate(Step.OTHER)

    def _pass_is_left(self, one: _Pass) -> None:
        if one is self._leader:
            if self.progress.updates > one.updates:
                self._end_batch()
            self._given.clear()
            self._leader = None

    def _pass_ends(self, one: _Pass) -> None:
        if not self._fetched_elsewhere:
            self._gate(Step.OTHER)
        if one is self._leader:
            self._leader, self._exhausted = None, True
            if not self._given:
                self._finish_epoch()

    def _end_batch(self) -> None:
        if self._now[0] is not Step.OTHER:
            self._gate(Step.OTHER)
        progress = self.progress
        updated = self._updated_by == progress.batches_done  # or it only adds to the gradients
        loss = self._loss if updated else self._losses.take()
        self._loss = self._updated_by = None
        self._worked = False
        progress.batch += 1
        progress.batches_done += 1
        progress.samples_done += self._given.popleft() if self._given else 0
        if loss is not None:
            self.knows_loss = True
            place = (progress.epoch + 1, progress.batch, progress.batches_done)
            rate = self._rate
            lrs = rate.lrs if rate.groups else ()
            if self._readback.immediate:
                self._record.batch(*place, float(loss), rate.lr, perf_counter(), lrs)
            else:
                self._readback.push((*place, rate.lr, lrs), torch.as_tensor(loss))
                self._take_losses()
        if self._tick is not None:
            self._tick()

    def _take_losses(self, *, everything: bool = False) -> None:
        """Record the losses that have arrived from an accelerator."""
        readback = self._readback
        losses = readback.drain() if everything else readback.poll()
        for (epoch, batch, done, lr, lrs), loss in losses:
            self._record.batch(epoch, batch, done, loss, lr, perf_counter(), lrs)

    def _finish_epoch(self) -> None:
        """Close the epoch under way, whichever way it was left."""
        while self._given:
            self._end_batch()
        self._exhausted = False
        if self.progress.batch:
            self._take_losses(everything=True)
            self.progress.end_epoch()
            self._record.epoch(self.progress, self._rate.lr, self._rate.by_group, validated=False)


def _takes_hooks(model: nn.Module) -> bool:
    """Whether a module made by TorchScript can be hooked: a traced one can, a scripted one not."""
    try:
        model.register_forward_pre_hook(lambda *_: None).remove()
    except RuntimeError:
        return False
    return True


def _reaches(of: Any, inputs: Any, parameters: Container[Tensor]) -> bool:
    """Whether a backward pass from these tensors has come to one of the parameters.

    Args:
        inputs: what alone it gives gradients to, if that was said.
    """
    if inputs is not None:
        return any(p in parameters for p in ((inputs,) if isinstance(inputs, Tensor) else inputs))
    tensors = [t for t in ((of,) if isinstance(of, Tensor) else of) if isinstance(t, Tensor)]
    return any(leaf in parameters for leaf in leaves_behind(tensors))


def _innermost(optimizer: Any) -> Optimizer:
    """The optimizer itself, of one that wraps another, such as Accelerate's.

    Raises:
        TypeError: it is none.
    """
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"the optimizer must be one torch.optim.Optimizer, not a {type(optimizer).__name__}"
        )
    return optimizer
