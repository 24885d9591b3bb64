"""`Training`: everything a run is made of, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from .tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from .data import Batches


@dataclass(frozen=True, slots=True)
class About:
    """What a face says about a run, in words; nothing here influences training."""

    name: str = "run"
    """The preset's name, or the user's."""
    data: str = ""
    """For example "1,438 images 8x8, 10 classes"."""
    model: str = ""
    """For example "cnn"."""
    label_names: tuple[str, ...] = ()
    """Names of the classes, where there are any."""


@dataclass(slots=True)
class Training:
    """What a run is made of: model, criterion, optimizer, batches, and how long to go on.

    The model is already on `device`; batches are moved there as they are served.

    Raises:
        ValueError: a count is not positive, or `clip_norm` is not.
    """

    model: nn.Module
    criterion: Callable[[Tensor, Tensor], Tensor]
    """Called as `criterion(outputs, labels)`; gives the mean loss of the batch, shape ()."""
    optimizer: Optimizer
    batches: Batches
    """The training batches, each `(features, labels)` of shapes (B, ...), (B, ...)."""
    validation: Batches | None = None
    test: Batches | None = None
    """Looked at by nothing but an evaluation, once all choices are made."""
    epochs: int = 1
    task: Task = field(default_factory=Task)
    """What kind of problem this is, which decides the validation metric."""
    scheduler: LRScheduler | None = None
    scheduler_per: Literal["update", "epoch"] = "epoch"
    """When `scheduler.step()` is called: after every optimizer update, or every epoch."""
    accumulate: int = 1
    """Batches whose gradients add up before one update."""
    clip_norm: float | None = None
    """Largest norm of all gradients together; None leaves them alone."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    threads: int | None = None
    """Intra-op threads of torch during the run; None leaves what the process has."""
    seed: int | None = None
    """Seeds torch's global generator (dropout draws from it) when the run starts."""
    about: About = field(default_factory=About)

    def __post_init__(self) -> None:
        for name in ("epochs", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, not {self.clip_norm}")

    @property
    def parameters(self) -> int:
        """How many numbers the model can learn."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)
