"""A loop of one's own, watched from outside with the two lines that `fivestep.watch` asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from weakref import ref

import torch
from torch import nn
from torch.optim import Optimizer

from ..inspection.first_batch import stretched
from ..protocol.listener import Listener
from ..training.data import Batches
from .batches import LoaderPass
from .hooks import LoopHooks, home_of
from .learner import Learner
from .loop import ForeignLoop


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


class Watched(ForeignLoop):
    """A training loop that somebody else drives: `with Watched(...) as watched:` around it, and
    `watched(loader)` in the place of the loader. At the end, an exception's too, every hook is
    gone. What is seen, and how surely, is told by `ForeignLoop`.

    A loader that another thread goes through is not waited for here; each update then ends a
    batch.

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
        super().__init__(listener, tick)
        self.model, self.optimizer = model, _innermost(optimizer)
        self.criterion = criterion if isinstance(criterion, nn.Module) else None
        self._has_criterion = self.criterion is not None
        parameter = next(model.parameters(), None)
        if parameter is not None:
            self.device = parameter.device
        self._looked = criterion is None
        """Whether the criterion's first call was looked at."""
        self._learn(self.optimizer).models.append(ref(model))

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
        hooks, one = self._hooks, LoaderPass(batches)
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
                safely(self._batches.pass_is_left)
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
            self._hook_functions(hooks)
            self._begin(hooks)
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
            self._ended(step)

    def _forward(self, bare: Callable[..., Any], module: Any, *args: Any, **options: Any) -> Any:
        """The forward pass of a model that takes no hooks."""
        if module is not self.model:
            return bare(module, *args, **options)
        self._safely(self._forward_begins, module, args)
        outputs = bare(module, *args, **options)
        self._safely(self._forward_ends, module, args, outputs)
        return outputs

    def _loss_ends(self, criterion: nn.Module, given: Any, loss: Any) -> None:
        if not (self._in_backward or self._looked) and self.model.training and len(given) == 2:
            self._looked = True  # first: a copy of it is called
            self._stretched = stretched(criterion, *given)
        super()._loss_ends(criterion, given, loss)

    def _learner_of(self, optimizer: Any) -> Learner | None:
        return self.learners[0]

    def _cleared_by(self, owner: Any) -> list[Learner]:
        return self.learners if owner is self.optimizer or owner is self.model else []


def _takes_hooks(model: nn.Module) -> bool:
    """Whether a module made by TorchScript can be hooked: a traced one can, a scripted one not."""
    try:
        model.register_forward_pre_hook(lambda *_: None).remove()
    except RuntimeError:
        return False
    return True


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
