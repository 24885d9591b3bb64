"""A script that has never heard of us: what it trains and with what is found as it comes."""

from __future__ import annotations

import builtins
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from threading import current_thread, get_ident, main_thread
from time import perf_counter
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet, ref

import torch
from torch import Tensor, nn
from torch.nn.modules import module as all_modules
from torch.optim import Optimizer
from torch.optim import optimizer as all_optimizers
from torch.utils.data import DataLoader

from ..protocol.listener import Listener
from ..protocol.snapshot import Outcome, RunInfo, Snapshot
from ..protocol.steps import State, Step
from ..training.graph import leaves_behind
from .batches import LoaderPass
from .epochs import EpochLoop, epoch_loop
from .frameworks import Frameworks
from .hooks import Added, LoopHooks, Watching, home_of
from .learner import Learner
from .loop import ForeignLoop
from .loss import Loss

SEARCHED: Final = 50
"""Updates of an optimizer for which its models are looked for; each call of any module pays."""


class ExitError(SystemExit):
    """The script has called `os._exit`."""


class ByHand:
    """In the place of an optimizer where a script moves its parameters itself."""

    kind: Final = "updates by hand"

    def __init__(self, parameters: list[Tensor]) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": parameters}]
        self.state: dict[Tensor, Any] = {}
        self.defaults: dict[str, Any] = {}


ByHand.__name__ = "by hand"


