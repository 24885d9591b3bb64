"""Whether a loader's epoch can be taken up in its middle, and the generators that make it so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler

from .data import Batches, TensorBatches
from .training import Training


def generators(batches: Batches | None) -> list[torch.Generator]:
    """The generators that a loader draws from, its own and its sampler's, each once."""
    sampler = getattr(batches, "sampler", None)
    batch_sampler = getattr(batches, "batch_sampler", None)
    owners = (batches, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found: list[torch.Generator] = []
    for owner in owners:
        own = getattr(owner, "generator", None)
        if isinstance(own, torch.Generator) and not any(own is other for other in found):
            found.append(own)
    return found


def replayable(batches: Batches) -> bool:
    """Whether going through the loader again gives the very same epoch.

    It does for data in memory, for a sequence of batches, and for a `DataLoader` over a map-style
    data set that has a generator of its own or does not shuffle.
    """
    if isinstance(batches, (TensorBatches, Sequence)):
        return True
    if not isinstance(batches, DataLoader) or isinstance(batches.dataset, IterableDataset):
        return False
    loader: DataLoader[Any] = batches
    sampler = loader.batch_sampler
    plain = isinstance(loader.sampler, SequentialSampler) and (
        sampler is None or type(sampler) is BatchSampler
    )
    return plain or bool(generators(batches))


class Loaders:
    """Where the generators of a run's loaders stood when the pass under way began.

    A pass through a loader can only be taken up by beginning it again from there and leaving out
    the batches that were already taken.
    """

    def __init__(self, training: Training) -> None:
        self._training = generators(training.batches)
        self._validation = generators(training.validation)
        self._epoch_began: list[Tensor] = []
        self._validation_began: list[Tensor] | None = None
        self.epoch_begins()

    def epoch_begins(self) -> None:
        """Remember where an epoch's draws start."""
        self._epoch_began = [one.get_state() for one in self._training]

    def validation_begins(self) -> None:
        """Remember where a validation's draws start; it may be given up in the middle."""
        self._validation_began = [one.get_state() for one in self._validation]

    def validation_ends(self) -> None:
        """It went through: what it drew stays drawn."""
        self._validation_began = None

    def state(self) -> dict[str, Any]:
        """Generator states, as `restore` takes them."""
        began = self._validation_began
        return {
            "training": list(self._epoch_began),
            "validation": began or [one.get_state() for one in self._validation],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Put the generators back. Those that are not in the state stay as they are."""
        for name, own in (("training", self._training), ("validation", self._validation)):
            for one, there in zip(own, state[name], strict=False):
                one.set_state(there)
        self._validation_began = None
        self.epoch_begins()
