"""A loop of one's own, watched from outside: hooks say what runs, and how sure that is."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ..inspection.first_batch import stretched
from ..protocol.diagnosis import VerdictInputs
from ..protocol.snapshot import Certainty, Outcome, RunInfo, Snapshot
from ..protocol.steps import State, Step, Task
from ..training.data import Batches, batch_count
from ..training.device import describe_device
from ..training.failure import advise
from ..training.lazy import learnable
from ..training.lr import LearningRate
from ..training.progress import Progress, samples_in, tensors_in
from .clock import Clock
from .readings import Readback
from .recorder import Listener, Recorder
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


class Watched:
    """A training loop that somebody else drives: `with Watched(...) as watched:` around it, and
    `watched(loader)` in the place of the loader. No number changes; at the end, an exception's
    too, every hook is gone.

    Waiting for data, `zero_grad()` of the optimizer and of the model, the model's forward pass in
    train mode, `backward()` and `optimizer.step()` are seen exactly, wherever they stand. The loss
    of a batch is what `backward()` is called on: the sum over the calls that reach parameters of
    this optimizer before its update, an unscaled one where a `GradScaler` has scaled it. It is
    unknown where `backward()` is called on something that is no single number. The time that
    computing the loss takes is exact with the criterion, and otherwise inferred: what lies between
    the forward pass and `backward()`. Forward passes in eval mode count as validation. A phase that
    never came is unknown.

    Args:
        model: what is trained.
        optimizer: what trains it; of one that wraps another, the one inside is watched.
        criterion: a module that gives the loss; None, or any other callable, if there is none.
        listener: gets every epoch, and every batch whose loss is known, in the loop's thread.
        tick: called after every batch.

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
        self.facts: VerdictInputs | None = None
        """What verdicts need besides a Snapshot, as the criterion's first call has shown it."""
        self._tick = tick
        self._clock = Clock()
        self._record = Recorder(Task(), self._clock, listener)
        self._rate = LearningRate(self.optimizer)
        self._readback: Readback[tuple[int, int, int, float]] = Readback(self.device)
        self._thread = 0
        self._hooks: ExitStack | None = None
        self._hooked: set[Tensor] = set()
        """Parameters that tell when a gradient has reached them."""
        # The phase that runs.
        self._now = (Step.OTHER, perf_counter())
        self._seen: set[Step] = set()
        self._updating = False
        """Inside of `optimizer.step()`, which may call a closure."""
        self._guessed = 0.0
        """Seconds last taken for the loss's, because `backward()` followed."""
        # The batches that the loop was given and has not finished, by their numbers of samples.
        self._batches: Batches = ()
        self._given: deque[int] = deque()
        self._worked = False
        """Whether the oldest of them has been in the model."""
        self._updates_before = 0
        self._exhausted = False
        """Whether the loader has no more, while the loop still works on what it was given."""
        # The loss of the batch under way.
        self._backwards: list[Tensor | None] = []
        """What `backward()` was called on since the last update; None is no single number."""
        self._loss: Tensor | None = None
        """Of the last update."""
        self._updated_by: int | None = None
        self._reached = False
        self._scaled: tuple[Tensor, Tensor] | None = None
        """What a GradScaler gave, and what it was given."""
        self._criterion_gave: tuple[Tensor, Any] | None = None
        """What the criterion gave, and the node of autograd's graph that it comes from."""

    # What a front end uses.

    @property
    def info(self) -> RunInfo:
        """What is known of the run, and how surely."""
        task, model, size = Task(), self.model, getattr(self._batches, "batch_size", None)
        inferred = set() if self.criterion is not None else {Step.LOSS}
        knows_loss = self._record.first_loss is not None
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
            batch_size=size if isinstance(size, int) else None,
            epochs=0,
            batches_per_epoch=batch_count(self._batches),
            validation_batches=None,
            device=describe_device(self.device),
            threads=torch.get_num_threads(),
            seed=None,
            validates=False,
            exact_clock=self.device.type == "cpu",
            phases=tuple(
                Certainty.UNKNOWN
                if step not in self._seen
                else Certainty.INFERRED
                if step in inferred or self.device.type != "cpu"
                else Certainty.EXACT
                for step in Step
            ),
            loss=Certainty.EXACT if knows_loss else Certainty.UNKNOWN,
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
        return self._record.snapshot(
            self.progress,
            self._rate,
            state=State.RUNNING if self.outcome is None else self.outcome.state,
            step=self._now[0],
            epochs=self.progress.epoch + 1,
            batches_left=None,  # the loop alone knows when it ends
            curves=curves,
            outcome=self.outcome,
        )

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
        if self._hooks is None:
            yield from batches
            return
        self._batches = batches
        self._finish_epoch()
        self._gate(Step.DATA)
        source = iter(batches)
        while True:
            # A loop that fetches ahead asks for a batch before it has worked on the last one.
            if self._worked or len(self._given) > AHEAD:
                self._end_batch()
            self._gate(Step.DATA)
            try:
                batch = next(source)
            except StopIteration:
                break
            finally:
                self._gate(Step.OTHER)
            self._given.append(samples_in(batch))
            self._updates_before = self.progress.updates
            try:
                yield batch
            except GeneratorExit:  # left by `break` or by an error: which, is seen later
                if self._hooks is not None:
                    if self.progress.updates > self._updates_before:
                        self._end_batch()
                    self._given.clear()
                raise
        self._exhausted = True
        if not self._given:
            self._finish_epoch()

    def __enter__(self) -> Self:
        if self._hooks is not None or self.outcome is not None:
            raise RuntimeError("one watch goes around one loop; make another")
        self._thread = threading.get_ident()
        with ExitStack() as hooks:
            model, optimizer = self.model, self.optimizer
            add = hooks.callback
            add(model.register_forward_pre_hook(_Hook(self._forward_begins)).remove)
            forward_ends = _Hook(self._forward_ends)
            add(model.register_forward_hook(forward_ends, always_call=True).remove)
            if self.criterion is not None:
                criterion = self.criterion
                add(criterion.register_forward_pre_hook(_Hook(self._loss_begins)).remove)
                add(criterion.register_forward_hook(_Hook(self._loss_ends)).remove)
            add(optimizer.register_step_pre_hook(_Hook(self._update_begins)).remove)
            add(optimizer.register_step_post_hook(_Hook(self._update_ends)).remove)
            for owner in (optimizer, model):
                add(_replaced(_home(owner, "zero_grad"), "zero_grad", self._zero_grad))
            add(_replaced(torch.amp.GradScaler, "scale", self._scale))
            add(_replaced(torch.autograd, "backward", self._backward))
            self._hooks = hooks.pop_all()
        self._clock.start()
        self._now = (Step.OTHER, perf_counter())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._gate(Step.OTHER)
        assert self._hooks is not None
        self._hooks.close()
        self._hooks = None
        self._take_losses(everything=True)
        if error is None:
            self._finish_epoch()
            epochs = self.progress.epoch
            self.outcome = Outcome(State.FINISHED, f"{epochs} epoch{'s' * (epochs != 1)} trained")
        elif isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            self.outcome = Outcome(State.STOPPED, "interrupted")
        else:
            reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
            where = f"epoch {self.progress.epoch + 1}, batch {self.progress.batch + 1}"
            self.outcome = Outcome(State.FAILED, reason, where, advise(error))

    # Which phase runs.

    def _gate(self, step: Step) -> None:
        here = perf_counter()
        running, since = self._now
        if running is Step.LOSS and self.criterion is None:
            if step is Step.BACKWARD or step is Step.ZERO_GRAD:
                self._guessed = here - since
                self._seen.add(Step.LOSS)
            else:  # no backward pass has followed
                running = Step.UPDATE if self._updating else Step.OTHER
        self._clock.spent[running] += here - since
        self._now = (step, here)
        if step is not Step.LOSS or self.criterion is not None:
            self._seen.add(step)

    def _pause(self) -> None:
        """A phase is over, and what comes next is not known."""
        self._gate(Step.UPDATE if self._updating else Step.OTHER)

    def _forward_begins(self, model: nn.Module, _: Any) -> None:
        self._gate(Step.FORWARD if model.training else Step.VALIDATE)
        self._worked = self._worked or model.training

    def _forward_ends(self, model: nn.Module, _: Any, outputs: Any) -> None:
        learns = model.training and any(t.requires_grad for t in tensors_in(outputs))
        if learns and self.criterion is None:
            self._gate(Step.LOSS)
        else:
            self._pause()

    def _loss_begins(self, *_: Any) -> None:
        if self.model.training:
            self._gate(Step.LOSS)

    def _loss_ends(self, criterion: nn.Module, given: Any, loss: Any) -> None:
        if self.model.training:
            if self.facts is None and len(given) == 2:
                self.facts = VerdictInputs()  # while it is called again
                self.facts = VerdictInputs(stretched=stretched(criterion, *given))
            if isinstance(loss, Tensor) and loss.numel() == 1 and loss.grad_fn is not None:
                self._criterion_gave = loss.detach(), loss.grad_fn
            self._pause()

    def _zero_grad(self, bare: Callable[..., Any], owner: Any, *args: Any, **options: Any) -> Any:
        if owner is not self.optimizer and owner is not self.model:
            return bare(owner, *args, **options)
        if not self._updating:
            self._backwards.clear()
        self._gate(Step.ZERO_GRAD)
        try:
            return bare(owner, *args, **options)
        finally:
            self._pause()

    def _scale(self, bare: Callable[..., Any], scaler: Any, outputs: Any) -> Any:
        scaled = bare(scaler, outputs)
        if isinstance(outputs, Tensor):
            self._scaled = scaled, outputs
        return scaled

    def _backward(self, bare: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if torch.compiler.is_compiling() or threading.get_ident() != self._thread:
            return bare(*args, **options)
        for group in self.optimizer.param_groups:  # a lazy parameter is none before the first pass
            for p in group["params"]:
                if p not in self._hooked and p.requires_grad and p.is_leaf and not is_lazy(p):
                    self._hooked.add(p)
                    handle = p.register_post_accumulate_grad_hook(_Hook(self._gradient_arrives))
                    assert self._hooks is not None
                    self._hooks.callback(handle.remove)
        of = args[0] if args else options.get("tensors")
        loss = self._loss_in(of)  # before: afterwards its graph is gone
        self._reached = False
        self._guessed = 0.0
        self._gate(Step.BACKWARD)
        began = self._now[1]
        try:
            return bare(*args, **options)
        finally:
            self._pause()
            if self._reached:
                self._worked = True
                self._backwards.append(loss)
            else:  # another optimizer's
                spent, took = self._clock.spent, self._now[1] - began
                spent[Step.BACKWARD] -= took
                spent[Step.LOSS] -= self._guessed
                spent[Step.OTHER] += took + self._guessed
            self._criterion_gave = self._scaled = None

    def _gradient_arrives(self, _: Tensor) -> None:
        self._reached = True

    def _loss_in(self, of: Any) -> Tensor | None:
        """The loss in what `backward()` is called on, shape (); None if that is no single number.

        A criterion's output that was only scaled (by a GradScaler, or divided by the number of
        batches that make an update) counts as what the criterion has given.
        """
        if not isinstance(of, Tensor) or of.numel() != 1:
            return None
        scaled, given = self._scaled, self._criterion_gave
        loss: Tensor = scaled[1] if scaled is not None and of is scaled[0] else of
        if given is not None and _multiple_of(loss.grad_fn, given[1]):
            loss = given[0]
        return loss.detach().reshape(())

    def _update_begins(self, *_: Any) -> None:
        self._gate(Step.UPDATE)
        self._updating = True
        self._loss = self._loss_so_far()

    def _update_ends(self, *_: Any) -> None:
        self._gate(Step.OTHER)
        self._updating = False
        self.progress.updates += 1
        self._worked = True
        # What a closure computes first has the weights that the batch began with.
        inside, self._backwards = self._backwards, []
        self._loss = inside[0] if inside and self._loss is None else self._loss
        self._updated_by = self.progress.batches_done
        if self._exhausted and self._given:
            self._end_batch()
            if not self._given:
                self._finish_epoch()

    def _loss_so_far(self) -> Tensor | None:
        """The sum of what `backward()` was called on since this was asked last; None if unknown."""
        losses, self._backwards = self._backwards, []
        known = [loss for loss in losses if loss is not None]
        return torch.stack(known).sum() if known and len(known) == len(losses) else None

    # Batches and epochs.

    def _end_batch(self) -> None:
        self._gate(Step.OTHER)
        progress = self.progress
        updated = self._updated_by == progress.batches_done  # or it only adds to the gradients
        loss = self._loss if updated else self._loss_so_far()
        self._loss = self._updated_by = None
        self._worked = False
        progress.end_batch(updated=False)  # the optimizer's own hook has counted
        progress.samples_done += self._given.popleft() if self._given else 0
        if loss is not None:
            place = (progress.epoch + 1, progress.batch, progress.batches_done)
            if self._readback.immediate:
                self._record.batch(*place, loss.item(), self._rate.lr, self._now[1])
            else:
                self._readback.push((*place, self._rate.lr), loss)
                self._take_losses()
        if self._tick is not None:
            self._tick()

    def _take_losses(self, *, everything: bool = False) -> None:
        """Record the losses that have arrived from an accelerator."""
        readback = self._readback
        for (epoch, batch, done, lr), loss in readback.drain() if everything else readback.poll():
            self._record.batch(epoch, batch, done, loss, lr, perf_counter())

    def _finish_epoch(self) -> None:
        """Close the epoch under way, whichever way it was left."""
        while self._given:
            self._end_batch()
        self._exhausted = False
        if self.progress.batch:
            self._take_losses(everything=True)
            self.progress.end_epoch()
            self._record.epoch(self.progress, self._rate.lr, validated=False)


class _Hook:
    """A hook that stays behind when what it hangs on is copied or pickled."""

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call

    def __call__(self, *args: Any) -> None:
        self._call(*args)

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        return _idle_hook, ()


def _idle_hook() -> Callable[..., None]:
    """The hook of a copy."""
    return _Hook(lambda *_: None)


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


def _home(owner: Any, name: str) -> type:
    """The class that an object has its method from."""
    return next(kind for kind in type(owner).__mro__ if name in vars(kind))


def _replaced(home: Any, name: str, watching: Callable[..., Any]) -> Callable[[], None]:
    """Have `watching(bare, ...)` called in the place of a function; gives what undoes it."""
    bare = getattr(home, name)

    def replacement(*args: Any, **options: Any) -> Any:
        return watching(bare, *args, **options)

    setattr(home, name, replacement)
    return lambda: setattr(home, name, bare)


def _multiple_of(node: Any, origin: Any) -> bool:
    """Whether a node of autograd's graph is another one, or only multiplies it by a number."""
    while node is not None:
        if node is origin:
            return True
        inputs = [inner for inner, _ in node.next_functions if inner is not None]
        if not node.name().startswith(("Mul", "Div")) or len(inputs) != 1:
            return False
        node = inputs[0]
    return False
