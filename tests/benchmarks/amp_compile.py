"""What `--amp` and `--compile` do to the time of a batch, against the same run without them.

Headless runs without validation or schedule, all with the recipe's threads, in turn. A compiled
model has been compiled before that; how long its first run took is told beside it. There is no
target: on a CPU mixed precision is often slower, and so is compiled code of small models.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from rows import Row

from fivestep.core.session.session import Session
from fivestep.core.training.training import Training
from fivestep.presets.build import build
from fivestep.presets.recipe import load

EPOCHS = {"digits-cnn": 4, "docs-gpt": 1}
"""Epochs of one measurement: about a second."""
BATCHES = 40
"""Of an epoch."""
KINDS: dict[str, dict[str, object]] = {
    "off": {},
    "bf16": {"amp": "bf16"},
    "compile": {"compile": True},
    "bf16 + compile": {"amp": "bf16", "compile": True},
}


def prepared(preset: str, kind: str) -> Training:
    """The preset with nothing but whole batches."""
    changes = {"scheduler.name": "none", "epochs": EPOCHS[preset], "device": "cpu"}
    training = build(load(preset, {**changes, **KINDS[kind]}))
    training.validation = None
    batches = training.batches
    rows = batches.batch_size * BATCHES
    batches.features, batches.labels = batches.features[:rows], batches.labels[:rows]
    return training


def milliseconds(training: Training) -> float:
    """Of one batch."""
    run = Session(training)
    start = time.perf_counter()
    outcome = run.run()
    if outcome.state != "finished":
        raise ArithmeticError(f"{outcome.reason}: {outcome.where}")
    return 1e3 / run.progress.batches_done * (time.perf_counter() - start)


def measure(pairs: int) -> Iterator[Row]:
    """Every kind on every preset, the kinds in turn."""
    for preset in EPOCHS:
        trainings, ready = {}, {}
        for kind in KINDS:
            training = prepared(preset, kind)
            start = time.perf_counter()
            try:
                milliseconds(training)
            except ArithmeticError as error:  # compiled code that does not compute what it should
                yield Row.of(f"{kind} / off, {preset}", [math.nan], note=str(error))
                continue
            trainings[kind], ready[kind] = training, time.perf_counter() - start
        times: dict[str, list[float]] = {kind: [] for kind in trainings}
        for _ in range(pairs):
            for kind, training in trainings.items():
                times[kind].append(milliseconds(training))
        for kind, values in times.items():
            if kind == "off":
                continue
            ratios = [a / b for a, b in zip(values, times["off"], strict=True)]
            note = f"{statistics.median(values):.2f} ms a batch, first run {ready[kind]:.1f} s"
            yield Row.of(f"{kind} / off, {preset}", ratios, note=note)


if __name__ == "__main__":
    for row in measure(7):
        print(row, flush=True)
