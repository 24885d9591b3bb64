"""The whole state of a run between two batches, as a checkpoint keeps it: taken and put back.

What is taken here and put back into a run made of the same parts goes on bit for bit as if it had
never been interrupted.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from ..protocol.faults import Fault, Undone
from ..training.carried_state import Carried
from ..training.data import batch_count
from ..training.lazy import UNMADE, made_buffers, unmade
from ..training.lr import LearningRate
from ..training.progress import COUNTERS, Progress, tensors_in
from ..training.resume_data import Loaders, hidden_generators, unrepeatable
from ..training.rng import everything_untouched, rng_state, seed_rng, set_rng_state
from ..training.spread import gathered, part_like
from ..training.training import Training
from .checkpoint_shapes import SPOILED, misfit, moments_misfit
from .clock import Clock
from .recorder import Recorder

LARGEST: Final = 64 * 2**20
"""Bytes of what a model carries outside of its buffers, at most; more is a cache or the like."""


class StateError(ValueError):
    """A state can't be kept safely, or does not fit the run; the text is one line."""


@dataclass(slots=True)
class RunState:
    """The objects that a run's state is spread over."""

    training: Training
    progress: Progress
    rate: LearningRate
    recorder: Recorder
    clock: Clock
    loaders: Loaders
    carried: Carried = field(init=False)
    """What the model carries from batch to batch outside of parameters and buffers."""
    began: dict[str, Any] = field(default_factory=dict)
    """Where a schedule that counts updates stood when the epoch began, if the epoch would have to
    start over."""

    def __post_init__(self) -> None:
        self.carried = Carried(self.training)

    def epoch_begins(self) -> None:
        """Remember what a resume in the middle of the epoch goes back to."""
        training = self.training
        self.loaders.epoch_begins()
        if training.scheduler_per != "update" or not unrepeatable(training.batches):
            return
        state = {
            "updates": self.progress.updates,
            "scheduler": training.scheduler and training.scheduler.state_dict(),
            "groups": [
                {key: value for key, value in group.items() if key not in ("params", "lr")}
                for group in training.optimizer.param_groups
            ],
            "scheduled": list(self.rate.scheduled),
        }
        with suppress(StateError):  # then there will be no checkpoint either
            self.began = _kept(state, "schedule")


def take_state(run: RunState, *, gathers: bool = False) -> dict[str, Any]:
    """The run's state as it is now, between two batches: copies on the CPU, plain types only.

    Args:
        run: what it is taken of.
        gathers: where each rank has a part of the parameters: have all of them, for which all ranks
            have to call this. Only the first one gets them; else each takes its own part.

    Raises:
        StateError: the optimizer's, the schedule's or a module's own state holds something that
            could not be loaded again without executing it; or the model's lazy layers still wait
            for the first batch.
    """
    training, progress = run.training, run.progress
    if not progress.batches_done and unmade(training.model):
        raise StateError(UNMADE)
    scaler = training.scaler
    window = progress.batch % training.accumulate or progress.faults
    state = {
        "model": _weights(training.model),
        "buffers": dict(_unsaved_buffers(training.model)),
        "optimizer": training.optimizer.state_dict(),
        "progress": {name: getattr(progress, name) for name in COUNTERS},
        "seen": (progress.promised, progress.length),
        "switches": [str(fault) for fault in sorted(progress.faults)],
        "switched": [str(fault) for fault in progress.faults_so_far],
        "undone": [
            ([str(fault) for fault in one.faults], one.first, one.last) for one in progress.undone
        ],
        "rate": run.rate.state(),
        "record": run.recorder.state(),
        "clock": run.clock.state(),
    }
    if isinstance(training.criterion, nn.Module) and training.criterion.state_dict():
        state["criterion"] = training.criterion.state_dict()
    if training.scheduler is not None:
        state["scheduler"] = training.scheduler.state_dict()
    if run.began:
        state["began"] = run.began
    if scaler.is_enabled():
        state["scaler"] = scaler.state_dict()
    if window:
        state["gradients"] = {
            name: p.grad for name, p in training.model.named_parameters() if p.grad is not None
        }
    taken = {key: _kept(value, key, gathers=gathers) for key, value in state.items()}
    return taken | take_own(run)