class ScriptLoop(ForeignLoop):
    """Whatever trains in this process, from `install()` on until `finish()`.

    `mailbox` takes commands and gives pictures, as that of a `Session`; `info` changes while parts
    of the script are found. What other threads, forks and data workers do is not watched.

    Args:
        listener: gets every epoch, and every batch whose loss is known, in the script's thread.
        complain: is told, once, why watching has ended before the script has.
        tick: called after every batch, and during validation.
    """

    def __init__(
        self,
        listener: Listener | None = None,
        complain: Callable[[str], None] | None = None,
        tick: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(listener, tick, by_update=True)
        self._complain = complain
        self._info: RunInfo | None = None
        self._by_optimizer: dict[int, Learner] = {}
        self._search: list[Added] = []
        """The hooks on every module, while a model is looked for."""
        self._searched = 0
        """Updates since an optimizer came up last."""
        self._passed: WeakSet[nn.Module] = WeakSet()
        """Modules that hold nothing of what is trained."""
        self._roots: WeakSet[nn.Module] = WeakSet()
        """Those that do, and criteria: each is hooked once."""
        self._deep = 0
        """Calls of modules under way, one inside of another, while all are hooked."""
        self._by_hand: ByHand | None = None
        self._frameworks: Frameworks
        """Given by `install`."""
        self._moves = False
        """Whether the script moves its parameters itself, now."""
        self._left: tuple[int, SystemExit] | None = None
        """`sys.exit()` as it was called last, and how many updates there were by then."""
        self._passes: WeakKeyDictionary[Any, LoaderPass] = WeakKeyDictionary()
        """Iterators of loaders."""
        self._hooked: set[type] = {Optimizer}
        """Classes whose `__next__` or `zero_grad` is hooked."""

    # What a front end uses.

    @property
    def info(self) -> RunInfo:
        """What is known by now; another object whenever that is more than before."""
        if self._info is None:
            epochs, sure = self._batches.epochs
            self._info = replace(super().info, epochs=epochs, length=sure)
        return self._info

    def _expected(self) -> tuple[int, int | None]:
        at, meant = self.progress, self._batches.epochs[0]
        length = self.batches_per_epoch or self._batches.last
        if not meant or at.epoch > meant:
            return at.epoch + 1, None
        left = (meant - at.epoch) * length - at.batch if length else None
        return meant, left

    def _picture(self, state: State, step: Step, curves: bool) -> Snapshot:
        if curves:  # phases and batches that came since
            self._info = None
        return super()._picture(state, step, curves)

    # Beginning and end.

    def install(self) -> None:
        """Hook torch, and publish a first picture."""
        hooks = LoopHooks(self._fail)
        hooks.add(all_optimizers.register_optimizer_step_pre_hook, self._update_begins)
        hooks.add(all_optimizers.register_optimizer_step_post_hook, self._update_ends)
        hooks.around(Optimizer, "__init__", self._optimizer_made, anywhere=True)
        self._adopts = hooks.add_bare(all_optimizers.register_optimizer_step_pre_hook, self._adopt)
        hooks.around(Optimizer, "zero_grad", self._zero_grad)
        hooks.around(nn.Module, "zero_grad", self._zero_grad)
        hooks.around(torch, "compile", self._compiles)
        hooks.around(DataLoader, "__iter__", self._loader_begins)
        hooks.around(os, "_exit", self._exits)
        hooks.around(sys, "exit", self._leaves, anywhere=True)
        if hasattr(builtins, "exit"):  # not without `site`
            hooks.around(type(builtins.exit), "__call__", self._leaves, anywhere=True)
        self._hook_functions(hooks)
        self._frameworks = Frameworks(hooks, self._reader, self._update_elsewhere)
        self._begin(hooks)
        os.register_at_fork(after_in_child=self._leave_to_parent)
        self.mailbox.publish(self._picture(State.RUNNING, Step.OTHER, True))

    def _leave_to_parent(self) -> None:
        """In a forked child, a loader's worker say: nothing of it is watched."""
        if self._hooks is not None:
            self._hooks.over = True

    def _exits(self, bare: Callable[[int], None], status: int) -> None:
        """The script ends its process itself, past all that is done on the way out."""
        try:
            self.finish(ExitError(status))
        finally:
            bare(status)

    def _end(self, error: BaseException | None, step: Step) -> None:
        self._moved()
        super()._end(error, step)
        if isinstance(error, ExitError):
            at = self.progress
            where = f"epoch {at.epoch + 1}, batch {at.batch + 1}"
            self.outcome = Outcome(State.FAILED, f"ended by os._exit({error.code})", where)

    def _leaves(self, bare: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            bare(*args, **options)
        except SystemExit as error:  # its traceback would keep the script's variables
            if current_thread() is main_thread():  # in others it ends these
                self._left = self.progress.updates, SystemExit(error.code)
            raise

    def finish(self, error: BaseException | None = None) -> Outcome:
        """The script is over; `error` has ended it. Every hook goes.

        Nothing keeps a SystemExit: without an error, `sys.exit()` has ended it if it was called and
        nothing was trained since.
        """
        hooks, step = self._hooks, self._now[0]
        if hooks is not None:
            self._hooks = None
            hooks.close()
            if error is None and self._left is not None and self._left[0] == self.progress.updates:
                error = self._left[1]
            if isinstance(error, SystemExit) and not error.code:
                error = None
            self._safely(self._end, error, step)
        return self._ended(step)

    def _fail(self, mistake: Exception) -> None:
        first = self.mistake is None
        super()._fail(mistake)
        if first and self._complain is not None:
            what = f"{type(mistake).__name__}: {mistake}"
            self._complain(f"could not go on watching ({what}); the script goes on without it")

    # Optimizers and what they train.

    def _optimizer_made(
        self, bare: Callable[..., Any], optimizer: Any, *args: Any, **options: Any
    ) -> None:
        bare(optimizer, *args, **options)
        self._adopt()
        if self._hooks is not None and self._hooks.here:
            self._safely(self._learner_of, optimizer)

    def _adopt(self, *_: Any) -> None:
        """Watch the thread that trains, as far as is known by now: the first to do so."""
        if self._hooks is not None and not self.progress.updates:
            self._hooks.thread = get_ident()

    def _learner_of(self, optimizer: Any) -> Learner | None:
        learner = self._by_optimizer.get(id(optimizer))
        if learner is None or learner.optimizer is not optimizer:
            learner = self._found(optimizer)
        return learner

    def _found(self, optimizer: Any) -> Learner:
        """An optimizer has come up: look for what it trains."""
        first = not self._by_optimizer
        self._frameworks.look()
        self._drop_dead()
        self._searched = 0
        self._passed.clear()
        self._by_optimizer = {id(one.optimizer): one for one in self.learners}
        learner = self._by_optimizer[id(optimizer)] = self._learn(optimizer)
        if isinstance(optimizer, Optimizer):
            self._hook_method(optimizer, "zero_grad", self._zero_grad)
        self._begin_search()
        if first:  # what came before is none of the training's time
            self._clock.spent[Step.OTHER] = 0.0
            self._clock.start()
            self._now = (Step.OTHER, perf_counter())
        return learner

    def _update_begins(self, optimizer: Any, *rest: Any) -> None:
        super()._update_begins(optimizer, *rest)
        if self._updating is not None and not self._updating.updates:
            self._leave_behind()

    def _leave_behind(self) -> None:
        """Forget optimizers that have not moved in this epoch, now that another one begins to: of a
        model that was trained before this one, say, and is still kept.
        """
        began = self.progress.batches_done - self.progress.batch
        over = [one for one in self.learners if one.updates and (one.updated_by or 0) < began]
        for one in over:
            self.learners.remove(one)
            self._by_optimizer.pop(id(one.optimizer), None)
        if over:
            self._should_fall = False
            self._name_learners()

    def _update_ends(self, optimizer: Any, *rest: Any) -> None:
        super()._update_ends(optimizer, *rest)
        if self.progress.updates == 1:
            self._adopts.remove()
        self._deep = 0  # an error may have been caught in there
        if self._search:
            self._searched += 1
            known = all(map(self._is_known, self.learners))
            if known or self._searched > SEARCHED * len(self.learners):
                self._end_search()

    def _hook_method(self, owner: Any, name: str, watching: Watching) -> None:
        """Hook a method in the class that an object has it from, once."""
        kind = home_of(owner, name)
        if kind not in self._hooked and self._hooks is not None:
            self._hooked.add(kind)
            self._hooks.around(kind, name, watching)

    # Without an optimizer: what follows `backward()` moves the parameters, as far as can be told.

    def _backward_begins(self, of: Any) -> Loss | None:
        self._moved()
        if not any(one.param_groups for one in self.learners):
            tensors = (of,) if isinstance(of, Tensor) else tuple(of)
            self._by_hand = ByHand(list(leaves_behind(tensors)))
            self._found(self._by_hand)
        return super()._backward_begins(of)

    def _backward_ends(self, loss: Loss | None, of: Any, inputs: Any) -> None:
        super()._backward_ends(loss, of, inputs)
        if self._by_hand is not None and len(self.learners) == 1 and self._batches.worked:
            self._moves = True
            self._inferred.add(Step.UPDATE)
            super()._update_begins(self._by_hand)

    def _moved(self) -> None:
        if self._moves:
            self._moves = False
            super()._update_ends(self._by_hand)

    def _forward_begins(self, model: nn.Module, given: Any) -> None:
        if self._moves:
            self._moved()
        super()._forward_begins(model, given)

    def _pass_begins(self, one: LoaderPass) -> None:
        self._moved()
        super()._pass_begins(one)

    def _wants_batch(self, one: LoaderPass) -> None:
        if self._moves:
            self._moved()
        super()._wants_batch(one)

    def _update_elsewhere(self, optimizer: Any, move: Callable[[], Any]) -> Any:
        """A framework's own optimizer moves the parameters."""
        if not self._safely(self._made_by, optimizer):
            self._safely(self._update_begins, optimizer)
        moved = move()
        self._safely(self._update_ends, optimizer)
        return moved

    def _made_by(self, optimizer: Any) -> bool:
        """Whether it makes the update that was taken for one by hand, until now."""
        by_hand = self._by_hand
        if by_hand is None or not self._moves:
            return False
        self._by_hand, self._moves = None, False
        self._inferred.discard(Step.UPDATE)
        learner = self._by_optimizer.pop(id(by_hand))
        learner.belongs_to(optimizer)
        self._by_optimizer[id(optimizer)] = self._updating = learner
        self._name_learners()
        return True

    def _begin_search(self) -> None:
        """Look at every module that is called, until the models of all optimizers are known."""
        if not self._search and self._hooks is not None:
            begins = self._hooks.add(
                all_modules.register_module_forward_pre_hook, self._module_begins
            )
            ends = self._hooks.add(all_modules.register_module_forward_hook, self._module_ends)
            self._search = [begins, ends]

    def _end_search(self) -> None:
        for one in self._search:
            if self._hooks is not None:
                self._hooks.remove(one)
        self._search, self._deep = [], 0

    def _module_begins(self, module: nn.Module, given: Any) -> None:
        self._deep += 1
        if self._deep == 1 and self._is_new_root(module):
            # Its own hooks come too late for the call that is under way, but for the last one.
            self._forward_begins(module, given)

    def _is_new_root(self, module: nn.Module) -> bool:
        """Whether an outermost module holds something that is trained, and was not hooked yet."""
        if module in self._passed:
            return False
        holders = [one for one in self.learners if one.holds(module)]
        if not holders:
            self._passed.add(module)
            return False
        plain = _unwrapped(module)
        for learner in holders:
            if all(one() is not plain for one in learner.models):
                learner.models.append(ref(plain))
                self.device = next(module.parameters()).device
                self._name_learners()
        if module in self._roots:
            return False
        assert self._hooks is not None
        for one in {module, plain}:  # what was wrapped is also called alone, to validate
            if one not in self._roots:
                self._roots.add(one)
                self._hooks.add(one.register_forward_pre_hook, self._forward_begins)
                self._hooks.add(one.register_forward_hook, self._forward_ends)
        return True

    def _module_ends(self, module: nn.Module, given: Any, outputs: Any) -> None:
        self._deep = max(0, self._deep - 1)
        outermost = self._deep == 0 and self._batches.worked
        criterion = outermost and module in self._passed and module not in self._roots
        if criterion and isinstance(outputs, Tensor) and outputs.numel() == 1 and outputs.grad_fn:
            assert self._hooks is not None
            self._roots.add(module)
            self._has_criterion = True
            self._inferred.discard(Step.LOSS)
            self._hooks.add(module.register_forward_pre_hook, self._loss_begins)
            self._hooks.add(module.register_forward_hook, self._loss_ends)
            self._loss_ends(module, given, outputs)

    def _compiles(self, bare: Callable[..., Any], *args: Any, **options: Any) -> Any:
        made = bare(*args, **options)
        if isinstance(made, nn.Module) and home_of(made, "__call__") is not nn.Module:
            self._safely(self._hook_method, made, "__call__", self._call_compiled)
        return made

    def _call_compiled(
        self, bare: Callable[..., Any], module: Any, *args: Any, **options: Any
    ) -> Any:
        """What is compiled must meet no hook that is on every module."""
        searches = bool(self._search)
        if searches:
            self._safely(self._is_new_root, module)
            self._end_search()
        try:
            return bare(module, *args, **options)
        finally:
            if searches:
                self._safely(self._begin_search)

    def _is_known(self, learner: Learner) -> bool:
        """Whether the models that are known hold all that an optimizer trains."""
        models = [model for one in learner.models if (model := one()) is not None]
        held = {id(p) for model in models for p in model.parameters()}
        return all(id(p) in held for p in learner.parameters)

    def _name_learners(self) -> None:
        """After their models, told apart by a number where they are alike."""
        taken: dict[str, int] = {}
        for learner in self.learners:
            model = next((m for one in learner.models if (m := one()) is not None), None)
            name = learner.kind if model is None else type(model).__name__
            taken[name] = number = taken.get(name, 0) + 1
            learner.name = name if number == 1 else f"{name} {number}"
        self._regroup()
        self._info = None

    def _cleared_by(self, owner: Any) -> list[Learner]:
        if isinstance(owner, nn.Module):
            first = next((p for p in owner.parameters() if p.requires_grad), None)
            return [one for one in self.learners if any(p is first for p in one.parameters)]
        learner = self._learner_of(owner)
        return [] if learner is None else [learner]

    # Loaders and epochs.

    def _find_epoch_loop(self) -> EpochLoop | None:
        return epoch_loop(inspect.currentframe())

    def _loader_begins(self, bare: Callable[..., Any], loader: Any) -> Any:
        source = bare(loader)
        self._safely(self._follow, loader, source)
        return source

    def _follow(self, loader: Any, source: Any) -> None:
        """Have each batch of an iterator seen."""
        self._hook_method(source, "__next__", self._next)
        before = self._passes.get(source)
        if before is not None:  # its workers are kept
            self._batches.pass_is_left(before)
        one = LoaderPass(loader)
        self._passes[source] = one
        one.loop = self._find_epoch_loop()
        self._frameworks.look()
        one.dropped = ref(source, lambda _: self._safely(self._dropped, one))
        self._pass_begins(one)

    def _dropped(self, one: LoaderPass) -> None:
        """An iterator is gone, whether it came to its end or not."""
        if self._hooks is not None and not self._hooks.over and self._hooks.here:
            self._batches.pass_is_left(one)

    def _next(self, bare: Callable[..., Any], source: Any) -> Any:
        one = self._passes.get(source)
        if one is None:
            return bare(source)
        self._safely(self._wants_batch, one)
        try:
            batch = bare(source)
        except StopIteration:
            self._safely(self._pass_ends, one)
            raise
        self._safely(self._gets_batch, one, batch)
        return batch


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module that torch's own have been wrapped around: to compile it, say."""
    while (
        type(module).__module__.startswith("torch.") and len(parts := list(module.children())) == 1
    ):
        inner = parts[0]
        if sum(1 for _ in inner.parameters()) < sum(1 for _ in module.parameters()):
            break
        module = inner
    return module
