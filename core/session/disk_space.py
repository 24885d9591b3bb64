"""Whether the disk has room for what a run will keep: told before it trains, not hours later."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from torch import Tensor
from torch.nn.parameter import is_lazy

from ..storage.persistence import Policy
from ..training.training import Training
from .checkpoint_shapes import moments_of

MOST: Final = 4
"""More copies of the parameters than any usual optimizer keeps: Adam with amsgrad keeps three."""

UNITS: Final = (("GB", 1e9), ("MB", 1e6))


def short_of_space(training: Training, folder: Path, policy: Policy) -> str:
    """What is missing for the checkpoints of a run, in a line with the figures; "" if nothing is.

    A quota is not known here, only what the file system has free.

    Args:
        training: its optimizer may not have made its moments yet.
        folder: the run's.
        policy: which checkpoints are kept.
    """
    try:
        free = shutil.disk_usage(folder).free
        there = sum(path.stat().st_size for path in folder.glob("checkpoints/*.pt"))
    except OSError:
        return ""
    model = _bytes(training.model.state_dict().values())
    for_good = training.epochs // policy.epochs if policy.epochs is not None else 0
    count = policy.keep + 1 + for_good  # an older one stays until the newer one is whole
    best = 0 if training.validation is None else model
    if count * (1 + MOST) * model + best - there <= free:
        return ""
    each = model + _moments(training)
    if training.accumulate > 1:
        each += _bytes(training.model.parameters())
    needed = count * each + best - there
    if needed <= free:
        return ""
    what = f"a checkpoint takes about {_size(each)}"
    if each <= free:
        what += f", all that are kept {_size(needed)} more than now"
    return (
        f"{what}, and {_size(free)} are free where the run is kept: saving will fail; make room, "
        "or choose another place with --runs-dir"
    )


def _moments(training: Training) -> int:
    """Bytes that the optimizer will keep; what it has not made yet is made for small ones."""
    optimizer = training.optimizer
    made = sum(_bytes(kept.values()) for kept in optimizer.state.values())
    if made:
        return made
    shapes = moments_of(optimizer)
    total = 0
    for group in optimizer.param_groups:
        for p in group["params"]:
            for axes in {} if is_lazy(p) else shapes.get(p.dim(), {}).values():
                count = 1
                for axis in axes:
                    count *= p.shape[axis] if axis is not None else 1
                total += count * p.element_size()
    return total


def _bytes(values: Iterable[Any]) -> int:
    tensors = (value for value in values if isinstance(value, Tensor))
    return sum(0 if is_lazy(one) else one.nbytes for one in tensors)


def _size(count: float) -> str:
    unit, scale = next((one for one in UNITS if count >= one[1]), ("KB", 1e3))
    return f"{count / scale:,.1f} {unit}"