def take_own(run: RunState) -> dict[str, Any]:
    """What of the run's state is each rank's own, where several train: its generators, and what
    its model carries from batch to batch.

    Raises:
        StateError: as `take_state`.
    """
    progress = run.progress
    state: dict[str, Any] = {
        "loaders": run.loaders.state(trained=progress.trained),
        "rng": rng_state(run.training.device),
    }
    if progress.order is not None:
        state["order"] = progress.order
    carried = run.carried.changed()
    if carried:
        state["carried"] = {k: v for k, v in carried.items() if _size(v) <= LARGEST}
        state["left_out"] = [name for name in carried if name not in state["carried"]]
    return {key: _kept(value, key) for key, value in state.items()}


def state_of_rank(state: Mapping[str, Any], training: Training) -> Mapping[str, Any]:
    """The state as this rank had it. One that was not there draws numbers of its own from here."""
    ranks, others = training.ranks, state.get("others", ())
    if ranks is None or ranks.first:
        return state
    if len(others) == ranks.size - 1:
        return {**state, **others[ranks.number - 1]}
    with everything_untouched(training.device):
        seed_rng((training.seed or 0) + ranks.number + state["progress"]["batches_done"])
        return {**state, "rng": rng_state(training.device)}


def take_model(run: RunState) -> dict[str, Any]:
    """What the model has learned so far, and when; enough to evaluate it, not to go on from. Where
    each rank has a part of it all have to call this, and the first gets it.
    """
    model, progress, recorder = run.training.model, run.progress, run.recorder
    state = {
        "model": _weights(model),
        "buffers": dict(_unsaved_buffers(model)),
        "progress": {name: getattr(progress, name) for name in COUNTERS},
        "metrics": dict(recorder.metrics),
        "val_loss": recorder.val_loss,
    }
    return {key: _kept(value, key, gathers=True) for key, value in state.items()}


