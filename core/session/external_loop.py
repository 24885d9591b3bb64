"""A loop of one's own, watched: phases are told by hooks, and each says how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..protocol.snapshot import Certainty, Outcome, RunInfo, Snapshot
from ..protocol.steps import State, Step, Task
from ..training.data import Batches, batch_count
from ..training.device import describe_device
from ..training.lr import LearningRate
from ..training.progress import Progress, tensors_in
from .clock import Clock
from .readings import Readback
from .recorder import Listener, Recorder
from .session import describe_data, describe_optimizer


class Watched:
    """A training loop that somebody else drives: `with Watched(...) as watched:` around it, and
    `watched(loader)` in the place of the loader. No number changes; at the end, an exception's
    too, every hook is gone.

    Waiting for data, `optimizer.zero_grad()`, the model's forward in train mode and
    `optimizer.step()` are seen exactly. With the criterion, so is the loss; without it the loss
    is unknown and its phase inferred. Backward is inferred: it fills the time up to the update.
    Forward passes in eval mode count as validation. A phase that never came is unknown.

    Args:
        model: what is trained.
        optimizer: what trains it.
        criterion: a module that gives the mean loss, shape (); None if there is none.
        listener: gets every epoch, and every batch whose loss is known, in the loop's thread.
        tick: called after every batch.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: nn.Module | None = None,
        listener: Listener | None = None,
        tick: Callable[[], None] | None = None,
    ) -> None:
        self.model, self.optimizer, self.criterion = model, optimizer, criterion
        parameter = next(model.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        self.progress = Progress()
        self.outcome: Outcome | None = None
        self._tick = tick
        self._clock = Clock()
        self._record = Recorder(Task(), self._clock, listener)
        self._rate = LearningRate(optimizer)
        self._losses: Readback[tuple[int, int, int, float]] = Readback(self.device)
        self._loss: Tensor | None = None
        self._now = (Step.OTHER, perf_counter())
        self._seen: set[Step] = set()
        self._cut = False
        self._batches: Batches = ()
        self._hooks: ExitStack | None = None

    # What a face uses.

    @property
    def info(self) -> RunInfo:
        """What is known of the run, and how surely."""
        task, model, size = Task(), self.model, getattr(self._batches, "batch_size", None)
        inferred = {Step.BACKWARD} | ({Step.LOSS} if self.criterion is None else set())
        return RunInfo(
            name="loop",
            data=describe_data(self._batches),
            model=type(model).__name__,
            parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
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
            loss=Certainty.UNKNOWN if self.criterion is None else Certainty.EXACT,
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
        return self._record.picture(
            self.progress,
            self._rate,
            state=State.RUNNING if self.outcome is None else self.outcome.state,
            step=self._now[0],
            epochs=self.progress.epoch + 1,
            batches_left=None,  # the loop alone knows when it ends
            speed=None,
            stopping=None,
            curves=curves,
            outcome=self.outcome,
        )

    def __call__(self, batches: Batches) -> Iterator[Any]:
        """The batches of one epoch, as they are.

        Raises:
            RuntimeError: not inside `with`.
        """
        if self._hooks is None:
            raise RuntimeError("watch a loop inside `with fivestep.watch(...) as watched:`")
        self._batches = batches
        return self._epoch(batches)

    def _epoch(self, batches: Batches) -> Iterator[Any]:
        self._end_cut_epoch()
        self._gate(Step.DATA)
        source = iter(batches)
        while True:
            self._gate(Step.DATA)
            try:
                batch = next(source)
            except StopIteration:
                break
            finally:
                self._gate(Step.OTHER)
            self.progress.begin_batch(batch, None)
            updates = self.progress.updates
            try:
                yield batch
            except GeneratorExit:  # left by `break` or by an error: which, is seen later
                if self._hooks is not None and self.progress.updates > updates:
                    self._end_batch()
                self._cut = self.progress.batch > 0
                raise
            self._end_batch()
        self._end_epoch()

    def __enter__(self) -> Self:
        if self._hooks is not None or self.outcome is not None:
            raise RuntimeError("one watch goes around one loop; make another")
        with ExitStack() as hooks:
            model, optimizer = self.model, self.optimizer
            add = hooks.callback
            add(model.register_forward_pre_hook(self._forward_begins).remove)
            add(model.register_forward_hook(self._forward_ends, always_call=True).remove)
            if self.criterion is not None:
                add(self.criterion.register_forward_pre_hook(self._loss_begins).remove)
                add(self.criterion.register_forward_hook(self._loss_ends).remove)
            add(optimizer.register_step_pre_hook(lambda *_: self._gate(Step.UPDATE)).remove)
            add(optimizer.register_step_post_hook(lambda *_: self._updated()).remove)
            add(self._wrap_zero_grad())
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
        self._collect(everything=True)
        if error is None:
            self._end_cut_epoch()
            epochs = self.progress.epoch
            self.outcome = Outcome(State.FINISHED, f"{epochs} epoch{'s' * (epochs != 1)} trained")
        elif isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            self.outcome = Outcome(State.STOPPED, "interrupted")
        else:
            reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
            where = f"epoch {self.progress.epoch + 1}, batch {self.progress.batch + 1}"
            self.outcome = Outcome(State.FAILED, reason, where)

    # What the hooks tell.

    def _gate(self, step: Step) -> None:
        here = perf_counter()
        running, since = self._now
        self._clock.spent[running] += here - since
        self._now = (step, here)
        self._seen.add(step)

    def _forward_begins(self, model: nn.Module, _: Any) -> None:
        self._gate(Step.FORWARD if model.training else Step.VALIDATE)

    def _forward_ends(self, model: nn.Module, _: Any, outputs: Any) -> None:
        if not model.training or self.criterion is not None:
            self._gate(Step.OTHER)
            return
        self._gate(Step.LOSS)
        tensor = next((t for t in tensors_in(outputs) if t.requires_grad), None)
        if tensor is not None:
            tensor.register_hook(self._backward_arrives)

    def _backward_arrives(self, _: Tensor) -> None:
        if self._now[0] is Step.LOSS:
            self._gate(Step.BACKWARD)

    def _loss_begins(self, *_: Any) -> None:
        if self.model.training:
            self._gate(Step.LOSS)

    def _loss_ends(self, _: nn.Module, __: Any, loss: Any) -> None:
        if self.model.training:
            self._loss = loss.detach() if isinstance(loss, Tensor) and loss.dim() == 0 else None
            self._gate(Step.BACKWARD)

    def _updated(self) -> None:
        self.progress.updates += 1
        self._gate(Step.OTHER)

    def _wrap_zero_grad(self) -> Callable[[], None]:
        """Watch `optimizer.zero_grad`, which has no hooks; gives what undoes it."""
        optimizer: Any = self.optimizer
        kept, bare = vars(optimizer).get("zero_grad"), optimizer.zero_grad

        def zero_grad(*args: Any, **options: Any) -> Any:
            self._gate(Step.ZERO_GRAD)
            try:
                return bare(*args, **options)
            finally:
                self._gate(Step.OTHER)

        def undo() -> None:
            if kept is None:
                del optimizer.zero_grad
            else:
                optimizer.zero_grad = kept

        optimizer.zero_grad = zero_grad
        return undo

    def _end_batch(self) -> None:
        self._gate(Step.OTHER)
        progress = self.progress
        progress.end_batch(updated=False)  # the optimizer's own hook has counted
        progress.begin_batch(None, None)
        loss, self._loss = self._loss, None
        if loss is not None and self._losses.immediate:
            value, lr = loss.item(), self._rate.lr
            self._record.batch(
                progress.epoch + 1, progress.batch, progress.batches_done, value, lr, self._now[1]
            )
        elif loss is not None:
            self._losses.push(
                (progress.epoch + 1, progress.batch, progress.batches_done, self._rate.lr), loss
            )
            self._collect()
        if self._tick is not None:
            self._tick()

    def _collect(self, *, everything: bool = False) -> None:
        for (epoch, batch, done, lr), loss in (
            self._losses.drain() if everything else self._losses.poll()
        ):
            self._record.batch(epoch, batch, done, loss, lr, perf_counter())

    def _end_cut_epoch(self) -> None:
        """Close an epoch that `break` has left."""
        if self._cut:
            self._end_epoch()

    def _end_epoch(self) -> None:
        self._cut = False
        self._collect(everything=True)
        self.progress.end_epoch()
        self._record.epoch(self.progress, self._rate.lr, validated=False)
