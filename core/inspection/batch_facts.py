"""The batch under way in words and numbers, for the panel that shows the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from torch import Tensor

from ..protocol.inside import BatchFacts, TensorFact
from ..training.progress import Progress

MOST: Final = 8
"""Tensors told of each of features, labels and outputs."""
LONGEST: Final = 40
"""Characters of a key in a nested batch."""


def batch_facts(at: Progress) -> BatchFacts:
    """Shapes and types of what the loop holds, the loss, the counters. Waits for an accelerator."""
    return BatchFacts(
        features=_facts(at.features),
        labels=_facts(at.labels),
        outputs=_facts(at.outputs),
        loss=_value(at.loss),
        grad_norm=_value(at.grad_norm),
        epoch=at.epoch,
        batch=at.batch,
        batches_done=at.batches_done,
        samples_done=at.samples_done,
        updates=at.updates,
    )


def _value(scalar: Tensor | None) -> float | None:
    return None if scalar is None else float(scalar.detach())


def _facts(part: Any) -> tuple[TensorFact, ...]:
    return () if part is None else tuple(islice(_walk(part, ""), MOST))


def _walk(part: Any, path: str) -> Iterator[TensorFact]:
    if isinstance(part, Tensor):
        yield TensorFact(path, str(part.dtype).removeprefix("torch."), tuple(part.shape))
    elif isinstance(part, Mapping):
        for key, value in part.items():
            yield from _walk(value, f"{path}[{repr(key)[:LONGEST]}]")
    elif isinstance(part, tuple) and hasattr(part, "_fields"):
        for name, value in zip(part._fields, part, strict=True):
            yield from _walk(value, f"{path}.{name}")
    elif isinstance(part, (tuple, list)):
        for i, value in enumerate(part):
            yield from _walk(value, f"{path}[{i}]")
    else:
        yield TensorFact(path, type(part).__name__[:LONGEST], None)
