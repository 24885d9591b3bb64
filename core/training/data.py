"""Batches: where they come from and how the loop takes them."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from itertools import islice
from multiprocessing import resource_tracker
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from .progress import pair, samples_in, to_device
from .rng import everything_untouched

Batch = tuple[Tensor, Tensor]
Batches = Iterable[Any]
"""Yields batches when iterated: `TensorBatches`, a `DataLoader`. A batch is `(features, labels)`,
or something that `Training.unpack` takes apart."""
Unpack = Callable[[Any], tuple[Any, Any]]
"""Features and labels of what the loader gave."""

ALIGN = 64
"""Bytes. Kernels may round differently on unaligned rows; a fresh tensor always starts aligned."""
AT_ONCE = 256
"""Batches that are cut at a time."""


class TensorBatches:
    """Data in memory, served as slices of once-permuted tensors.

    Gives the very batches of
    `DataLoader(TensorDataset(features, labels), batch_size, shuffle, generator=generator)`,
    bit for bit and with the same draws from the generator, without collating sample by sample.

    Args:
        features: (N, ...)
        labels: (N, ...)
        batch_size: samples in a batch; the last one of an epoch may be smaller.
        generator: shuffles when given; without one the order is that of the data.

    Raises:
        ValueError: no samples, lengths that differ, or a batch size below 1.
    """

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        batch_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        if len(features) != len(labels):
            raise ValueError(f"{len(features)} features but {len(labels)} labels")
        if not len(features):
            raise ValueError("the data set is empty")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.features, self.labels = features, labels
        self.batch_size, self.generator = batch_size, generator

    def __len__(self) -> int:
        return -(-len(self.features) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """One epoch's batches from number `start` on (0 is the first)."""
        features, labels = self.features, self.labels
        if self.generator is not None:
            order = self._order(self.generator).to(features.device)
            # A fifth of the time that indexing takes.
            features, labels = features.index_select(0, order), labels.index_select(0, order)
        pairs = zip(self._slices(features), self._slices(labels), strict=True)
        return islice(pairs, start, None)

    def _order(self, generator: torch.Generator) -> Tensor:
        """A permutation (N,), drawn as `DataLoader` and its `RandomSampler` do: a seed for workers
        comes first, and a permutation that only an epoch of more samples would need comes last.
        """
        torch.empty((), dtype=torch.int64).random_(generator=generator)
        order = torch.randperm(len(self.features), generator=generator)
        torch.randperm(len(self.features), generator=generator)
        return order

    def _slices(self, data: Tensor) -> Iterator[Tensor]:
        """`data` in batches, every one starting at an aligned address."""
        size = self.batch_size
        row = data[0].numel() * data.element_size()
        if size * row % ALIGN and len(data) > size:
            data, stride = self._padded(data, row)
        else:
            stride = size
        # Many at a time, which takes less than half as long; and not as views in the eyes of
        # autograd, whose outputs a model may not change in place when there are several.
        for start in range(0, len(data), AT_ONCE * stride):
            part = data[start : start + AT_ONCE * stride]
            if stride == size:
                yield from part.unsafe_split(size)
                continue
            whole, rest = divmod(len(part), stride)
            sizes = [size, stride - size] * whole + [rest] * (rest > 0)
            yield from part.unsafe_split_with_sizes(sizes)[::2]

    def _padded(self, data: Tensor, row: int) -> tuple[Tensor, int]:
        """A copy with unused rows after each batch, and the rows from one batch to the next."""
        stride = self.batch_size
        while stride * row % ALIGN:
            stride += 1
        padded = data.new_empty((len(self) * stride, *data.shape[1:]))
        full, rest = divmod(len(data), self.batch_size)
        shape = (full, self.batch_size, *data.shape[1:])
        padded.view(len(self), stride, *data.shape[1:])[:full, : self.batch_size] = data[
            : full * self.batch_size
        ].view(shape)
        if rest:
            padded[full * stride : full * stride + rest] = data[full * self.batch_size :]
            padded = padded[: full * stride + rest]
        return padded, stride


def batch_count(batches: Batches) -> int | None:
    """How many batches an epoch has; None where only iterating tells."""
    if isinstance(batches, DataLoader) and isinstance(batches.dataset, IterableDataset):
        return None  # its len() is a guess that workers can make wrong
    try:
        return len(cast("Any", batches))
    except (TypeError, NotImplementedError):
        return None


