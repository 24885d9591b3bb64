"""Where a run is. It lives outside the loop, so that a loop that broke can start again from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..protocol.faults import Switch
from .nested import samples_in


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
    val_batch: int = 0
    """Validation batches finished in the validation under way."""
    trained: bool = False
    """The epoch's batches are all trained and its schedule is moved; only validation is left."""
    switches: frozenset[Switch] = frozenset()
    """What is wrong with the loop on purpose."""
    switched: tuple[Switch, ...] = ()
    """What ever was; going back to an earlier state does not unmake it."""
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

    def begin_batch(self, features: Any, labels: Any) -> None:
        """Show the batch that was just fetched; what the last one left is let go."""
        self.features, self.labels = features, labels
        self.outputs = self.loss = self.grad_norm = None

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
