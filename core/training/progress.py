"""Where a run is. It lives outside the loop, so that a loop that broke can start again from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

import torch
from torch import Tensor

from ..protocol.faults import Fault, Undone


def pair(batch: Any) -> tuple[Any, Any]:
    """Features and labels of a batch that is a tuple or list of the two.

    Raises:
        TypeError: it is something else; `Training.unpack` has to say what is what.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    if isinstance(batch, Mapping):
        found = f"a dict of {', '.join(str(key) for key in batch)}"
    elif isinstance(batch, (tuple, list)):
        found = f"a {type(batch).__name__} of {len(batch)}"
    else:
        found = f"a {type(batch).__name__}"
    raise TypeError(
        f"a batch is {found}, not (features, labels); unpack=... in the Training says what is what"
    )


def to_device(part: Any, device: torch.device) -> Any:
    """Every tensor in tuples, lists and dicts on the device; whatever else there is as it is."""
    return map_tensors(part, lambda tensor: tensor.to(device, non_blocking=True))


def map_tensors(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Every tensor in tuples, lists and dicts changed; whatever else there is as it is."""
    if isinstance(part, Tensor):
        return change(part)
    if isinstance(part, Mapping):
        return {key: map_tensors(value, change) for key, value in part.items()}
    if isinstance(part, tuple) and hasattr(part, "_fields"):
        return type(part)(*(map_tensors(value, change) for value in part))
    if isinstance(part, (tuple, list)):
        return type(part)(map_tensors(value, change) for value in part)
    return part


def as_number(value: Any) -> float | None:
    """A loss or a norm as a number, which waits for an accelerator; None if it is no single one."""
    if isinstance(value, Tensor):
        return float(value.detach()) if value.numel() == 1 else None
    return float(value) if isinstance(value, (int, float)) else None


def samples_in(*parts: Any) -> int:
    """The length of the first tensor that has one; 0 if there is none.

    Args:
        parts: features, labels: tensors (B, ...), or tuples, lists and dicts of them.
    """
    first: Any = parts
    while isinstance(first, (tuple, list)) and first:
        first = first[0]
    if isinstance(first, Tensor) and first.dim():  # the usual case, ten times a millisecond
        return first.size(0)
    return next((len(t) for part in parts for t in tensors_in(part) if t.dim()), 0)


def tensors_in(part: Any) -> Iterator[Tensor]:
    """Every tensor in tuples, lists, dicts and dataclasses, in order."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from tensors_in(value)
    elif isinstance(part, (tuple, list)):
        for value in part:
            yield from tensors_in(value)
    elif is_dataclass(part):
        for one in fields(part):
            yield from tensors_in(getattr(part, one.name))


COUNTERS: Final = ("epoch", "batch", "batches_done", "samples_done", "updates", "trained")
"""What of it a checkpoint has: whole numbers, none below 0."""


@dataclass(slots=True)
class Progress:
    """Counters of whole batches, and the tensors of the batch under way."""

    epoch: int = 0
    """Epochs completely trained; the index of the one under way."""
    batch: int = 0
    """Batches finished in this epoch."""
    batches_done: int = 0
    """Batches finished in the whole run."""
    samples_done: int = 0
    updates: int = 0
    """Optimizer updates, skipped ones too: what a schedule counts."""
    skipped: int = 0
    """Those of them that fp16's GradScaler left out, as far as is known."""
    order: Tensor | None = None
    """torch's global generator as this epoch began: a loader that has none of its own draws its
    order from there."""
    promised: int | None = None
    """Batches that the loader had said the last finished epoch would have; None if it can't."""
    length: int | None = None
    """Batches that it did have; None before it."""
    val_batch: int = 0
    """Validation batches finished in the validation under way."""
    val_bad: str | None = None
    """Where NaN or infinity first appeared in the validation under way, or in the last one; "" if
    that could not be found, None if nowhere (or on an accelerator, which is not waited for)."""
    trained: bool = False
    """The epoch's batches are all trained and its schedule is moved; only validation is left."""
    faults: frozenset[Fault] = frozenset()
    """What is wrong with the loop on purpose."""
    faults_so_far: tuple[Fault, ...] = ()
    """What ever was, but for what was undone; going back to a checkpoint does not unmake it."""
    undone: tuple[Undone, ...] = ()
    """What was, until that was taken back."""
    features: Any = None
    """(B, ...), or nested, of the batch under way, or of the last one."""
    labels: Any = None
    """(B, ...), or nested"""
    outputs: Any = None
    """(B, ...), or nested"""
    loss: Tensor | None = None
    """()"""
    grad_norm: Tensor | None = None
    """() as clipping computed it; None where nothing clips."""

    place: tuple[int, int] = (0, 0)
    """Epoch and batch that features, labels and all else of a batch belong to, counted from 0."""

    def begin_batch(self, features: Any, labels: Any) -> None:
        """Show the batch that was just fetched; what the last one left is let go."""
        self.features, self.labels, self.place = features, labels, (self.epoch, self.batch)
        self.outputs = self.loss = self.grad_norm = None

    def forget_batch(self) -> None:
        """Let go what the last batch left: the run goes back to before it."""
        self.begin_batch(None, None)

    @property
    def under_way(self) -> bool:
        """Whether the loss at hand is of a batch that is not counted yet."""
        return self.loss is not None and self.place == (self.epoch, self.batch)

    def end_batch(self, *, updated: bool) -> None:
        """Count a batch whose last phase is over, and whether it ended in an update."""
        self.updates += updated
        self.batch += 1
        self.batches_done += 1
        self.samples_done += samples_in(self.features, self.labels)

    def end_epoch(self) -> None:
        """Count an epoch."""
        self.epoch += 1
        self.batch = 0
        self.trained = False
