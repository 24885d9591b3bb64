"""The model in `fully_shard` (FSDP2): each rank keeps a part of every parameter, of its gradient
and of what the optimizer knows of it.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.optim import Optimizer

from . import fused
from .ranks import RankGroup
from .spread import own_part, part_like
from .unfit import UnfitError

LISTS: Final = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
NORMS: Final = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip
WITHOUT: Final = "leave --parallel fsdp out"
UNABLE: Final = ("Adafactor", "Muon", "Rprop", "SparseAdam")
"""Optimizers of torch's that fail on a part of a parameter."""


class Shards:
    """This rank's part of the model.

    A block (see `blocks`) is gathered while it computes, and let go behind it. Gradients are added
    up as if all samples of the batch were in one: each rank's, which are of the mean over its
    part, count by that part's size.

    Behind backward the ranks meet for a note: the loss of the whole batch, how many of them have
    something to be agreed on, and the norm of all gradients, of which each knows its part.

    Raises:
        UnfitError: the model or the optimizer can't be shared in this way.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, ranks: RankGroup) -> None:
        device = next(model.parameters()).device
        _check(model, optimizer, device)
        self._ranks, self.module = ranks, model
        """What the loop calls."""
        self._note = torch.zeros(3, dtype=torch.float64)
        self._heard: Tensor | None = None
        for tensor in (*model.parameters(), *model.buffers()):
            dist.broadcast(tensor.detach(), 0)
        before = dict(model.named_parameters())
        mesh = init_device_mesh(device.type, (ranks.size,))
        # It says that nothing may be changed in the model's outputs, which no loop does.
        told = rf"FSDP2-wrapped module \({type(model).__name__}\) returned a view"
        warnings.filterwarnings("ignore", told, UserWarning)
        for module in (*blocks(model), model):
            _shard(module, mesh)
        _hand_over(optimizer, {before[name]: p for name, p in model.named_parameters()})

    def write(self, loss: Tensor, mean: float, share: float, *, asks: bool) -> None:
        """Before backward: this rank's mean loss, as a tensor and its number, its share of the
        samples, and whether it has something to be agreed on.
        """
        self._heard = None
        part = mean * share if share else 0.0
        self._note = torch.tensor([part, asks, 0.0], dtype=torch.float64)
        loss.register_hook(lambda gradient: gradient * share)

    def read(self) -> tuple[float, bool]:
        """After backward: the mean loss over all samples of the batch, and whether any rank asks.
        The first call waits for the others.
        """
        if self._heard is None:
            gradients = [own_part(p.grad) for p in self.module.parameters() if p.grad is not None]
            if gradients:
                self._note[2] = nn.utils.get_total_norm(gradients).item() ** 2
            self._ranks.add(self._note)
            self._heard = self._note
        loss, asks, _ = self._heard.tolist()
        return loss, asks > 0

    @property
    def norm(self) -> float | None:
        """That of all gradients, as `read` has found them; None before."""
        return None if self._heard is None else math.sqrt(self._heard[2].item())


def blocks(model: nn.Module) -> list[nn.Module]:
    """What is gathered as one: every member of a list of modules that has parameters and is no list
    itself. Parameters outside of lists, or shared by modules, are gathered with the whole model.
    """
    owners = Counter(p for module in model.modules() for p in module.parameters(recurse=False))
    found: dict[nn.Module, None] = {}
    inside: set[nn.Module] = set()
    for part in model.modules():  # from the outside in
        members = part.children() if isinstance(part, LISTS) and part not in inside else ()
        for module in members:
            own = list(module.parameters())
            if own and not isinstance(module, LISTS) and all(owners[p] == 1 for p in own):
                found[module] = None
                inside.update(module.modules())
    return list(found)


def _shard(module: nn.Module, mesh: DeviceMesh) -> None:
    kind = type(module)
    sharded: Any = fully_shard(module, mesh=mesh, reshard_after_forward=True)
    sharded.set_gradient_divide_factor(1.0)
    sharded.set_force_sum_reduction_for_comms(True)
    # Its class is one of its own now. To people it is the layer that it was.
    for name in ("__name__", "__qualname__", "__module__"):
        setattr(type(module), name, getattr(kind, name))


def _hand_over(optimizer: Optimizer, now: Mapping[nn.Parameter, nn.Parameter]) -> None:
    """Have an optimizer update the parameters that have come in the place of its own."""
    for group in optimizer.param_groups:
        group["params"] = [now.get(p, p) for p in group["params"]]
    for before, p in now.items():
        if before in optimizer.state:  # Adagrad begins with something
            kept = optimizer.state.pop(before)
            optimizer.state[p] = {name: part_like(value, p) for name, value in kept.items()}


def _check(model: nn.Module, optimizer: Optimizer, device: torch.device) -> None:
    """Raise UnfitError where a model can't be trained in shards."""
    kind = type(optimizer).__name__
    learned = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    averages = [
        name
        for name, module in model.named_modules()
        if isinstance(module, NORMS) and module.track_running_stats
    ]
    if averages:
        raise UnfitError(
            f"layer {averages[0]} averages over batches, of which each rank sees its part",
            f"take nn.SyncBatchNorm, on GPUs, or {WITHOUT}",
        )
    scalar = next((name for name, p in model.named_parameters() if not p.dim()), None)
    if scalar is not None:
        raise UnfitError(
            f"{scalar} is a single number, which can't be shared by several processes",
            f"give it the shape (1,), or {WITHOUT}",
        )
    if len({p.dtype for _, p in learned}) > 1:
        raise UnfitError("its parameters are of more than one type", f"take one, or {WITHOUT}")
    foreign = isinstance(optimizer, torch.optim.SGD) and not isinstance(optimizer, fused.SGD)
    if kind in UNABLE or (foreign and optimizer.defaults.get("fused")):
        what = "SGD(fused=True)" if foreign else kind
        raise UnfitError(f"{what} needs whole parameters", f"take AdamW, say, or {WITHOUT}")
    if device.type == "cuda" and "nccl" not in dist.get_backend_config():
        raise UnfitError("there are fewer GPUs than processes", f"start fewer, or {WITHOUT}")
