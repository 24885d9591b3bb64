"""What `--amp` and `--compile` do to the time of a batch, against the same run without them.

Headless runs without validation or schedule, all with the recipe's threads, alternating; the
ratios are medians of pairs, with the lowest and the highest. A compiled model has been compiled
before that; how long its first batches took is told beside it. There is no target: on a CPU
mixed precision is often slower, and so is compiled code of small models.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

from fivestep.core.data import TensorBatches
from fivestep.core.session import Session
from fivestep.core.training import Training
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
    assert isinstance(batches, TensorBatches)
    rows = batches.batch_size * BATCHES
    batches.features, batches.labels = batches.features[:rows], batches.labels[:rows]
    return training


def milliseconds(training: Training) -> float:
    """Of one batch."""
    run = Session(training)
    start = time.perf_counter()
    outcome = run.run()
    assert outcome.state == "finished", outcome
    return 1e3 / run.progress.batches_done * (time.perf_counter() - start)


def main() -> None:
    """Measure; a table, then the same as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=7)
    pairs = parser.parse_args().pairs
    found = []
    print(f"{'preset':11} {'kind':15} {'ms/batch':>8}  {'/ off':>6}  {'spread':15} first run")
    for preset in EPOCHS:
        trainings, ready = {}, {}
        for kind in KINDS:
            trainings[kind] = prepared(preset, kind)
            start = time.perf_counter()
            milliseconds(trainings[kind])
            ready[kind] = time.perf_counter() - start
        times: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for _ in range(pairs):
            for kind, training in trainings.items():
                times[kind].append(milliseconds(training))
        for kind, values in times.items():
            ratios = sorted(a / b for a, b in zip(values, times["off"], strict=True))
            row = {
                "preset": preset,
                "kind": kind,
                "threads": trainings[kind].threads,
                "ms_per_batch": statistics.median(values),
                "against_off": statistics.median(ratios),
                "against_off_spread": (ratios[0], ratios[-1]),
                "first_run_seconds": ready[kind],
            }
            found.append(row)
            print(
                f"{preset:11} {kind:15} {row['ms_per_batch']:8.2f}  {row['against_off']:6.2f}"
                f"  {ratios[0]:.2f} to {ratios[-1]:<7.2f} {ready[kind]:5.1f} s"
            )
    print(json.dumps({"torch": torch.__version__, "rows": found}))


if __name__ == "__main__":
    main()
