"""A batch of the headless run against the guide's loop and against the floor: `make bench`.

- guide: the loop of the guide, over `DataLoader(TensorDataset(...), shuffle=True)`, torch's own
  optimizer with its default arguments, `loss.item()` each batch;
- floor: the same five lines, bare, over permuted slices, torch's own fused optimizer;
- session: what fivestep runs.

All three of the same model, batch size and threads; validation and schedule left out. They take
turns of less than half a second, and a pair is what several turns took together: machines that are
shared change their speed within seconds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import torch
from rows import Row
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, TensorDataset

from fivestep.core.session.session import Session
from fivestep.core.training.training import Training
from fivestep.presets.build import build, optimizer_options
from fivestep.presets.recipe import load

RUNS = (
    ("line-linear", "SGD"),
    ("line-linear", "Adam"),
    ("spirals-mlp", "SGD"),
    ("spirals-mlp", "Adam"),
    ("digits-mlp", "SGD"),
    ("digits-mlp", "Adam"),
    ("digits-cnn", "AdamW"),
    ("docs-gpt", "AdamW"),
)
LARGE = ("digits-cnn", "docs-gpt")
MOST = 60
"""Batches of an epoch at the most."""
TURN = 0.4
"""Seconds that a turn takes, about."""
TURNS = 3
"""Of each loop in a pair."""


def prepared(preset: str, optimizer: str, epochs: int = 1) -> Training:
    """The preset under this optimizer, without validation or schedule."""
    recipe = load(preset, {"optimizer.name": optimizer, "scheduler.name": "none", "epochs": epochs})
    training = build(recipe)
    training.validation = None
    batches = training.batches
    rows = batches.batch_size * MOST
    batches.features, batches.labels = batches.features[:rows], batches.labels[:rows]
    return training


Turn = Callable[[int], int]
"""Trains so many epochs, and tells how many batches that were."""


def five_lines(
    model: nn.Module,
    criterion: Callable[..., Tensor],
    optimizer: Optimizer,
    loader: Iterable[Any],
    *,
    read_loss: bool,
) -> Turn:
    """The five steps, bare."""

    def turn(epochs: int) -> int:
        done = 0
        for _ in range(epochs):
            model.train()
            for features, labels in loader:
                optimizer.zero_grad()
                outputs = model(features)
                loss = criterion(outputs, labels)
                loss.backward()
                optimizer.step()
                if read_loss:
                    loss.item()
                done += 1
        return done

    return turn


def guide(preset: str, name: str) -> Turn:
    """The loop as the guide has it."""
    training = prepared(preset, name)
    batches = training.batches
    model, criterion = training.model, training.criterion
    lr = training.optimizer.param_groups[0]["lr"]
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=lr)
    data = TensorDataset(batches.features, batches.labels)
    loader = DataLoader(data, batch_size=batches.batch_size, shuffle=True)

    return five_lines(model, criterion, optimizer, loader, read_loss=True)


def floor(preset: str, name: str) -> Turn:
    """Nothing but the five lines, over permuted slices."""
    training = prepared(preset, name)
    model, criterion = training.model, training.criterion
    recipe = load(preset, {"optimizer.name": name})
    options = optimizer_options(recipe, training.device)
    optimizer = getattr(torch.optim, name)(model.parameters(), **options)

    return five_lines(model, criterion, optimizer, training.batches, read_loss=False)


def session(preset: str, name: str) -> Turn:
    """The run that fivestep makes of it."""
    training = prepared(preset, name)

    def turn(epochs: int) -> int:
        training.epochs = epochs
        run = Session(training)
        outcome = run.run()
        assert outcome.state == "finished", outcome
        return run.progress.batches_done

    return turn


def seconds(turn: Turn, epochs: int) -> float:
    """Of one batch."""
    start = time.perf_counter()
    done = turn(epochs)
    return (time.perf_counter() - start) / done


def measure(pairs: int) -> Iterator[Row]:
    """Every preset, the three in turn."""
    for preset, optimizer in RUNS:
        threads = torch.get_num_threads()
        torch.set_num_threads(prepared(preset, optimizer).threads or 1)
        loops = {make.__name__: make(preset, optimizer) for make in (guide, floor, session)}
        start = time.perf_counter()
        loops["guide"](1)  # what happens once is over after this
        epochs = 1 + int(TURN / (time.perf_counter() - start))
        for turn in loops.values():
            turn(1)
        times: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(pairs):
            took = dict.fromkeys(loops, 0.0)
            for _ in range(TURNS):
                for name, turn in loops.items():
                    took[name] += seconds(turn, epochs)
            for name, total in took.items():
                times[name].append(total / TURNS)
        torch.set_num_threads(threads)
        small = preset not in LARGE
        for other, reach in (
            ("guide", 0.60 if small else 0.95),
            ("floor", 1.10 if small else None),
        ):
            ratios = [a / b for a, b in zip(times["session"], times[other], strict=True)]
            a, b = (1e6 * statistics.median(times[name]) for name in ("session", other))
            name = f"session / {other}, {preset} {optimizer}"
            yield Row.of(name, ratios, reach, note=f"{a:.0f} / {b:.0f} µs a batch")


if __name__ == "__main__":
    for row in measure(7):
        print(row, flush=True)
