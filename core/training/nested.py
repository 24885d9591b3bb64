"""Batches of any make-up: taken apart, moved to a device, counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


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
    if isinstance(part, Tensor):
        return part.to(device, non_blocking=True)
    if isinstance(part, Mapping):
        return {key: to_device(value, device) for key, value in part.items()}
    if isinstance(part, tuple) and hasattr(part, "_fields"):
        return type(part)(*(to_device(value, device) for value in part))
    if isinstance(part, (tuple, list)):
        return type(part)(to_device(value, device) for value in part)
    return part


def samples_in(*parts: Any) -> int:
    """The length of the first tensor that has one; 0 if there is none.

    Args:
        parts: features, labels: tensors (B, ...), or tuples, lists and dicts of them.
    """
    first = parts[0] if parts else None
    if isinstance(first, Tensor) and first.dim():  # the usual case, ten times a millisecond
        return first.size(0)
    return next((len(t) for part in parts for t in tensors_in(part) if t.dim()), 0)


def tensors_in(part: Any) -> Iterator[Tensor]:
    """Every tensor in tuples, lists and dicts, in order."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, Mapping):
        for value in part.values():
            yield from tensors_in(value)
    elif isinstance(part, (tuple, list)):
        for value in part:
            yield from tensors_in(value)
