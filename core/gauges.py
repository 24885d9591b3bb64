"""What is read off a running batch: its loss, and now and then the norm of its gradients."""

from __future__ import annotations

import math

import torch

from .failure import NonFiniteLossError
from .progress import Progress
from .rate import LearningRate
from .readback import SLOTS, Readback
from .record import Record
from .training import Training


class Gauges:
    """Reads losses and gradient norms into the record, in order and without making a GPU wait."""

    def __init__(
        self,
        training: Training,
        progress: Progress,
        rate: LearningRate,
        record: Record,
        *,
        stop_on_nonfinite: bool,
    ) -> None:
        self._model, self._at, self._rate, self._record = training.model, progress, rate, record
        self._losses: Readback[tuple[int, int, int, float]] = Readback(training.device)
        self._norms: Readback[int] = Readback(training.device)
        self._stop_on_nonfinite = stop_on_nonfinite
        self._loss = self._lr = math.nan

    def read_loss(self) -> None:
        """Read the loss at the gate before backward.

        Raises:
            NonFiniteLossError: it is NaN or infinite and the run is to stop on that.
        """
        at = self._at
        loss = at.loss
        assert loss is not None
        if self._losses.immediate:
            self._loss, self._lr = loss.item(), self._rate.lr
            if not math.isfinite(self._loss):
                self._refuse(self._loss, "before backward")
        else:
            tag = (at.epoch + 1, at.batch + 1, at.batches_done + 1, self._rate.lr)
            self._losses.push(tag, loss)

    def batch_done(self) -> None:
        """Hand the finished batch to the record; from an accelerator, those that have arrived."""
        at = self._at
        if self._losses.immediate:
            self._record.batch(at.epoch + 1, at.batch, at.batches_done, self._loss, self._lr)
        elif at.batches_done % SLOTS == 0:
            self.collect()

    def collect(self, *, everything: bool = False) -> None:
        """Bring in what an accelerator has ready, or everything: that waits for it.

        Raises:
            NonFiniteLossError: as `read_loss`, some batches later.
        """
        if self._losses.immediate:
            return
        self._losses.flush()
        for (epoch, batch, done, lr), loss in (
            self._losses.drain() if everything else self._losses.poll()
        ):
            self._record.batch(epoch, batch, done, loss, lr)
            if not math.isfinite(loss):
                self._refuse(loss, f"after epoch {epoch}, batch {batch}")
        for done, norm in self._norms.poll():
            self._record.grad_norm(done, norm)

    def _refuse(self, loss: float, when: str) -> None:
        if self._stop_on_nonfinite:
            raise NonFiniteLossError(f"the loss is {loss}, noticed {when}")

    def sample_norm(self) -> None:
        """Read the norm of all gradients, complete at the gate before the update."""
        norm = self._at.grad_norm
        if norm is None:
            grads = [p.grad for p in self._model.parameters() if p.grad is not None]
            if not grads or any(g.layout is not torch.strided for g in grads):
                return
            with torch.no_grad():
                norm = torch.nn.utils.get_total_norm(grads)
        if self._losses.immediate:
            self._record.grad_norm(self._at.batches_done + 1, norm.item())
        else:
            self._norms.push(self._at.batches_done + 1, norm)
            self._norms.flush()
