"""An optimizer of a loop that is not ours: what it trains, and which losses reach that."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ..protocol.learners import LearnerFacts
from ..session.session import describe_optimizer
from ..training.graph import leaves_behind
from ..training.lr import LearningRate, group_names, lr_of
from .hooks import LoopHooks
from .loss import Loss, LossSum


class Learner:
    """One optimizer, known for as long as the loop keeps it, and the modules that it trains.

    Args:
        optimizer: or anything else with `param_groups`.
    """

    def __init__(self, optimizer: Any) -> None:
        self.belongs_to(optimizer)
        self.name = self.kind
        self.models: list[ref[nn.Module]] = []
        """The outermost modules that hold what it trains, as they were called first."""
        self.losses = LossSum()
        self.loss: Loss | None = None
        """Of the last update."""
        self.updated_by: int | None = None
        """What `batches_done` was at the last update."""
        self.updates = 0
        self.grad_norm: float | None = None
        """As it was read last."""
        self._known: dict[int, RemovableHandle | None] = {}
        """The parameters that learn, by id, with what takes away the hook by which each tells that
        a gradient has reached it. After the first backward pass that has, one of them tells: each
        hook takes as long as some lines of Python."""
        self._told = False
        """Whether there was such a pass."""
        self._reached: deque[Tensor] = deque(maxlen=1)
        """One that has told so in this backward pass."""

    def belongs_to(self, optimizer: Any) -> None:
        """Take this for the optimizer, whatever was taken for it before."""
        self._optimizer = ref(optimizer)
        ours = not isinstance(optimizer, Optimizer) and getattr(optimizer, "kind", None)
        self.kind: str = ours or type(optimizer).__name__

    @property
    def optimizer(self) -> Any:
        """None once the loop has dropped it."""
        return self._optimizer()

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The optimizer's own; none once the loop has dropped it."""
        optimizer = self._optimizer()
        return [] if optimizer is None else optimizer.param_groups

    @property
    def described(self) -> str:
        """The optimizer, for a person."""
        optimizer = self._optimizer()
        return describe_optimizer(optimizer) if isinstance(optimizer, Optimizer) else self.kind

    @property
    def parameters(self) -> Iterator[Tensor]:
        """Everything that the optimizer has been given."""
        return (p for group in self.param_groups for p in group["params"])

    def holds(self, module: nn.Module) -> bool:
        """Whether a module has any of what is trained here."""
        own = {id(p) for p in self.parameters}
        return any(id(p) in own for p in module.parameters())

    def find_parameters(self, hooks: LoopHooks) -> None:
        """Have each new parameter tell when a gradient has reached it.

        Lazy ones are none before the first forward pass, frozen ones until they learn.
        """
        groups = self.param_groups
        count = 0
        for group in groups:
            count += len(group["params"])
        if count == len(self._known):
            return
        for p in self.parameters:
            if id(p) not in self._known and p.requires_grad and p.is_leaf and not is_lazy(p):
                told = self._told
                register = p.register_post_accumulate_grad_hook
                self._known[id(p)] = (
                    None if told else hooks.add_bare(register, self._reached.append)
                )

    def reached_by(self, of: Any, inputs: Any) -> bool:
        """Whether the backward pass that is just over has come to one of the parameters.

        Args:
            of: the tensors that it began at.
            inputs: what alone it gives gradients to, if that was said.
        """
        reached = bool(self._reached)
        if reached and not self._told:
            self._told = True
            kept = id(self._reached[0])
            for p, hook in self._known.items():
                if hook is not None and p != kept:
                    hook.remove()
        self._reached.clear()
        if reached or not self._told:
            return reached
        if inputs is not None:
            return any(
                id(p) in self._known for p in ((inputs,) if isinstance(inputs, Tensor) else inputs)
            )
        tensors = [t for t in ((of,) if isinstance(of, Tensor) else of) if isinstance(t, Tensor)]
        return any(id(leaf) in self._known for leaf in leaves_behind(tensors))

    def norm(self) -> Tensor | None:
        """The norm of all its gradients, shape (); None where there is none that could be read."""
        grads = [p.grad for p in self.parameters if p.grad is not None]
        if not grads or any(g.layout is not torch.strided for g in grads):
            return None
        with torch.no_grad():
            return torch.nn.utils.get_total_norm([grad.detach() for grad in grads])

    def facts(self, factor: float) -> LearnerFacts:
        """What a front end is told of it.

        Args:
            factor: the hand's, on top of its learning rates.
        """
        names = dict.fromkeys(type(m).__name__ for one in self.models if (m := one()) is not None)
        loss = self.loss if isinstance(self.loss, float) else None
        lrs = [lr_of(group) * factor for group in self.param_groups]
        return LearnerFacts(
            self.name,
            " + ".join(names),
            self.kind,
            self.updates,
            loss,
            max(lrs, default=float("nan")),
            self.grad_norm,
        )


