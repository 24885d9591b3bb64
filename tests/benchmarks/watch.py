"""What `fivestep.watch` costs a batch of a loop of one's own: `make bench ARGS="--only watch"`.

The same loop, bare and under watch, takes turns within one process; a pair is what several turns of
each took together. The models are MLPs of two sizes, whose batches take about 0.4 ms and 1.7 ms;
the watched loop is also kept (`save=True`). What watching prints goes to a file.

    python tests/benchmarks/watch.py
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import torch
from rows import Row
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fivestep

SIZES = ((128, 64), (512, 128))
"""Units of each hidden layer, and samples of a batch."""
BATCHES = 100
TURNS = 5
"""Of each loop in a pair; both change places from one to the next."""


def parts(units: int, samples: int) -> tuple[nn.Module, torch.optim.Optimizer, DataLoader]:
    """A model, its optimizer and its loader."""
    torch.manual_seed(0)
    inner = (nn.Linear(64, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU())
    model = nn.Sequential(*inner, nn.Linear(units, 10))
    features = torch.randn(BATCHES * samples, 64)
    data = TensorDataset(features, features[:, :10].argmax(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return model, optimizer, DataLoader(data, batch_size=samples)


def seconds(units: int, samples: int, *, watch: bool, save: bool = False) -> float:
    """Of a batch of a second epoch: what watching does once is over by then."""
    model, optimizer, loader = parts(units, samples)
    criterion = nn.CrossEntropyLoss()

    def train(batches: DataLoader) -> float:
        began = time.perf_counter()
        for features, labels in batches:
            optimizer.zero_grad()
            loss = criterion(model(features), labels)
            loss.backward()
            optimizer.step()
        return (time.perf_counter() - began) / BATCHES

    if not watch:
        train(loader)
        return train(loader)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        fivestep.watch(model, optimizer, criterion, save=save) as watched,
    ):
        train(watched(loader))
        return train(watched(loader))


def measure(pairs: int) -> Iterator[Row]:
    """Both sizes, watched, and watched and kept, against the bare loop."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for units, samples in SIZES:
            for save in (False, True):
                yield _row(units, samples, pairs, save=save)
    finally:
        torch.set_num_threads(threads)


def _row(units: int, samples: int, pairs: int, *, save: bool) -> Row:
    ratios, bare = [], []
    for pair in range(pairs):
        took = {False: 0.0, True: 0.0}
        for turn in range(TURNS):
            for watch in (False, True) if (pair + turn) % 2 else (True, False):
                took[watch] += seconds(units, samples, watch=watch, save=save)
        ratios.append(took[True] / took[False])
        bare.append(1e3 * took[False] / TURNS)
    what = "watch, kept" if save else "watch"
    note = f"{sorted(bare)[len(bare) // 2]:.2f} ms a batch, bare"
    return Row.of(
        f"{what} / bare loop, {units} units", ratios, 1.05 if units > 128 else None, note=note
    )


if __name__ == "__main__":
    for row in measure(7):
        print(row, flush=True)
