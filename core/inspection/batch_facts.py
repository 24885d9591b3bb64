"""What the loop has in its hands at a gate, in shapes, types and counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from torch import Tensor

from ..protocol.inside import BatchFacts, TensorFact
from ..training.progress import Progress, as_number

MOST: Final = 8
"""Tensors described of each of features, labels and outputs."""
LONGEST: Final = 40
"""Characters of a key in a nested batch."""


def batch_facts(progress: Progress, *, updated: bool = False) -> BatchFacts:
    """Shapes and types of what the loop holds, the loss, the counters. Waits for an accelerator.

    Args:
        updated: the batch under way, which is not counted yet, has made its update.
    """
    return BatchFacts(
        features=_facts(progress.features),
        labels=_facts(progress.labels),
        outputs=_facts(progress.outputs),
        loss=as_number(progress.loss),
        grad_norm=as_number(progress.grad_norm),
        epoch=progress.epoch,
        batch=progress.batch,
        batches_done=progress.batches_done,
        samples_done=progress.samples_done,
        updates=progress.updates + updated,
    )


def _facts(part: Any) -> tuple[TensorFact, ...]:
    return tuple(fact(path, leaf) for path, leaf in leaves(part))


def fact(path: str, leaf: Any) -> TensorFact:
    """What is known of a tensor, or of whatever else there is, at this path."""
    if isinstance(leaf, Tensor):
        return TensorFact(path, str(leaf.dtype).removeprefix("torch."), tuple(leaf.shape))
    return TensorFact(path, type(leaf).__name__[:LONGEST], None)


def leaves(part: Any) -> tuple[tuple[str, Any], ...]:
    """The first tensors, or whatever else there is, in tuples, lists and dicts, each with its path;
    none of None.
    """
    return () if part is None else tuple(islice(_walk(part, ""), MOST))


def _walk(part: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield from _walk(value, f"{path}[{repr(key)[:LONGEST]}]")
    elif isinstance(part, tuple) and hasattr(part, "_fields"):
        for name, value in zip(part._fields, part, strict=True):
            yield from _walk(value, f"{path}.{name}")
    elif isinstance(part, (tuple, list)):
        for i, value in enumerate(part):
            yield from _walk(value, f"{path}[{i}]")
    else:
        yield path, part