class LoopRate(LearningRate):
    """The learning rates of a loop that is not ours, and a factor that a person has set.

    Schedules of any kind, and loops that set the rate themselves, always find what they left: the
    factor is put on top for each update alone.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        self.learners = learners
        self.factor = 1.0
        self.plain: list[tuple[dict[str, Any], Any]] = []
        """Groups under an update, with what the loop had set."""
        self.name_groups()

    def name_groups(self) -> None:
        """Name the groups that there are now."""
        self.groups = ()
        alive = [one for one in self.learners if one.param_groups]
        if len(alive) == 1:
            self.groups = group_names(alive[0].optimizer)
        elif len(alive) > 1:
            each = [(one, group_names(one.optimizer) or ("",)) for one in alive]
            self.groups = tuple(f"{one.name} {n}".strip() for one, names in each for n in names)
        self._last = tuple(self._now()[: len(self.groups)])

    @property
    def _all_groups(self) -> list[dict[str, Any]]:
        return [group for one in self.learners for group in one.param_groups]

    def _now(self) -> list[float]:
        return [lr_of(group) * self.factor for group in self._all_groups]

    @property
    def lr(self) -> float:
        groups = self.learners[0].param_groups if len(self.learners) == 1 else ()
        if len(groups) == 1 and type(lr := groups[0].get("lr")) is float:  # the usual case
            return lr * self.factor
        return max(self._now(), default=float("nan"))

    @property
    def lrs(self) -> tuple[float, ...]:
        now = tuple(self._now()[: len(self.groups)])
        if len(now) == len(self.groups):
            self._last = now
        return self._last  # of optimizers that the loop has dropped meanwhile: as they were

    @property
    def fixed(self) -> str:
        """Why nobody but the loop can change them; "" where a person can."""
        groups = self._all_groups
        if any(math.isnan(lr_of(group)) for group in groups):
            return "only the loop itself knows its learning rate"
        if any(getattr(group, "is_scheduled", False) for group in groups):
            return "a schedule gives it with each update"
        return ""

    def scale(self, factor: float) -> None:
        self.factor = factor

    def put_on(self, learner: Learner) -> None:
        """Before an update: what the loop has set, times the factor."""
        for group in learner.param_groups:
            lr = group.get("lr")
            if isinstance(lr, Tensor):
                self.plain.append((group, lr.clone()))
                lr.mul_(self.factor)
            elif lr is not None:
                self.plain.append((group, lr))
                group["lr"] = lr * self.factor

    def take_off(self) -> None:
        """Behind it."""
        for group, lr in self.plain:
            if isinstance(lr, Tensor):
                group["lr"].copy_(lr)
            else:
                group["lr"] = lr
        self.plain.clear()


class Together:
    """Several optimizers as one, for whoever looks at parameters and groups."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.param_groups = [group for one in optimizers for group in one.param_groups]
        self.state = {p: kept for one in optimizers for p, kept in one.state.items()}
        self.defaults: dict[str, Any] = {}
