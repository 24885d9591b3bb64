"""Whether the parts of a training are what they have to be: asked before the first batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset


def check_parts(
    model: Any, criterion: Any, optimizer: Any, scheduler: Any, device: torch.device
) -> None:
    """Refuse parts that are no such things, or belong to other ones.

    Args:
        model, criterion, optimizer, scheduler: of a `Training`.
        device: where it trains.

    Raises:
        TypeError: one is a class, or something else altogether.
        ValueError: the optimizer, the schedule or the device is another model's.
    """
    parts = {"model": model, "criterion": criterion, "optimizer": optimizer, "scheduler": scheduler}
    for name, part in parts.items():
        if isinstance(part, type):
            raise TypeError(
                f"{name} is the class {part.__name__} itself; call it: {part.__name__}(...)"
            )
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not a {type(model).__name__}")
    if not callable(criterion):
        raise TypeError(
            f"criterion must be a function of (outputs, labels), not a {type(criterion).__name__}"
        )
    check_methods("optimizer", optimizer, "torch.optim")
    own = list(model.parameters())
    if isinstance(criterion, nn.Module):
        own += criterion.parameters()
    ids = {id(p) for p in own}
    moved = [p for group in optimizer.param_groups for p in group["params"]]
    if own and not any(id(p) in ids for p in moved):
        raise ValueError(
            "the optimizer has none of the model's parameters; make it from this very model's "
            "model.parameters()"
        )
    if moved and not any(p.requires_grad for p in moved):
        raise ValueError(
            "no parameter of the optimizer can learn: each has requires_grad=False; freeze fewer"
        )
    if scheduler is not None and getattr(scheduler, "optimizer", optimizer) is not optimizer:
        raise ValueError("the scheduler moves another optimizer; make it from this one")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device}: no CUDA device can be used here; take cpu")
    places = {p.device.type for p in own}
    if places and device.type not in places:
        raise ValueError(
            f"the model is on {places.pop()} and trains on {device}; "
            + (
                "parameters on meta have no values: make it on a real device"
                if "meta" in {p.device.type for p in own}
                else "move it, before the optimizer is made, or give the Training its device"
            )
        )


def check_methods(name: str, part: Any, family: str) -> None:
    """Raise TypeError where a part can't be used and kept like one of torch's."""
    needed = ["step", "state_dict", "load_state_dict"]
    if name == "optimizer":
        needed += ["zero_grad", "param_groups", "defaults"]
    missing = [one for one in needed if not hasattr(part, one)]
    if missing:
        lacks = "" if len(missing) == len(needed) else f", which lacks {', '.join(missing)}"
        raise TypeError(f"{name} must be one of {family}, not a {type(part).__name__}{lacks}")


def check_loader(batches: Any, name: str) -> None:
    """Refuse what gives no batches.

    Args:
        batches: the loader.
        name: what the Training calls it.

    Raises:
        TypeError: it can't be iterated, or gives samples, no batches.
    """
    if isinstance(batches, Dataset) and not isinstance(batches, (DataLoader, IterableDataset)):
        raise TypeError(
            f"{name} is a data set, which gives single samples: DataLoader(..., batch_size=...) "
            "makes batches of them"
        )
    if not hasattr(batches, "__iter__") and not hasattr(batches, "__getitem__"):
        called = "function" if callable(batches) else type(batches).__name__
        raise TypeError(f"{name} is a {called}, which gives no batches; take a DataLoader")
