"""Batches for several ranks: each sample goes to exactly one of them, once an epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import torch
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, Sampler

from .data import Batch, Batches, TensorBatches
from .unfit import UnfitError


@dataclass(frozen=True, slots=True)
class Split:
    """How ranks share batches: so many, one behind the other, make a batch of the whole run, of
    which each rank trains its part; parts differ by one sample at most.
    """

    rank: int = 0
    size: int = 1
    """RankGroup."""
    together: int = 1
    """Batches that are one: as many as the run had ranks when it began."""

    def bounds(self, count: int) -> tuple[int, int]:
        """Where this rank's part of so many samples begins and ends."""
        share, rest = divmod(count, self.size)
        start = self.rank * share + min(self.rank, rest)
        return start, start + share + (self.rank < rest)

    def part(self, samples: Any) -> Any:
        """This rank's part. Where there are fewer samples than ranks it may be the first one of
        all, which does not count: every rank has to take part in a batch.
        """
        start, end = self.bounds(len(samples))
        return samples[start:end] if start < end else samples[:1]


class SplitTensors(TensorBatches):
    """A rank's part of data in memory."""

    def __init__(self, whole: TensorBatches, split: Split) -> None:
        self._split, self._whole = split, whole.batch_size * split.together
        start, end = split.bounds(self._whole)
        super().__init__(whole.features, whole.labels, max(1, end - start), whole.generator)

    def __len__(self) -> int:
        return -(-len(self.features) // self._whole)

    def counts(self, number: int) -> tuple[int, int]:
        """Samples of a batch (0 is the first) that are this rank's, and those of all ranks."""
        count = min(self._whole, len(self.features) - number * self._whole)
        start, end = self._split.bounds(count)
        return end - start, count

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """One epoch's batches from number `start` on (0 is the first)."""
        count = len(self.features)
        order = torch.arange(count) if self.generator is None else self._order(self.generator)
        parts = [self._split.part(batch) for batch in order.split(self._whole)[start:]]
        mine = torch.cat(parts) if parts else order[:0]
        features, labels = (
            data.index_select(0, mine.to(data.device)) for data in (self.features, self.labels)
        )
        return zip(self._slices(features), self._slices(labels), strict=True)


class SplitSampler(Sampler[list[Any]]):
    """A rank's part of the batches that a loader's sampler gives, which the first rank asks.

    Args:
        whole: gives lists of indices.
        split: how they are shared.
        from_first: gives all ranks what the first one has.
    """

    def __init__(
        self, whole: Iterable[list[Any]], split: Split, from_first: Callable[[Any], Any]
    ) -> None:
        self.whole, self._split, self._from_first = whole, split, from_first
        self._counts: list[int] = []

    def __len__(self) -> int:
        whole, rest = divmod(len(self.whole), self._split.together)  # type: ignore[arg-type]
        return whole + (rest > 0 and not self._drops)

    @property
    def _drops(self) -> bool:
        return bool(getattr(self.whole, "drop_last", False))

    def counts(self, number: int) -> tuple[int, int]:
        """Samples of a batch (0 is the first) that are this rank's, and those of all ranks."""
        start, end = self._split.bounds(self._counts[number])
        return end - start, self._counts[number]

    def __iter__(self) -> Iterator[list[Any]]:
        found = list(self.whole) if self._split.rank == 0 else None
        batches = iter(self._from_first(found))
        groups = []
        while group := list(islice(batches, self._split.together)):
            if len(group) == self._split.together or not self._drops:
                groups.append(list(chain.from_iterable(group)))
        self._counts = [len(group) for group in groups]
        for group in groups:
            yield self._split.part(group)


def split_loader(
    loader: DataLoader[Any], split: Split, from_first: Callable[[Any], Any]
) -> DataLoader[Any]:
    """The same loader, of a rank's part.

    Raises:
        UnfitError: its samples can't be shared.
    """
    if isinstance(loader.dataset, IterableDataset):
        raise UnfitError(
            "batches is a stream, which can't be shared by several processes",
            "give a DataLoader over a data set with a length, or train in one process",
        )
    sampler: Any = loader.batch_sampler
    if sampler is None or isinstance(loader.sampler, DistributedSampler):
        what = "a DistributedSampler" if sampler else "batch_size=None"
        raise UnfitError(
            f"batches has {what}, and fivestep shares the samples itself",
            "give the DataLoader that one process would have",
        )
    part = copy.copy(loader)
    vars(part)["batch_sampler"] = SplitSampler(sampler, split, from_first)
    return part


def split_batches(batches: Batches, split: Split, from_first: Callable[[Any], Any]) -> Batches:
    """A rank's part of any batches that can be shared.

    Raises:
        UnfitError: they can't be.
    """
    if isinstance(batches, SplitTensors):
        return batches
    if isinstance(batches, TensorBatches):
        return SplitTensors(batches, split)
    if isinstance(batches, DataLoader):
        return split_loader(batches, split, from_first)
    raise UnfitError(
        f"batches is a {type(batches).__name__}, which can't be shared by several processes",
        "give a DataLoader over a data set with a length",
    )


def counts(batches: Batches | None, number: int) -> tuple[int, int] | None:
    """Samples of a batch that are this rank's, and those of all; None of what is not shared."""
    if isinstance(batches, SplitTensors):
        return batches.counts(number)
    sampler = getattr(batches, "batch_sampler", None)
    return sampler.counts(number) if isinstance(sampler, SplitSampler) else None
