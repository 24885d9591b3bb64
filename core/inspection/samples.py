"""Some samples of a training's data, chosen once, for looking at the model again and again."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
)

from ..training.data import Batches, TensorBatches, Unpack
from ..training.device import estimate_work
from ..training.predictions import predictions
from ..training.progress import samples_in, to_device
from ..training.training import Training

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


MOST: Final = 2000
"""Samples looked at in one computation."""
WORK: Final = 4e9
"""Multiply-adds of one computation, which is about a tenth of a second on a core."""
FEWEST: Final = 32
"""However large the model is."""
BYTES: Final = 2**26
"""Of features, kept for as long as the run goes on."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Evenly spaced samples, in batches."""

    batches: tuple[tuple[Any, Any], ...]
    """Features and labels, (B, ...) each, or nested."""
    part: str
    """validation or training."""

    def joined(self) -> tuple[Tensor, Tensor] | None:
        """Features and labels of all, (N, ...) each; None unless all of them are tensors."""
        features = [x for x, _ in self.batches]
        labels = [y for _, y in self.batches]
        for parts in (features, labels):
            if not all(isinstance(t, Tensor) and t.dim() for t in parts):
                return None
            if len({t.shape[1:] for t in parts}) != 1:
                return None
        return torch.cat(features), torch.cat(labels)

    def few(self) -> Samples:
        """The first two samples; the first batch where it is not a tensor that can be sliced."""
        features, labels = self.batches[0]
        if isinstance(features, Tensor) and isinstance(labels, Tensor):
            return Samples(((features[:2], labels[:2]),), self.part)
        return Samples(self.batches[:1], self.part)

    def outputs(self, model: nn.Module, device: torch.device) -> Iterator[tuple[Tensor, Any]]:
        """The model's predictions and the labels of each batch, on the device.

        Raises:
            TypeError: nobody can tell what the predictions are; see `predictions`.
        """
        for features, labels in self.batches:
            yield predictions(model(to_device(features, device))), to_device(labels, device)


def validation_samples(training: Training, model: nn.Module) -> Samples | None:
    """Samples of the validation data, or without any, of the training data."""
    if training.validation is not None:
        return _samples(training, model, training.validation, "validation")
    return _samples(training, model, training.batches, "training")


def training_samples(training: Training, most: int) -> Samples | None:
    """Samples of the training data, however large the model is: it does not run on them."""
    return _samples(training, None, training.batches, "training", most)


def _samples(
    training: Training, model: nn.Module | None, source: Batches, part: str, most: int = MOST
) -> Samples | None:
    """None where looking could take something from the run: one-way streams, samplers unknown."""
    if isinstance(source, TensorBatches):
        most = min(most, _affordable(model, source.features[:1]))
        chosen = spaced(len(source.features), most).to(source.features.device)
        parts = source.features[chosen], source.labels[chosen]
        batches = list(zip(*(t.split(CHUNK) for t in parts), strict=True))
    elif isinstance(source, DataLoader):
        batches = read_batches(source, training.unpack, most)
    elif isinstance(source, Sequence):
        batches = [training.unpack(batch) for batch in first_batches(source, min(most, MOST_READ))]
    else:
        return None
    if model is not None and batches:
        first = batches[0][0]
        if isinstance(first, Tensor):
            batches = first_batches(batches, _affordable(model, first[:1]))
    return Samples(tuple(batches), part) if batches else None


def _affordable(model: nn.Module | None, one: Tensor) -> int:
    """How many samples such as `one` (1, ...) to go through the model at most."""
    kept = BYTES // max(1, one.numel() * one.element_size())
    worked = WORK / max(1.0, estimate_work(model, one)) if model is not None else kept
    return int(max(FEWEST, min(kept, worked)))
