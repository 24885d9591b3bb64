"""The processes that train one model together: how they find each other, and what they tell.

Here are the collectives that are not those of `DistributedDataParallel`, or of parameters that are
spread over ranks. They are called where every rank is at the same place: between two batches,
behind backward, or where a person steps through a batch.
"""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ..protocol.rank import Rank

TIMEOUT: Final = timedelta(minutes=30)
"""That a rank waits for another one: for its data, or while a person has stopped its process."""
TELLING: Final = 3.0
"""Seconds that a rank waits for another one to say why it has failed."""


class RankGroup:
    """This process among those that train together.

    Each rank of a machine computes on a GPU of its own, where there are so many.

    Args:
        rank: which one it is.
    """

    def __init__(self, rank: Rank) -> None:
        self.number, self.size, self.name = rank.number, rank.size, rank.name
        self.first = not rank.number
        """Whether it is the one that keeps the run and is shown."""
        self._store, _, _ = next(rendezvous("env://", rank.number, rank.size, timeout=TIMEOUT))
        gpus = torch.cuda.device_count()
        if gpus:
            torch.cuda.set_device(rank.local % gpus)
        backend = "cpu:gloo,cuda:nccl" if gpus >= rank.local_size else "gloo"
        dist.init_process_group(
            backend,
            store=PrefixStore("training", self._store),
            rank=rank.number,
            world_size=rank.size,
            timeout=TIMEOUT,
        )
        self.control = dist.new_group(backend="gloo", timeout=TIMEOUT)
        """For what is no gradient, on the CPU."""

    def gather_bytes(self, mine: bytes) -> list[bytes]:
        """What each rank brings, by their numbers."""
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(mine)]), group=self.control)
        lengths = [int(size) for size in sizes]
        if not any(lengths):
            return [b""] * self.size
        most = max(lengths)
        sent = torch.frombuffer(bytearray(mine.ljust(most, b"\0")), dtype=torch.uint8)
        parts = [torch.empty(most, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(parts, sent, group=self.control)
        return [bytes(p[:n].numpy()) for p, n in zip(parts, lengths, strict=True)]

    def exchange(self, mine: Any) -> list[Any]:
        """What each rank brings, by their numbers: tensors and plain values. Nothing is executed
        to read them.
        """
        return [_unpacked(part) for part in self.gather_bytes(_packed(mine))]

    def from_first(self, value: Any) -> Any:
        """What the first rank brings, for all; the same kinds of values."""
        parts = self.gather_bytes(_packed(value) if self.first else b"")
        return value if self.first else _unpacked(parts[0])

    def same_buffers(self, model: nn.Module) -> None:
        """Give the model the first rank's buffers, as its next forward pass in training would."""
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)

    def add(self, numbers: Tensor) -> None:
        """Add numbers on the CPU up over all ranks, in place."""
        dist.all_reduce(numbers, group=self.control)

    # Of failures. A rank that has failed can take part in nothing any more.

    def tell_failure(self, *lines: str) -> None:
        """Let the others know why this rank ends, if it is the first that does."""
        with suppress(RuntimeError):  # the store has gone with the process that kept it
            self._store.compare_set("failed", "", "\n".join((self.name, *lines)))

    def failure(self) -> tuple[str, ...] | None:
        """Which rank has failed, and what it told; None where none has told of it in time."""
        with suppress(RuntimeError):
            self._store.wait(["failed"], timedelta(seconds=TELLING))
            return tuple(self._store.get("failed").decode().split("\n"))
        return None


def _packed(value: Any) -> bytes:
    held = io.BytesIO()
    torch.save(value, held)
    return held.getvalue()


def _unpacked(data: bytes) -> Any:
    return torch.load(io.BytesIO(data), "cpu", weights_only=True)
