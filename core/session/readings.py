"""`Readings`: the loss of every batch, a check of its gradients, now and then their norm."""

from __future__ import annotations

import math
from collections import deque
from time import perf_counter
from typing import Final, Generic, TypeVar

import torch
from torch import Tensor

from ..training.nonfinite import (
    GradientCheck,
    NonFiniteError,
    NonFiniteGradientError,
    NonFiniteLossError,
    name_bad_gradient,
    name_bad_value,
)
from ..training.progress import as_number
from .state import RunState

T = TypeVar("T")
SLOTS: Final = 64
"""Scalars gathered on an accelerator before they travel together."""


class Readback(Generic[T]):
    """Turns scalar tensors, each with a tag, into floats, in the order they came.

    On the CPU that is `item()`, at once. On CUDA the values gather in a device buffer, travel to
    pinned memory in one asynchronous copy, and are read when its event says that they arrived;
    only `drain` waits. Elsewhere they gather the same way and are read by one blocking copy.
    """

    def __init__(self, device: torch.device) -> None:
        self.immediate = device.type == "cpu"
        self._device = device
        self._slots: Tensor | None = None
        self._tags: list[T] = []
        self._flying: deque[tuple[list[T], Tensor, torch.cuda.Event | None]] = deque()

    def push(self, tag: T, scalar: Tensor) -> None:
        """Copy the value that `scalar` (shape ()) has at this point of the device's queue."""
        if self._slots is None:
            self._slots = torch.empty(SLOTS, device=self._device)
        self._slots[len(self._tags)].copy_(scalar.detach(), non_blocking=True)
        self._tags.append(tag)
        if len(self._tags) == SLOTS:
            self.flush()

    def flush(self) -> None:
        """Send what has gathered on its way."""
        if self._slots is None or not self._tags:
            return
        if self._device.type == "cuda":
            host = torch.empty(SLOTS, pin_memory=True)
            host.copy_(self._slots, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            self._flying.append((self._tags, host, event))
        else:
            self._flying.append((self._tags, self._slots.to("cpu", copy=True), None))
        self._tags = []

    def poll(self) -> list[tuple[T, float]]:
        """What has arrived since the last call."""
        arrived: list[tuple[T, float]] = []
        while self._flying and (self._flying[0][2] is None or self._flying[0][2].query()):
            tags, host, _ = self._flying.popleft()
            arrived += zip(tags, host.tolist(), strict=False)
        return arrived

    def drain(self) -> list[tuple[T, float]]:
        """Everything pushed so far. The one place that waits for the device: once an epoch."""
        self.flush()
        if self._flying and self._flying[-1][2] is not None:
            self._flying[-1][2].synchronize()
        return self.poll()


IN_A_ROW: Final = 20
"""Skipped updates from which on the scale of fp16's loss is not to blame: it is halved by each."""

SKIPS: Final = (
    f"{IN_A_ROW} updates in a row were skipped: at any scale of the loss a gradient is NaN or "
    "infinite; try amp bf16 or off"
)


class Readings:
    """Reads losses and gradient norms into the record, in order and without making a GPU wait."""

    def __init__(self, run: RunState, *, stop_on_nonfinite: bool) -> None:
        training = run.training
        self._training, self._progress, self._rate = training, run.progress, run.rate
        self._recorder = run.recorder
        self._losses: Readback[tuple[int, int, int, float, tuple[float, ...]]] = Readback(
            training.device
        )
        self._norms: Readback[int] = Readback(training.device)
        scaled = training.scaler.is_enabled()
        self.checks = stop_on_nonfinite and not scaled
        """Whether a gradient that is NaN or infinite ends the run. A scaler looks for itself, and
        skips the update."""
        self._gradients = None if scaled else GradientCheck(training.optimizer, training.device)
        self._bad: Readback[tuple[int, int]] = Readback(training.device)
        self._stops = stop_on_nonfinite
        self._skips: Readback[int] = Readback(training.device)
        self._made = self._made_at = self._normed = 0
        self._loss = self._lr = math.nan
        self._lrs: tuple[float, ...] = ()
        self._immediate = self._losses.immediate

    def read_lr(self) -> None:
        """Read what the update of this batch will use: a hand may set it until then."""
        self._lr = self._rate.lr
        if self._rate.groups:
            self._lrs = self._rate.lrs

    def read_loss(self) -> None:
        """Read the loss at the gate before the backward pass, and the learning rate.

        Raises:
            NonFiniteLossError: it is NaN or infinite and the run is to stop on that.
        """
        progress = self._progress
        loss = progress.loss
        assert loss is not None
        self.read_lr()
        if self._immediate:
            self._loss = loss.item()
            if self._stops and not math.isfinite(self._loss):
                place = name_bad_value(
                    self._training, progress.features, progress.labels, progress.outputs
                )
                raise NonFiniteLossError(
                    f"the loss is {self._loss}, noticed before backward", place
                )

    def check_gradients(self) -> None:
        """Look at the gradients at the gate after the backward pass.

        Raises:
            NonFiniteGradientError: one is NaN or infinite and the run is to stop on that. From
                an accelerator it comes some batches later; with fused kernels the update itself
                was left out.
        """
        check, progress = self._gradients, self._progress
        assert check is not None
        bad = check.look()
        if bad:
            place = name_bad_gradient(self._training.model, progress.features)
            raise NonFiniteGradientError(
                "a gradient is NaN or infinite, noticed before the update", place
            )

    def batch_done(self, ended: float) -> None:
        """Record the batch that ended at this time; of an accelerator, those that have arrived."""
        progress = self._progress
        if self._immediate:
            self._recorder.batch(
                progress.epoch + 1,
                progress.batch,
                progress.batches_done,
                self._loss,
                self._lr,
                ended,
                self._lrs,
            )
            if self._gradients is None:
                self._count_skips()
            return
        assert progress.loss is not None
        place = (progress.epoch + 1, progress.batch, progress.batches_done)
        self._losses.push((*place, self._lr, self._lrs), progress.loss)
        if self.checks and self._gradients is not None:
            self._bad.push(place[:2], self._gradients.found)
        if progress.batches_done % SLOTS == 0:
            self.collect()

    def collect(self, *, everything: bool = False) -> None:
        """Record what an accelerator has ready, or wait for it and record everything.

        Raises:
            NonFiniteError: as `read_loss` and `check_gradients`, some batches later.
        """
        if self._gradients is None:
            self._count_skips(everything=everything)
        if self._immediate:
            return
        for readback in (self._losses, self._bad):
            readback.flush()
        trouble: NonFiniteError | None = None
        for (epoch, batch, done, lr, lrs), loss in (
            self._losses.drain() if everything else self._losses.poll()
        ):
            self._recorder.batch(epoch, batch, done, loss, lr, perf_counter(), lrs)
            if self._stops and trouble is None and not math.isfinite(loss):
                trouble = NonFiniteLossError(f"the loss of epoch {epoch}, batch {batch} is {loss}")
        for (epoch, batch), bad in self._bad.drain() if everything else self._bad.poll():
            if self.checks and trouble is None and bad:
                trouble = NonFiniteGradientError(
                    f"a gradient of epoch {epoch}, batch {batch} is NaN or infinite"
                )
        if trouble is not None:
            kept = self._gradients is None or self._gradients.holds_back
            harm = "its update was left out" if kept else "the weights have met it"
            raise type(trouble)(f"{trouble}; {harm}")
        for done, norm in self._norms.poll():
            self._note_norm(done, norm)

    def forget(self) -> None:
        """Drop what an accelerator has not sent yet: the run goes back to before it."""
        device = self._training.device
        self._losses, self._bad, self._skips = Readback(device), Readback(device), Readback(device)
        self._norms = Readback(device)
        self._made = self._made_at = 0
        self._normed = self._progress.batches_done

    def loss_under_way(self, *, wait: bool) -> float | None:
        """Of the batch under way, once it is there; of an accelerator only if it may `wait`."""
        loss = self._progress.loss
        if not self._progress.under_way or not (wait or self._immediate):
            return None
        return as_number(loss)

    def norm(self) -> float | None:
        """The norm of all gradients, now; before clipping, where something clips. Waits for it."""
        norm = self._norm()
        return None if norm is None else norm.item()

    def sample_norm(self, batch: int) -> None:
        """Read the norm of all gradients of this batch, once: at the gate before its update, or
        behind it while they are still there.
        """
        norm = None if batch <= self._normed else self._norm()
        if norm is None:
            return
        self._normed = batch
        if self._immediate:
            self._note_norm(batch, norm.item())
        else:
            self._norms.push(batch, norm)
            self._norms.flush()

    def _note_norm(self, done: int, norm: float) -> None:
        # Where an update is about to be skipped, it would look as if gradients exploded.
        if self._gradients is not None or math.isfinite(norm):
            self._recorder.grad_norm(done, norm)

    def _count_skips(self, *, everything: bool = False) -> None:
        """Read how many updates were skipped, and warn if none is made any more."""
        progress, skips = self._progress, self._skips
        skips.push(progress.updates, self._training.scaler.skipped)
        skips.flush()
        for updates, skipped in skips.drain() if everything else skips.poll():
            progress.skipped = int(skipped)
            if updates - progress.skipped > self._made:
                self._made, self._made_at = updates - progress.skipped, updates
            elif updates - self._made_at >= IN_A_ROW:
                self._made_at = updates
                self._recorder.change(progress, SKIPS, "warning")

    def _norm(self) -> Tensor | None:
        if self._progress.grad_norm is not None:
            return self._progress.grad_norm
        grads = [p.grad for p in self._training.model.parameters() if p.grad is not None]
        if not grads or any(g.layout is not torch.strided for g in grads):
            return None
        with torch.no_grad():
            return torch.nn.utils.get_total_norm(grads)
