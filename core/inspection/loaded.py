"""Samples out of a person's `DataLoader`, taken without moving anything that its run depends on."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from ..training.data import Unpack
from ..training.progress import samples_in

MOST_READ: Final = 400
"""Samples, each of which may have to be read from a file."""
READING: Final = 0.5
"""Seconds after which no more are read."""
CHUNK: Final = 256
"""Samples in a batch."""
DEPTH: Final = 6
"""How far into a data set its tensors are looked for."""


def spaced(count: int, most: int) -> Tensor:
    """At most `most` of the numbers below `count`, evenly spaced."""
    chosen = min(count, most)
    return torch.arange(chosen) * count // chosen


def first_batches(batches: Sequence[Any], most: int) -> list[Any]:
    """The first batches, up to about `most` samples, and at least one."""
    kept, count = [], 0
    for batch in batches:
        if count >= most:
            break
        kept.append(batch)
        count += max(1, samples_in(batch))
    return kept


def read_batches(loader: DataLoader[Any], unpack: Unpack, most: int) -> list[Any]:
    """Features and labels of evenly spaced samples, in batches; none where that could do harm.

    They are made in this thread, by a copy of the data set: no worker is asked, no sampler is
    iterated, and generators or counters that a data set has inside stay as they are. There are
    none of a stream, behind a sampler of one's own, or if the data set can't be copied.
    """
    numbers = () if isinstance(loader.dataset, IterableDataset) else _numbers(loader)
    if not numbers:
        return []
    dataset = copy.deepcopy(loader.dataset, _shared(loader.dataset))
    began, samples = perf_counter(), []
    for i in spaced(len(numbers), min(most, MOST_READ)).tolist():
        samples.append(dataset[numbers[i]])
        if perf_counter() - began > READING:
            break
    if loader.batch_sampler is None:  # the data set gives whole batches
        return first_batches([unpack(loader.collate_fn(batch)) for batch in samples], most)
    chunks = [samples[i : i + CHUNK] for i in range(0, len(samples), CHUNK)]
    return [unpack(loader.collate_fn(chunk)) for chunk in chunks]


def _numbers(loader: DataLoader[Any]) -> Sequence[int]:
    """Which samples of its data set the loader gives; none if only its sampler knows."""
    if loader.batch_sampler is not None and type(loader.batch_sampler) is not BatchSampler:
        return ()
    if type(loader.sampler) in (SequentialSampler, RandomSampler):
        return range(len(loader.dataset))  # type: ignore[arg-type]
    indices = getattr(loader.sampler, "indices", None)
    return indices if isinstance(indices, Sequence) else ()


def _shared(part: Any, depth: int = DEPTH) -> dict[int, Any]:
    """A memo for `deepcopy` that lets the copy share the tensors and arrays: they may be huge."""
    if isinstance(part, (Tensor, np.ndarray)):
        return {id(part): part}
    if isinstance(part, Mapping):
        inside = list(part.values())
    elif isinstance(part, (list, tuple)):
        inside = list(part)
    else:
        inside = list(getattr(part, "__dict__", {}).values())
    found: dict[int, Any] = {}
    for value in inside if depth else ():
        found |= _shared(value, depth - 1)
    return found
