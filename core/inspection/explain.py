"""What each of the five steps does to the numbers: a run's first batches, walked through."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..protocol.faults import LR_FACTOR, Fault
from ..protocol.inside import BatchFacts, Difference, LayerRow, compare
from ..protocol.snapshot import Outcome
from ..protocol.steps import FIVE, Step
from ..training.device import computing_with
from ..training.failure import describe_failure
from ..training.lazy import made_buffers
from ..training.loop import training_loop
from ..training.lr import LearningRate
from ..training.metrics import meter_for
from ..training.progress import Progress, tensors_in
from ..training.rng import rng_state, seed_rng, set_rng_state
from ..training.training import Training
from .batch_facts import batch_facts
from .eval_mode import eval_without_trace
from .layers import DROPOUTS, NORMS, LayerWatch

Buffers = dict[str, Tensor]
"""Copies, by qualified name."""


@dataclass(frozen=True, slots=True)
class Modes:
    """What the same features give in train mode and in eval mode, twice in each."""

    layers: tuple[tuple[str, str], ...]
    """Name and class of the layers that are known to do something else in eval mode: dropout,
    and norms that keep averages."""
    train_apart: float
    """Largest difference between the outputs of two passes in train mode."""
    eval_apart: float
    """The same in eval mode."""
    between: float
    """The same between a pass in train mode and one in eval mode."""
    train_loss: float
    eval_loss: float
    train_moves: tuple[str, ...]
    """Names of the buffers that a pass in train mode changed."""
    eval_moves: tuple[str, ...]


def compare_modes(training: Training, features: Any, labels: Any) -> Modes:
    """Run a batch in both modes; leaves no trace on the run.

    Args:
        training: of the model.
        features: (B, ...), or nested, on the training's device.
        labels: (B, ...), or nested.
    """

    def twice(*, train: bool) -> tuple[Any, float, float, tuple[str, ...]]:
        """Outputs, loss, difference to the second pass, buffers that moved."""
        model.train(train)
        before = buffers_of(model)
        outputs = model(features)  # (B, ...)
        moved = moved_buffers(before, buffers_of(model))
        loss = float(training.criterion(outputs, labels))
        return outputs, loss, apart(outputs, model(features)), moved

    with eval_without_trace(training) as model, training.autocast():
        outputs, eval_loss, eval_apart, eval_moves = twice(train=False)
        others, train_loss, train_apart, train_moves = twice(train=True)
        between = apart(outputs, others)
    return Modes(
        tuple((name, type(layer).__name__) for name, layer in model.named_modules() if _two(layer)),
        train_apart,
        eval_apart,
        between,
        train_loss,
        eval_loss,
        train_moves,
        eval_moves,
    )


def _two(layer: nn.Module) -> bool:
    """Whether a layer is known to behave in two ways."""
    if isinstance(layer, DROPOUTS):
        return layer.p > 0
    if isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)):
        return layer.dropout > 0
    return isinstance(layer, NORMS) and bool(layer.track_running_stats)


@torch.no_grad()
def apart(some: Any, others: Any) -> float:
    """Largest difference between two outputs of the same make-up; NaN and NaN are the same."""
    largest = 0.0
    for a, b in zip(tensors_in(some), tensors_in(others), strict=True):
        if a.numel() and not a.is_complex():
            distance = (a.cpu().double() - b.cpu().double()).abs()
            distance[(a == b).cpu() | (a.isnan() & b.isnan()).cpu()] = 0.0
            largest = max(largest, float(distance.nan_to_num(torch.inf).max()))
    return largest


def buffers_of(model: nn.Module) -> Buffers:
    """A copy of every buffer as it is now."""
    return {name: buffer.detach().clone() for name, buffer in made_buffers(model)}


def moved_buffers(before: Buffers, after: Buffers) -> tuple[str, ...]:
    """Names of those whose content is another one."""
    return tuple(
        name
        for name, buffer in after.items()
        if name not in before
        or before[name].shape != buffer.shape
        or not torch.equal(before[name].nan_to_num(), buffer.nan_to_num())
    )


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of a batch, and all that it changed."""

    step: Step
    """OTHER is what becomes of the gradients before an update: they are scaled back, clipped."""
    taken: bool
    """False where it was left out on purpose."""
    layers: tuple[Difference, ...]
    """Every layer that has parameters, before and after."""
    buffers: tuple[str, ...]
    """Names of the buffers that changed, such as batch norm's averages."""

    @property
    def grad_before(self) -> float | None:
        """Norm of all gradients together before it; None while no layer has one."""
        return _together(layer.before for layer in self.layers)

    @property
    def grad_after(self) -> float | None:
        """The same after it."""
        return _together(layer.after for layer in self.layers)

    @property
    def moved(self) -> bool:
        """Whether any weight has changed."""
        return any(layer.weights == "moved" for layer in self.layers)

    @property
    def graded(self) -> bool:
        """Whether any gradient has changed."""
        return any(layer.grads != "unchanged" for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Batch:
    """What happened in one batch."""

    epoch: int
    """Counted from 1."""
    number: int
    """In its epoch, counted from 1."""
    facts: BatchFacts
    """Shapes and types, and the loss, as the loop had them at the batch's end."""
    lr: float
    """Learning rate that its update used, or would have."""
    train_mode: bool
    """Whether the model was in train mode."""
    phases: tuple[Phase, ...]
    """In the order in which they ran; a step that was not due is not among them."""
    update_ratio: float | None
    """Norm of the update over the norm of all weights before it; None if no update was due."""
    against: float | None
    """Cosine between the update and minus the gradient, of all weights together: 1 is straight
    against it. None where either is zero or missing."""
    loss: float
    """Of the batch, before its update."""
    loss_again: float
    """Of the same batch with the weights as they are after it, and with the same random draws."""

    def phase(self, step: Step) -> Phase | None:
        """What a step did; the last one where it was announced twice, None if it never was."""
        return next((phase for phase in reversed(self.phases) if phase.step is step), None)

    @property
    def grad_norm(self) -> float | None:
        """Norm of all gradients together as the update finds them; None without any."""
        update = self.phase(Step.UPDATE)
        return self.phases[-1].grad_after if update is None else update.grad_before


@dataclass(frozen=True, slots=True)
class Explained:
    """A run's first batches, step by step."""

    batches: tuple[Batch, ...]
    faults: tuple[Fault, ...]
    """What was wrong with the loop on purpose."""
    accumulate: int
    """Batches whose gradients add up before one update."""
    scaled: bool
    """Whether the loss is scaled for backward, and the gradients are scaled back before an update,
    as it is for fp16."""
    modes: Modes | None
    """Train mode and eval mode with the last batch; None without one."""
    failure: Outcome | None
    """What ended it early, if anything did."""


def explain(training: Training, batches: int = 2, faults: Iterable[Fault] = ()) -> Explained:
    """Train the first batches as a `Session` does, bit for bit, and note what each step did.

    Args:
        training: what to train; it belongs to this from now on. It is not validated.
        batches: how many; fewer if the run has no more.
        faults: what is to be wrong with the loop on purpose.
    """
    if training.seed is not None:
        seed_rng(training.seed)
    walk = _Walk(replace(training, validation=None), frozenset(faults))
    failure: Outcome | None = None
    modes: Modes | None = None
    with computing_with(training.threads):
        try:
            walk.go(batches)
            if walk.batches:
                modes = compare_modes(training, walk.progress.features, walk.progress.labels)
        except Exception as error:
            failure = describe_failure(error, training.model, walk.progress, walk.running)
    return Explained(
        tuple(walk.batches),
        tuple(sorted(walk.progress.faults)),
        training.accumulate,
        training.scaler.is_enabled(),
        modes,
        failure,
    )


class _Walk:
    """Drives the loop, and looks at everything at each of its gates."""

    def __init__(self, training: Training, faults: frozenset[Fault]) -> None:
        self.progress = Progress(faults=faults)
        self.running = Step.OTHER
        """The phase under way."""
        self.batches: list[Batch] = []
        self._training = training
        self._rate = LearningRate(training.optimizer, training.scheduler, training.scheduler_per)
        if Fault.LR_TIMES_100 in faults:
            self._rate.scale(LR_FACTOR)
        self._watch = LayerWatch(training.model, training.optimizer)
        self._rows: tuple[LayerRow, ...] = ()
        self._buffers = buffers_of(training.model)
        self._rng: dict[str, Any] = {}
        self._phases: list[Phase] = []
        self._lr = self._rate.lr
        self._update: tuple[float | None, float | None] = (None, None)

    def go(self, batches: int) -> None:
        """Take every step of so many batches."""
        training, progress = self._training, self.progress
        self._rows = self._watch.look(exact=True)
        for steps in training_loop(
            training,
            self._rate,
            progress,
            lambda: meter_for(training.task, training.metrics, training.criterion),
        ):
            with closing(steps):
                for step in steps:
                    self._at_gate(step)
                    if progress.batches_done > len(self.batches):
                        self._end_batch()
                        if progress.batches_done == batches:
                            return
                    self.running = step

    def _at_gate(self, step: Step) -> None:
        """Note what `running` changed; `step` runs next."""
        watch, running = self._watch, self.running
        if running is Step.UPDATE:
            watch.after_update()
            self._update = watch.whole_update()
        before, self._rows = self._rows, watch.look(exact=True)
        old, self._buffers = self._buffers, buffers_of(self._training.model)
        if running in FIVE or running is Step.CLIP:
            layers = tuple(
                layer
                for layer in compare(before, self._rows, running)
                if layer.after.weight_norm is not None
            )
            moved = moved_buffers(old, self._buffers)
            self._phases.append(Phase(running, self._is_taken(running), layers, moved))
        if step is Step.FORWARD:
            self._rng = rng_state(self._training.device)
        elif step is Step.UPDATE:
            watch.before_update()
        if step is Step.DATA:
            self._lr = self._rate.lr

    def _is_taken(self, step: Step) -> bool:
        """Whether the loop that is broken on purpose took the step that it announced."""
        wrong = self.progress.faults
        if step is Step.ZERO_GRAD:
            late = Fault.LATE_ZERO_GRAD in wrong
            return bool(self._phases) if late else Fault.NO_ZERO_GRAD not in wrong
        left_out = {Step.BACKWARD: Fault.NO_BACKWARD, Step.UPDATE: Fault.NO_STEP}
        return left_out.get(step) not in wrong

    def _end_batch(self) -> None:
        progress, (ratio, against) = self.progress, self._update
        assert progress.loss is not None
        self.batches.append(
            Batch(
                epoch=progress.epoch + 1,
                number=progress.batch,
                facts=batch_facts(progress),
                lr=self._lr,
                train_mode=Fault.EVAL_MODE not in progress.faults,
                phases=tuple(self._phases),
                update_ratio=ratio,
                against=against,
                loss=float(progress.loss.detach()),
                loss_again=self._loss_again(),
            )
        )
        self._phases, self._update = [], (None, None)

    def _loss_again(self) -> float:
        """The batch's loss now: same samples, same mode, same dropout. Leaves no trace."""
        training, progress = self._training, self.progress
        # With gradients allowed, torch takes the same kernels as it did in training.
        with eval_without_trace(training) as model, torch.enable_grad(), training.autocast():
            model.train(Fault.EVAL_MODE not in progress.faults)
            set_rng_state(self._rng, training.device)
            return float(training.criterion(model(progress.features), progress.labels).detach())


def _together(rows: Iterable[LayerRow]) -> float | None:
    norms = [row.grad_norm for row in rows if row.grad_norm is not None]
    return math.hypot(*norms) if norms else None
