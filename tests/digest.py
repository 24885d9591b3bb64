"""Telling two states of runs apart, bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from fivestep.core.storage.log_file import read_log

_TIMES: Final = (
    "/clock",
    "/record/epoch_so_far",
    "/record/epoch_seconds",
    "/record/val_seconds",
    "/record/last/seconds",
    "/record/last/batches_per_second",
    "/record/series/throughput",
    "/record/series/grad_norm",  # sampled when somebody looks
    "/record/changes",
)
_LOGGED_TIMES: Final = ("elapsed", "seconds", "batches_per_second", "crc")


def digest(state: Mapping[str, Any]) -> str:
    """A SHA-256 of what `take_state` gives, equal exactly if all but times is, bit for bit."""
    hasher = hashlib.sha256()
    for path, leaf in _leaves(state, ""):
        if path.startswith(_TIMES):
            continue
        hasher.update(path.encode())
        if isinstance(leaf, Tensor):
            hasher.update(f"{leaf.dtype}{tuple(leaf.shape)}".encode())
            hasher.update(leaf.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        else:
            hasher.update(repr(leaf).encode())
    return hasher.hexdigest()


def log_of(run: Path) -> list[dict[str, Any]]:
    """A run's metrics without what no two runs agree in."""
    return [
        {key: value for key, value in record.items() if key not in _LOGGED_TIMES}
        for record in read_log(run / "metrics.jsonl")
    ]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _leaves(value[key], f"{path}/{key}")
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            yield from _leaves(inner, f"{path}/{i}")
    else:
        yield path, value
