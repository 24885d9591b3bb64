"""What `fivestep.watch`, and `fivestep run`, cost a batch: `make bench ARGS="--only watch"`.

The same loop, bare and under watch, takes turns within one process; a pair is what several turns of
each took together. The model is an MLP; how many samples make a batch of about 0.4 ms and 1.7 ms is
measured first, since machines differ. The watched loop is also kept (`save=True`), and found as
`fivestep run` finds it ("script").

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
from fivestep.core.foreign.script import ScriptLoop

UNITS = 128
"""Of each hidden layer."""
SIZES = ((0.4, None), (1.7, 1.05), (5.0, 1.02))
"""Milliseconds that a batch should take at least, bare, and what watching it may come to."""
BATCHES = 100
TURNS = 5
"""Of each loop in a pair; both change places from one to the next."""


def parts(samples: int) -> tuple[nn.Module, torch.optim.Optimizer, DataLoader]:
    """A model, its optimizer and its loader."""
    torch.manual_seed(0)
    inner = (nn.Linear(64, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU())
    model = nn.Sequential(*inner, nn.Linear(UNITS, 10))
    features = torch.randn(BATCHES * samples, 64)
    data = TensorDataset(features, features[:, :10].argmax(1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return model, optimizer, DataLoader(data, batch_size=samples)


def seconds(samples: int, how: str) -> float:
    """Of a batch of a second epoch: what watching does once is over by then.

    Args:
        how: it is watched: "bare" is not at all.
    """
    script = ScriptLoop()
    if how == "script":
        script.install()
    model, optimizer, loader = parts(samples)
    criterion = nn.CrossEntropyLoss()

    def train(batches: DataLoader) -> float:
        began = time.perf_counter()
        for features, labels in batches:
            optimizer.zero_grad()
            loss = criterion(model(features), labels)
            loss.backward()
            optimizer.step()
        return (time.perf_counter() - began) / BATCHES

    if how in ("bare", "script"):
        train(loader)
        took = train(loader)
        if how == "script":
            script.finish()
        return took
    with (
        contextlib.redirect_stdout(io.StringIO()),
        fivestep.watch(model, optimizer, criterion, save=how == "watch, kept") as watched,
    ):
        train(watched(loader))
        return train(watched(loader))


def measure(pairs: int) -> Iterator[Row]:
    """Both sizes, watched, and watched and kept, against the bare loop."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for least, aim in SIZES:
            samples = 8
            while 1e3 * min(seconds(samples, "bare") for _ in range(4)) < least:
                samples += max(1, samples // 4)
            for how in ("watch", "watch, kept", "script"):
                yield _row(least, samples, pairs, aim, how)
    finally:
        torch.set_num_threads(threads)


def _row(least: float, samples: int, pairs: int, aim: float | None, how: str) -> Row:
    ratios, bare = [], []
    for pair in range(pairs):
        took = {"bare": 0.0, how: 0.0}
        for turn in range(TURNS):
            for which in ("bare", how) if (pair + turn) % 2 else (how, "bare"):
                took[which] += seconds(samples, which)
        ratios.append(took[how] / took["bare"])
        bare.append(1e3 * took["bare"] / TURNS)
    note = f"{sorted(bare)[len(bare) // 2]:.2f} ms a batch of {samples}, bare"
    return Row.of(f"{how} / bare loop, {least} ms", ratios, aim, note=note)


if __name__ == "__main__":
    for row in measure(7):
        print(row, flush=True)