def stream_batches(batches: Batches) -> range | None:
    """How many batches a stream should give by the length that it tells; None if it tells none.

    Several where workers share it: the last batch of each may not be full.
    """
    if not isinstance(batches, DataLoader):
        return None
    try:
        samples = len(cast("Any", batches.dataset))
    except (TypeError, NotImplementedError):
        return None
    size = batches.batch_size or 1
    count = samples // size if batches.drop_last else -(-samples // size)
    spare = max(0, batches.num_workers - 1)
    return range(count - spare, count + spare + 1)


def last_batch(batches: Batches, unpack: Unpack) -> int | None:
    """How many samples the last batch of an epoch has; None where only iterating tells."""
    if isinstance(batches, (list, tuple)) and batches:
        return samples_in(*unpack(batches[-1]))
    if isinstance(batches, TensorBatches):
        samples, size, drops = len(batches.features), batches.batch_size, False
    elif isinstance(batches, DataLoader) and type(batches.batch_sampler) is BatchSampler:
        sampler = batches.batch_sampler
        size, drops = sampler.batch_size, sampler.drop_last
        try:
            samples = len(sampler.sampler)  # type: ignore[arg-type]
        except TypeError:
            return None
    else:
        return None
    left = samples % size
    return left if left and not drops else size


@contextmanager
def _leaving_ctrl_c_to_us(loader: Any) -> Iterator[None]:
    """Processes that a run's thread starts here, data workers, do not get Ctrl+C, which a terminal
    sends to all: one that is spawned, and still loads torch, would tell of it in a traceback.
    """
    if isinstance(loader, DataLoader) and loader.num_workers:
        context = loader.multiprocessing_context or multiprocessing
        if context.get_start_method() != "fork":
            resource_tracker.ensure_running()  # it would lift the mask where it starts
    if threading.current_thread() is threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Feed:
    """One epoch's batches for the loop, moved to the device one by one.

    Args:
        batches: where they come from.
        device: where they go.
        start: batches at the epoch's beginning that are left out: they were trained already.
        unpack: takes a batch apart.
        order: torch's global generator as the epoch began; needed where some are left out.
        trusting: the loader's length is believed until it has proved wrong.
        around: is entered to ask for a batch where the loader should have none.
    """

    def __init__(
        self,
        batches: Batches,
        device: torch.device,
        start: int = 0,
        unpack: Unpack = pair,
        order: Tensor | None = None,
        *,
        trusting: bool = True,
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.promised = batch_count(batches)
        """Batches of the whole epoch, as the loader says; None if it doesn't."""
        self.left = None if self.promised is None or not trusting else self.promised - start
        """Batches still to come; None if unknown."""
        self._around, self._ahead = around, None
        self._source, self._start, self._order = batches, start, order
        self._device, self._unpack = device, unpack
        self._open = True
        # Pairs that are in their place already are passed on as they are.
        self._ready = (
            unpack is pair
            and isinstance(batches, TensorBatches)
            and batches.features.device == batches.labels.device == device
        )

    @cached_property
    def _batches(self) -> Iterator[Any]:
        """Begun by the first `take`, so that shuffling counts as waiting for data."""
        if isinstance(self._source, TensorBatches):
            return self._source.batches(self._start)
        with _leaving_ctrl_c_to_us(self._source):
            if not self._start:
                return iter(self._source)
            with everything_untouched(self._device):  # what these drew was drawn the first time
                if self._order is not None:
                    torch.set_rng_state(self._order)
                batches = iter(self._source)
                for _ in islice(batches, self._start):
                    pass
            return batches

    @property
    def more(self) -> bool:
        """Whether a batch is still to come, as far as can be known without asking for it.

        Where none should be, the loader is asked: its last draw and its workers' exit are part of
        an epoch, and it may have more than it said.
        """
        if self.left is not None and self.left <= 0 and self._open:
            self.left = None
            with self._around():
                self._ahead = next(self._batches, None)
            self._open = self._ahead is not None
        return self._open

    def take(self) -> tuple[Any, Any] | None:
        """The next batch's features and labels on the device; None if there was none after all.

        Raises:
            TypeError: the batch can't be taken apart.
        """
        batch, self._ahead = self._ahead, None
        if batch is None:
            batch = next(self._batches, None)
        if batch is None:
            self._open = False
            return None
        if self.left is not None:
            self.left -= 1
        if self._ready:
            return batch  # type: ignore[no-any-return]
        features, labels = self._unpack(batch)
        return to_device(features, self._device), to_device(labels, self._device)
