"""Whether a loader's epoch can be resumed in its middle, and the generators that it draws from."""

from __future__ import annotations

import random
from collections.abc import Sequence
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
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from .data import Batches, TensorBatches
from .rank_batches import SplitSampler
from .training import Training

REPEATABLE: Final = (SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
"""Samplers whose order is decided when an epoch begins, by a generator of their own or torch's."""


def generators(batches: Batches | None) -> list[torch.Generator]:
    """The generators that a loader draws from, its own and its sampler's, each once."""
    sampler = getattr(batches, "sampler", None)
    batch_sampler = getattr(batches, "batch_sampler", None)
    if isinstance(batch_sampler, SplitSampler):
        batch_sampler = batch_sampler.whole
    owners = (batches, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found: list[torch.Generator] = []
    for owner in owners:
        own = getattr(owner, "generator", None)
        if isinstance(own, torch.Generator) and not any(own is other for other in found):
            found.append(own)
    return found


def unrepeatable(batches: Batches) -> str:
    """Why going through the loader again may not give the very same epoch; "" if it does.

    It does for data in memory, for a sequence of batches, and for a `DataLoader` over a map-style
    data set whose order comes from one of torch's samplers, or from a generator of its own.
    """
    if isinstance(batches, (TensorBatches, Sequence)):
        return ""
    if not isinstance(batches, DataLoader) or isinstance(batches.dataset, IterableDataset):
        return "its batches come from a stream, which can't be gone through again"
    loader: DataLoader[Any] = batches
    if loader.persistent_workers:
        return "its loader's workers outlive an epoch, and what they drew is not known"
    sampler: object = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    if isinstance(sampler, SplitSampler):
        sampler = sampler.whole
    if type(sampler) is BatchSampler:
        sampler = sampler.sampler
    own = isinstance(getattr(sampler, "generator", None), torch.Generator)
    if type(sampler) in REPEATABLE or own:
        return ""
    return f"its sampler, a {type(sampler).__name__}, may not give the same order again"


def hidden_generators(batches: Batches) -> list[str]:
    """A line for a person if a data set keeps random generators for itself."""
    known = generators(batches)
    kinds = (torch.Generator, random.Random, np.random.Generator, np.random.RandomState)
    found, dataset = [], getattr(batches, "dataset", None)
    while dataset is not None:
        for name, value in getattr(dataset, "__dict__", {}).items():
            if isinstance(value, kinds) and not any(value is one for one in known):
                found.append(name)
        dataset = getattr(dataset, "dataset", None)  # what a Subset is one of
    if not found:
        return []
    drawn = f"the data set draws from a generator of its own ({', '.join(found)})"
    return [f"{drawn}, which no checkpoint knows: what it gives from here on may be other numbers"]


class Loaders:
    """Where the generators of a run's loaders stood when the pass under way began.

    A pass through a loader can only be resumed by beginning it again from there and leaving out
    the batches that were trained already.
    """

    def __init__(self, training: Training) -> None:
        self._training = generators(training.batches)
        own = self._training  # one that both draw from goes with the training's
        self._validation = [
            one for one in generators(training.validation) if not any(one is other for other in own)
        ]
        self._epoch_began: list[Tensor] = []
        self._validation_began: list[Tensor] | None = None
        self.epoch_begins()

    def epoch_begins(self) -> None:
        """Remember where an epoch's draws start."""
        self._epoch_began = [one.get_state() for one in self._training]

    def validation_begins(self) -> None:
        """Remember where a validation's draws start; it may be given up in the middle."""
        self._validation_began = self._now()

    def validation_ends(self) -> None:
        """It went through: what it drew stays drawn."""
        self._validation_began = None

    def _now(self) -> list[Tensor]:
        return [one.get_state() for one in (*self._training, *self._validation)]

    def state(self, *, trained: bool) -> dict[str, Any]:
        """Generator states, as `restore` takes them.

        Args:
            trained: all of the epoch's batches are trained: none of them will be drawn again.
        """
        now = self._validation_began or self._now()
        own = len(self._training)
        began = now[:own] if trained else self._epoch_began
        return {"training": list(began), "validation": now[own:]}

    def restore(self, state: dict[str, Any]) -> None:
        """Put the generators back. Those that are not in the state stay as they are."""
        for name, own in (("training", self._training), ("validation", self._validation)):
            for one, there in zip(own, state[name], strict=False):
                one.set_state(there)
        self._validation_began = None
        self.epoch_begins()
