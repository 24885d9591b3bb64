"""What a session costs a batch, against the guide's loop and against the floor: `make bench`.

guide: `DataLoader(TensorDataset(...), batch_size, shuffle=True)`, the optimizer with default
arguments, `loss.item()` every batch. floor: the same bare five lines over permuted slices with the
recipe's own optimizer. session: a headless run without validation. All with the recipe's threads,
alternating; the ratios are medians of pairs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
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


def main() -> None:
    """Measure every preset; a table, then the same as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=7)
    pairs = parser.parse_args().pairs
    found = []
    print(f"{'preset':12} {'optimizer':9} {'guide µs':>9} {'session µs':>10}  / guide   / floor")
    for (preset, optimizer), epochs in RUNS.items():
        times: dict[str, list[float]] = {"guide": [], "floor": [], "session": []}
        for _ in range(pairs):
            for run in (guide, floor, session):
                times[run.__name__].append(microseconds(run, prepared(preset, optimizer, epochs)))
        row = {
            "preset": preset,
            "optimizer": optimizer,
            **{f"{name}_us": statistics.median(values) for name, values in times.items()},
        }
        for other in ("guide", "floor"):
            ratios = sorted(a / b for a, b in zip(times["session"], times[other], strict=True))
            row[f"against_{other}"] = statistics.median(ratios)
            row[f"against_{other}_spread"] = (ratios[0], ratios[-1])
        found.append(row)
        print(
            f"{preset:12} {optimizer:9} {row['guide_us']:9.0f} {row['session_us']:10.0f}"
            f"  {row['against_guide']:.2f}      {row['against_floor']:.2f}"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