def put_model(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Give a model what `take_model` or `take_state` kept of it.

    Raises:
        StateError: it is another model's.
    """
    try:
        weights = copy.copy(state["model"])  # with its versions, which a new dict would not have
        for name, value in model.state_dict(keep_vars=True).items():
            if is_lazy(value):
                weights.setdefault(name, value)  # no batch had met it
            elif name in weights:
                weights[name] = part_like(weights[name], value)
        model.load_state_dict(weights)
        _put_buffers(model, state.get("buffers", {}))
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise StateError(_unfitting(error)) from error


def put_state(
    run: RunState,
    state: Mapping[str, Any],
    *,
    rewinding: bool = False,
    reschedule: bool = False,
    restart_epoch: bool = False,
) -> tuple[str, ...]:
    """Make the run what it was when `state` was taken; `put_rng` has to follow.

    Args:
        run: made the same way. Parameters stay the objects that they are.
        state: what `take_state` gave, this time or in another process.
        rewinding: within one run: its clock and what was changed by hand since stay.
        reschedule: the training is longer than it was and its schedule was made for the new
            length: it is moved to this place instead of being put back. The optimizer's options
            are those that it has now.
        restart_epoch: the batches are others than they were: the epoch under way starts over.

    Returns:
        What a person has to know, one line each; nothing if all is exact.

    Raises:
        StateError: the state belongs to another run; nothing of a run was trained with it.
    """
    training, progress = run.training, run.progress
    notes: list[str] = []
    state = {key: _kept(value, key) for key, value in state.items()}  # torch may keep what it gets
    try:
        unlike = misfit(training, state, moments=not reschedule)
        if unlike:
            raise StateError(f"the checkpoint does not fit this run: {unlike}")
        lazy = unmade(training.model)
        put_model(training.model, state)
        if lazy and not reschedule:  # only now have its moments something to fit
            unlike = moments_misfit(training.optimizer, state["optimizer"])
            if unlike:
                raise StateError(f"the checkpoint does not fit this run: {unlike}")
        run.carried.put(state.get("carried", {}), rewinding=rewinding)
        if "criterion" in state and isinstance(training.criterion, nn.Module):
            training.criterion.load_state_dict(state["criterion"])
        for name in COUNTERS:
            setattr(progress, name, state["progress"][name])
        progress.promised, progress.length = state.get("seen", (None, None))
        progress.order = state.get("order")
        run.began = state.get("began", {})
        why = _starts_over(run, others=restart_epoch)
        if restart_epoch and (count := batch_count(training.batches)) is not None:
            epochs = progress.epoch + progress.trained
            progress.updates = epochs * -(-count // training.accumulate)
        elif why:
            progress.updates = run.began.get("updates", progress.updates)
        training.new_scaler(state.get("scaler"))
        scaled, progress.skipped = training.scaler.is_enabled(), int(training.scaler.skipped)
        # What scales its loss can't be broken on purpose.
        faults = () if scaled else state.get("switches", ())
        progress.faults = frozenset(Fault(name) for name in faults)
        ever = map(Fault, state.get("switched", faults))
        progress.faults_so_far = tuple(dict.fromkeys((*progress.faults_so_far, *ever)))
        if not rewinding:
            progress.undone = tuple(
                Undone(tuple(map(Fault, names)), first, last)
                for names, first, last in state.get("undone", ())
            )
        if reschedule:
            notes += _put_rescheduled(run, state)
        else:
            _put_moments(training.optimizer, state["optimizer"])
            if training.scheduler is not None and "scheduler" in state:
                training.scheduler.load_state_dict(state["scheduler"])
            run.rate.restore(state["rate"])
            if why and run.began:
                _put_schedule(run)
        alike = scaled is ("scaler" in state)
        _put_gradients(training.model, state.get("gradients", {}) if alike else {})
        if not rewinding:
            run.clock.restore(state["clock"], progress.batches_done, progress.samples_done)
        run.recorder.restore(state["record"], rewinding=rewinding)
        run.loaders.restore(state["loaders"])
    except SPOILED as error:
        raise error if isinstance(error, StateError) else StateError(_unfitting(error)) from error
    if why:
        notes.append(
            f"epoch {progress.epoch + 1} starts over from its first batch, with the weights as "
            f"they were after batch {progress.batch}: {why}"
        )
        progress.batch = 0
        training.optimizer.zero_grad()
        run.recorder.begin_epoch_anew()
    if progress.batches_done and not rewinding:
        notes += hidden_generators(training.batches)
        notes += [
            f"{name} is too large for a checkpoint: if it is carried from batch to batch, what "
            "comes from here on is other numbers"
            for name in state.get("left_out", ())
        ]
    return tuple(notes)


def put_rng(state: Mapping[str, Any], device: torch.device) -> None:
    """Put the process's random generators back, just before the run goes on."""
    set_rng_state(_kept(state["rng"], "rng"), device)


def _unfitting(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().split("\n")]
    # load_state_dict says in its first line only whose state it is
    named = len(lines) > 1 and lines[0].startswith("Error(s) in loading")
    return f"the checkpoint does not fit this run: {type(error).__name__}: {lines[named]}"


def _kept(value: Any, path: str, *, gathers: bool = False) -> Any:
    """A copy of `value` that shares nothing with it and loads without executing anything; with
    `gathers` the first rank's is whole, and nobody else has any.
    """
    if isinstance(value, Tensor):
        return (gathered(value) if gathers else value).detach().to("cpu", copy=True)
    if value is None or type(value) in (bool, int, float, str, bytes, torch.dtype, torch.device):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        kind = next((k for k in (OrderedDict, Counter) if isinstance(value, k)), dict)
        kept = kind(
            {key: _kept(one, f"{path}.{key}", gathers=gathers) for key, one in value.items()}
        )
        if hasattr(value, "_metadata"):  # the versions of modules, which `load_state_dict` reads
            kept._metadata = _kept(value._metadata, path)  # type: ignore[union-attr]
        return kept
    if isinstance(value, (list, tuple, set)):
        if all(type(one) in (int, float) for one in value):  # long ones are
            return type(value)(value)
        inner = [_kept(one, f"{path}.{i}", gathers=gathers) for i, one in enumerate(value)]
        return inner if isinstance(value, list) else type(value)(inner)
    raise StateError(
        f"{path} holds a {type(value).__name__}, which a checkpoint can't keep: it could only be "
        "loaded by executing it"
    )


def _weights(model: nn.Module) -> dict[str, Any]:
    """The model's `state_dict`, without lazy layers that no batch has met."""
    state = model.state_dict()
    for name in [name for name, value in state.items() if is_lazy(value)]:
        del state[name]
    return state


def _unsaved_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Buffers that `state_dict` leaves out (persistent=False)."""
    saved = model.state_dict(keep_vars=True)
    for name, buffer in made_buffers(model):
        if name not in saved:
            yield name, buffer


def _put_buffers(model: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    own = dict(made_buffers(model))
    with torch.no_grad():
        for name, value in buffers.items():
            if name in own and own[name].shape == value.shape:
                own[name].copy_(value)


def _size(value: Any) -> int:
    """Bytes of all tensors in it."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(value))


def _put_gradients(model: nn.Module, gradients: Mapping[str, Tensor]) -> None:
    for name, p in model.named_parameters():
        grad = gradients.get(name)
        p.grad = None if grad is None else part_like(grad.to(p.device, p.dtype), p)


def _put_moments(optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    """Give an optimizer what was kept of its own state."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    moments = {
        number: {name: part_like(value, p) for name, value in saved["state"][number].items()}
        for number, p in enumerate(params)
        if number in saved["state"]
    }
    optimizer.load_state_dict({**saved, "state": {**saved["state"], **moments}})


def _starts_over(run: RunState, *, others: bool) -> str:
    """Why the epoch under way can't go on in its middle; "" if it can, or none is under way."""
    progress, batches = run.progress, run.training.batches
    if not progress.batch or progress.trained:
        return ""
    if others:
        return "its batches are others now"
    if isinstance(batches, DataLoader) and progress.order is None:
        return "an older fivestep saved it, without the order of its batches"
    return unrepeatable(batches)


def _put_schedule(run: RunState) -> None:
    """Put the schedule back to where it stood when the epoch began."""
    training, began = run.training, run.began
    if training.scheduler is not None:
        training.scheduler.load_state_dict(_kept(began["scheduler"], "schedule"))
    for group, then in zip(training.optimizer.param_groups, began["groups"], strict=True):
        group.update(then)
    run.rate.scheduled = list(began["scheduled"])
    run.rate.scale(run.rate.factor)


def _put_rescheduled(run: RunState, state: Mapping[str, Any]) -> list[str]:
    """Weights' moments from the state, the learning rate from a schedule of the new length.

    Returns:
        What a person has to know.
    """
    training, progress = run.training, run.progress
    optimizer, rate = training.optimizer, run.rate
    per_update = training.scheduler_per == "update"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")  # no update yet
        for _ in range(progress.updates if per_update else progress.epoch + progress.trained):
            rate.after_update() if per_update else rate.after_epoch()
    rate.wait_on(state["rate"], state.get("scheduler", {}))
    moved = [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    unlike = moments_misfit(optimizer, state["optimizer"])
    if not unlike:
        _put_moments(optimizer, state["optimizer"])
    for group, there in zip(optimizer.param_groups, moved, strict=True):
        group.update(there)
    rate.scheduled = [float(group["lr"]) for group in optimizer.param_groups]
    rate.scale(state["rate"]["factor"])
    name = type(optimizer).__name__
    return [f"{name} begins without moments: those saved are not its own"] if unlike else []
