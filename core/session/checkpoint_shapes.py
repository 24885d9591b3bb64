"""Whether a checkpoint's tensors fit a run: asked before any of them reaches torch's kernels,
which take shapes for granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from ..training.lazy import made_parameters
from ..training.nonfinite import bad_saved_weights
from ..training.progress import COUNTERS
from ..training.rng import everything_untouched, rng_state, set_rng_state
from ..training.training import Training
from .recorder import saved_epochs
from .series import Series

SPOILED: Final = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
)
"""What comes of a value in a checkpoint that no run has written."""


def misfit(training: Training, state: Mapping[str, Any], *, moments: bool = True) -> str:
    """What of a run's state is no such thing of this training, in one line; "" if nothing is.

    Args:
        training: what the state is to be put into.
        state: as `state.take_state` gave it, or as somebody has made it look.
        moments: the optimizer's state is to be put back, too.
    """
    own = dict(made_parameters(training.model))
    try:
        return (
            _unlike(state["model"], training.model.state_dict(), "model")
            or _unlike(state["rng"], rng_state(training.device), "rng")
            or _unlike(state, {"order": torch.get_rng_state()}, "state", every=False)
            or _unlike(state.get("gradients", {}), own, "gradients", every=False)
            or (moments_misfit(training.optimizer, state["optimizer"]) if moments else "")
            or _uncounted(state, training.device)
        )
    except SPOILED:
        return "it is not made like a run's state"


def resume_misfit(training: Training, state: Mapping[str, Any]) -> str:
    """The same of a checkpoint: no run has saved one with weights that are NaN or infinite."""
    unlike = misfit(training, state)
    if unlike:
        return unlike
    bad = bad_saved_weights(training.model, state["model"])
    return f"model.{bad} holds NaN or infinity" if bad else ""


_NUMBERS: Final = ("loss_sum", "loss_count", "lr", "first_loss", "val_loss", "val_seconds")


def _uncounted(state: Mapping[str, Any], device: torch.device) -> str:
    """Which counter or figure is none. Raises what curves or generators raise that can't go on."""
    for name in COUNTERS:
        value = state["progress"][name]
        if not isinstance(value, int) or value < 0:
            return f"progress.{name} is no count"
    record = state["record"]
    metrics = dict(record["metrics"])
    rows = saved_epochs(record)
    if any(None in (row.epoch, row.train_loss, row.seconds) for row in rows):
        return "record.epochs is no number"
    epochs = [("epochs", value) for row in rows for value in row]
    for name, value in [*((name, record[name]) for name in _NUMBERS), *metrics.items(), *epochs]:
        if value is not None and not isinstance(value, (int, float)):
            return f"record.{name} is no number"
    for series in record["series"].values():
        again = Series()
        again.restore(series)
        again.curve()
    with everything_untouched(device):
        set_rng_state(state["rng"], device)
    return ""


def moments_misfit(optimizer: Optimizer, saved: Mapping[str, Any]) -> str:
    """What of an optimizer's saved state is not what this optimizer keeps; "" if nothing is, or if
    nobody can tell.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    known = moments_of(optimizer)
    for number, kept in saved["state"].items():
        if not known or not kept or not isinstance(number, int) or number >= len(params):
            continue
        p = params[number]
        if is_lazy(p):
            continue
        for name, like in known.get(p.dim(), {}).items():
            value = kept.get(name)
            shape = tuple(p.shape[axis] if axis is not None else 1 for axis in like)
            if value is None and name == "momentum_buffer":  # none before the first update
                continue
            if not isinstance(value, Tensor):
                return f"optimizer.{number}.{name} is missing"
            if tuple(value.shape) != shape and (shape or value.numel() != 1):
                return f"optimizer.{number}.{name} is {tuple(value.shape)}, not {shape}"
            if not value.is_floating_point():
                return f"optimizer.{number}.{name} is {value.dtype}"
    return ""


def moments_of(optimizer: Optimizer) -> dict[int, dict[str, tuple[int | None, ...]]]:
    """What the optimizer keeps of a parameter, by its number of dimensions: for each tensor the
    parameter's axes that it has, None for one of length 1. Found by an update of small ones.
    """
    found: dict[int, dict[str, tuple[int | None, ...]]] = {}
    for group in optimizer.param_groups:
        options = {key: value for key, value in group.items() if key in optimizer.defaults}
        for dims in {p.dim() for p in group["params"] if not is_lazy(p)}:
            sizes = range(2, 2 + dims)  # each its own, so that axes can be told apart
            p = nn.Parameter(torch.zeros(*sizes))
            p.grad = torch.zeros_like(p)
            try:
                kind: Any = type(optimizer)
                other = kind([{**options, "params": [p]}])
                other.step()
            except Exception:  # a person's own optimizer, which needs more than its options
                return {}
            axes = {size: axis for axis, size in enumerate(sizes)}
            found[dims] = {
                name: tuple(axes.get(size) for size in value.shape)
                for name, value in other.state[p].items()
                if isinstance(value, Tensor)
            }
    return found


def _unlike(saved: Any, own: Mapping[str, Any], path: str, *, every: bool = True) -> str:
    """The first tensor of `own` that has another shape or type in `saved`, or isn't there."""
    for name, value, like in _pairs(saved, own, path):
        if value is None and not every:
            continue
        if not isinstance(value, Tensor):
            return f"{name} is missing"
        if value.shape != like.shape or value.dtype != like.dtype:
            return f"{name} is {_told(value)}, not {_told(like)}"
    return ""


def _pairs(saved: Any, own: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any, Tensor]]:
    for name, like in own.items():
        value = saved.get(name) if isinstance(saved, Mapping) else None
        if is_lazy(like):  # takes what comes
            continue
        if isinstance(like, Tensor):
            yield f"{path}.{name}", value, like
        elif isinstance(like, Mapping):
            yield from _pairs(value, like, f"{path}.{name}")


def _told(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
