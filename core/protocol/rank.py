"""Which of the processes that train one model together this one is, as torchrun says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Literal

Parallel = Literal["ddp", "fsdp"]
"""How several processes train one model: each with the whole of it (`DistributedDataParallel`), or
with a part (`fully_shard`, FSDP2).
"""
PARALLEL: Final[tuple[Parallel, ...]] = ("ddp", "fsdp")


@dataclass(frozen=True, slots=True)
class Rank:
    """A process by its number, of so many."""

    number: int = 0
    size: int = 1
    local: int = 0
    """Its number on this machine."""
    local_size: int = 1
    """How many there are on this machine."""

    @property
    def name(self) -> str:
        """For a person: "rank 1"."""
        return f"rank {self.number}"


def this_rank() -> Rank:
    """This process's; the only one of one, if torchrun has not started it among others."""
    size = _number("WORLD_SIZE", 1)
    if size < 2:
        return Rank()
    number = _number("RANK", 0)
    return Rank(number, size, _number("LOCAL_RANK", number), _number("LOCAL_WORLD_SIZE", size))


def _number(variable: str, otherwise: int) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else otherwise


def restarts() -> int:
    """How often torchrun has started this run's processes again."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)
