"""`Training`: everything a run is made of, as plain data."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import torch
from torch import Tensor, nn

from ..protocol.steps import Task
from .data import batch_count
from .lazy import learnable
from .part_checks import check_loader, check_parts
from .progress import pair
from .schedules import check_scheduler, required

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from .data import Batches, Unpack
    from .data_parallel import Replica
    from .metrics import Metrics
    from .ranks import RankGroup
    from .shards import Shards

Amp = Literal["bf16", "fp16"]
TYPES: Final[dict[Amp, torch.dtype]] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(amp: Amp | None, device: torch.device) -> AbstractContextManager[Any]:
    """What forward and loss are computed in; may be entered again and again, never twice at once.

    Raises:
        RuntimeError: the device can't compute in this type.
    """
    return nullcontext() if amp is None else torch.autocast(device.type, TYPES[amp])


class Scaler(torch.amp.GradScaler):
    """torch's GradScaler, counting the updates that it leaves out.

    Small gradients vanish in fp16, so the loss is multiplied by a large scale, and the gradients
    are divided by it before the update. Where the scale was too large they are infinite: that
    update is left out, and the scale halved. Without `enabled` all of it is left away.
    """

    def __init__(self, device: torch.device, *, enabled: bool) -> None:
        super().__init__(device.type, enabled=enabled)
        where = device if enabled else torch.device("cpu")
        self._one = torch.ones((), device=where)
        self.skipped = torch.zeros((), device=where)
        """() how many updates were left out; on the device, so that counting waits for nothing."""

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the scale after an update, and count the update if it was left out."""
        if not self.is_enabled():
            return
        before = self.scale(self._one)
        super().update(new_scale)
        self.skipped += self.scale(self._one) < before

    def state_dict(self) -> dict[str, Any]:
        """The scale, what it depends on, and the count."""
        return {**super().state_dict(), "skipped": self.skipped.item()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self.skipped.fill_(state_dict["skipped"])


@dataclass(frozen=True, slots=True)
class About:
    """What a front end says about a run, in words; nothing here influences training."""

    name: str = "run"
    """The preset's name, or the user's."""
    data: str = ""
    """For example "1,438 images 8x8, 10 classes"."""
    model: str = ""
    """For example "cnn"."""
    label_names: tuple[str, ...] = ()
    """Names of the classes, where there are any; of tokens, the vocabulary."""
    feature_names: tuple[str, ...] = ()
    """Names of the numbers that a sample has, where they have any."""
    table: Mapping[str, Any] | None = None
    """How rows of a table become features and outputs become predictions, in plain values, which
    a checkpoint keeps; None for other data."""
    settings: tuple[tuple[str, Any], ...] = ()
    """The parameters of the function that made it, with their values."""
    scheduler: str = ""
    """What its schedule is called; "" for the name of its class."""


@dataclass(slots=True)
class Training:
    """What a run is made of: model, criterion, optimizer, batches, and how long to go on.

    The model is already on `device`; batches are moved there as they are served.

    Raises:
        TypeError: a part is no such thing.
        ValueError: parts don't belong to each other, or no batch comes (see `parts`); a count is
            not positive, or `clip_norm` is not; there is no such `amp`; a
            metric has the name of one that the task brings; the optimizer can't take a step
            without a closure; the scheduler needs what it won't get (see `check_scheduler`).
        RuntimeError: the device can't compute in the type that `amp` names.
    """

    model: nn.Module
    criterion: Callable[[Any, Any], Tensor]
    """Called as `criterion(outputs, labels)`; gives the mean loss of the batch, shape ()."""
    optimizer: Optimizer
    batches: Batches
    """The training batches, each `(features, labels)` of shapes (B, ...), (B, ...), unless
    `unpack` says otherwise."""
    validation: Batches | None = None
    test: Batches | None = None
    """Looked at by nothing but an evaluation, once all choices are made."""
    epochs: int = 1
    task: Task = field(default_factory=Task)
    """What kind of problem this is, which decides the validation metric."""
    scheduler: LRScheduler | None = None
    scheduler_per: Literal["update", "epoch"] = "epoch"
    """When `scheduler.step()` is called: after every optimizer update, or every epoch."""
    scheduler_metric: str = "val_loss"
    """What a `ReduceLROnPlateau` is stepped with, after each epoch's validation: "val_loss", or the
    name of a metric that the task brings or `metrics` has."""
    accumulate: int = 1
    """Batches whose gradients add up before one update."""
    clip_norm: float | None = None
    """Largest norm of all gradients together; None leaves them alone."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    threads: int | None = None
    """Intra-op threads of torch during the run; None leaves what the process has."""
    seed: int | None = None
    """Seeds the process's generators when the run starts: torch's, which dropout draws from, and
    Python's and NumPy's, which a data set may draw from."""
    unpack: Unpack = pair
    """Takes a batch apart into features and labels, which may be tuples, lists or dicts of
    tensors; the default takes pairs. The model gets the features, whole, as its one argument."""
    metrics: Metrics = field(default_factory=dict)
    """Further metrics by name, called as `metric(outputs, labels)` for the mean over a batch, and
    averaged over the validation samples. One called balanced_accuracy or f1 takes the place of the
    task's own."""
    amp: Amp | None = None
    """Mixed precision: forward and loss under `torch.autocast` in this type, validation too; fp16
    scales the loss with a GradScaler. Parameters stay float32."""
    compile: bool = False
    """Compile the model in place when the run starts, which keeps the names of its parameters."""
    early_stop: int | None = None
    """End the run once so many validations in a row, at epochs' ends, were no better than the best
    by the task's metric; None trains every epoch."""
    min_delta: float = 0.0
    """By how much one has to be better to count for that."""
    about: About = field(default_factory=About)
    scaler: Scaler = field(init=False, repr=False)
    """Scales the loss for fp16; does nothing otherwise."""
    ranks: RankGroup | None = field(default=None, init=False, repr=False)
    """The processes that train it together; None where this one does alone."""
    replica: Replica | Shards | None = field(default=None, init=False, repr=False)
    """The model among theirs."""

    def __post_init__(self) -> None:
        self.device = torch.device(self.device)  # people write "cuda", and the task's name
        given: object = self.task
        if not isinstance(given, Task):
            self.task = Task(cast("Any", given))
        for name in ("epochs", "accumulate", "seed", "threads", "early_stop"):
            value = getattr(self, name)
            if value is None and name in ("seed", "threads", "early_stop"):
                continue
            if not isinstance(value, int):
                raise TypeError(f"{name} must be a whole number, not {value!r}")
            if value < 1 and name != "seed":
                raise ValueError(f"{name} must be at least 1, not {value}")
        check_loader(self.batches, "batches")
        if self.validation is not None:
            check_loader(self.validation, "validation")
            if batch_count(self.validation) == 0:
                raise ValueError("validation is empty; leave it out where there are no data for it")
        if not self.min_delta >= 0:
            raise ValueError(f"min_delta must not be below 0, but is {self.min_delta}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, not {self.clip_norm}")
        if self.amp is not None and self.amp not in TYPES:
            raise ValueError(f"amp must be one of {', '.join(TYPES)} or None, not {self.amp!r}")
        self.autocast()
        self.new_scaler()
        twice = self.metrics.keys() & set(self.task.metric_names) - {"balanced_accuracy", "f1"}
        if twice:
            raise ValueError(f"a metric is already called {twice.pop()}; give yours another name")
        if isinstance(self.optimizer, torch.optim.LBFGS) or required(self.optimizer):
            raise ValueError(
                f"optimizer: {type(self.optimizer).__name__} runs forward and backward itself, in "
                "a closure and as often as it likes, so there are no five steps; take another, "
                "such as AdamW"
            )
        check_parts(self.model, self.criterion, self.optimizer, self.scheduler, self.device)
        if self.scheduler is not None:
            check_scheduler(
                self.scheduler,
                self.scheduler_per,
                self.scheduler_metric,
                self.task,
                self.metrics,
                validates=self.validation is not None and batch_count(self.validation) != 0,
            )

    @property
    def called(self) -> nn.Module:
        """What a batch goes through: the model, or what is around it where several ranks train."""
        return self.model if self.replica is None else self.replica.module

    def autocast(self) -> AbstractContextManager[Any]:
        """What forward and loss are computed in; see `autocast`."""
        return autocast(self.amp, self.device)

    def new_scaler(self, state: Mapping[str, Any] | None = None) -> None:
        """Begin with a fresh scale, or go on from that of an earlier one, if there is one now."""
        self.scaler = Scaler(self.device, enabled=self.amp == "fp16")
        if state is not None and self.scaler.is_enabled():
            self.scaler.load_state_dict(dict(state))

    @property
    def parameters(self) -> int | None:
        """How many numbers the model can learn; None while a lazy layer waits for a batch."""
        return learnable(self.model)
