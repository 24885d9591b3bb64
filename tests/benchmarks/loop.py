"""What a session costs a batch, against the guide's loop and against the floor: `make bench`.

guide: `DataLoader(TensorDataset(...), batch_size, shuffle=True)`, the optimizer with default
arguments, `loss.item()` every batch. floor: the same bare five lines over permuted slices with the
recipe's own optimizer. session: a headless run without validation. All with the recipe's threads,
alternating; the ratios are medians of pairs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import torch
from rows import Row
from torch.utils.data import DataLoader, TensorDataset

from fivestep.core.data import TensorBatches
from fivestep.core.session import Session
from fivestep.core.training import Training
from fivestep.presets.build import build
from fivestep.presets.recipe import load

RUNS = {
    ("line-linear", "SGD"): 60,
    ("line-linear", "Adam"): 60,
    ("spirals-mlp", "SGD"): 20,
    ("spirals-mlp", "Adam"): 20,
    ("digits-mlp", "SGD"): 10,
    ("digits-mlp", "Adam"): 10,
    ("digits-cnn", "AdamW"): 4,
    ("docs-gpt", "AdamW"): 1,
}
"""Epochs of one measurement: about a second each."""
LARGE = ("digits-cnn", "docs-gpt")
MOST = 60
"""Batches of an epoch at the most."""


def prepared(preset: str, optimizer: str, epochs: int) -> Training:
    """The preset under this optimizer, without validation or schedule."""
    recipe = load(preset, {"optimizer.name": optimizer, "scheduler.name": "none", "epochs": epochs})
    training = build(recipe)
    training.validation = None
    batches = training.batches
    assert isinstance(batches, TensorBatches)
    rows = batches.batch_size * MOST
    batches.features, batches.labels = batches.features[:rows], batches.labels[:rows]
    return training


def guide(training: Training) -> int:
    """The loop as the guide has it."""
    assert isinstance(training.batches, TensorBatches)
    model, criterion = training.model, training.criterion
    lr = training.optimizer.param_groups[0]["lr"]
    optimizer = type(training.optimizer)(model.parameters(), lr=lr)
    data = TensorDataset(training.batches.features, training.batches.labels)
    loader = DataLoader(data, batch_size=training.batches.batch_size, shuffle=True)
    done = 0
    for _ in range(training.epochs):
        model.train()
        for features, labels in loader:
            optimizer.zero_grad()
            outputs = model(features)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            loss.item()
            done += 1
    return done


def floor(training: Training) -> int:
    """Nothing but the five lines, over permuted slices."""
    model, criterion, optimizer = training.model, training.criterion, training.optimizer
    done = 0
    for _ in range(training.epochs):
        model.train()
        for features, labels in training.batches:
            optimizer.zero_grad()
            outputs = model(features)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            done += 1
    return done


def session(training: Training) -> int:
    """The run that fivestep makes of it."""
    run = Session(training)
    outcome = run.run()
    assert outcome.state == "finished", outcome
    return run.progress.batches_done


def microseconds(run: Callable[[Training], int], training: Training) -> float:
    """Of one batch."""
    torch.set_num_threads(training.threads or 1)
    start = time.perf_counter()
    return 1e6 / run(training) * (time.perf_counter() - start)


def measure(pairs: int) -> Iterator[Row]:
    """Every preset, the three in turn."""
    for (preset, optimizer), epochs in RUNS.items():
        times: dict[str, list[float]] = {"guide": [], "floor": [], "session": []}
        for _ in range(pairs):
            for run in (guide, floor, session):
                times[run.__name__].append(microseconds(run, prepared(preset, optimizer, epochs)))
        small = preset not in LARGE
        for other, reach in (
            ("guide", 0.55 if small else 0.95),
            ("floor", 1.25 if small else None),
        ):
            ratios = [a / b for a, b in zip(times["session"], times[other], strict=True)]
            took = statistics.median(times["session"])
            name = f"session / {other}, {preset} {optimizer}"
            yield Row.of(name, ratios, reach, note=f"{took:.0f} µs a batch")


if __name__ == "__main__":
    for row in measure(7):
        print(row, flush=True)
