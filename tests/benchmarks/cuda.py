"""What watching costs on a GPU: synchronisations per batch, and the time of a batch.

watched: a session that somebody asks for a picture ten times a second, as the screen does. bare:
the five lines over the same batches, without `.item()`. Both with the same mixed precision and
compiling. One epoch without validation, from tensors that are on the GPU already; alternating,
and the ratios are medians of pairs.

Synchronisations are what CUDA's runtime was asked for (`cudaStreamSynchronize` and the like, and
`cudaMemcpy`, which waits), counted by torch's profiler in a short run and in one of twice as many
batches: their difference leaves out what happens once a run or once an epoch. Beside that, the
places that `torch.cuda.set_sync_debug_mode` warns of. Pictures don't come in step with batches, so
a run in which they cost one would show a small fraction.

Without a CUDA device it says so, and that is all.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from torch.profiler import ProfilerActivity, profile

from fivestep.core.session.session import Session
from fivestep.core.training.compile import compile_in_place
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.training import Training
from fivestep.presets.build import build
from fivestep.presets.recipe import load

PRESETS = ("digits-mlp", "digits-cnn", "docs-gpt")
KINDS: dict[str, dict[str, object]] = {
    "off": {},
    "bf16": {"amp": "bf16"},
    "fp16": {"amp": "fp16"},
    "compile": {"compile": True},
}
PICTURES = 0.1
"""Seconds between two pictures."""
WAITING = (
    "cudaDeviceSynchronize",
    "cudaStreamSynchronize",
    "cudaEventSynchronize",
    "cudaMemcpy",
)
"""Calls of CUDA's runtime that wait for the device, by their whole names."""


def prepared(preset: str, kind: str, batches: int) -> Training:
    """The preset on the GPU with one epoch of so many whole batches."""
    changes = {"device": "cuda", "scheduler.name": "none", "epochs": 1}
    training = build(load(preset, {**changes, **KINDS[kind]}))
    training.validation = None
    resize(training, batches)
    return training


def resize(training: Training, batches: int) -> None:
    """Have an epoch of so many batches, of the same samples again and again."""
    old = training.batches
    rows = torch.arange(batches * old.batch_size, device=old.features.device) % len(old.features)
    generator = torch.Generator().manual_seed(0)
    training.batches = TensorBatches(
        old.features[rows], old.labels[rows], old.batch_size, generator
    )


def bare(training: Training) -> None:
    """Nothing but the five lines."""
    model, criterion, optimizer = training.model, training.criterion, training.optimizer
    if training.compile:
        compile_in_place(model)
    model.train()
    if training.amp is None:
        for features, labels in training.batches:
            optimizer.zero_grad()
            outputs = model(features)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
        return
    # torch's own scaler, where there is one: the session's counts what it skips besides.
    scaler = torch.amp.GradScaler("cuda", enabled=training.amp == "fp16")
    for features, labels in training.batches:
        optimizer.zero_grad()
        with training.autocast():
            outputs = model(features)
            loss = criterion(outputs, labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()


def watched(training: Training) -> None:
    """A run that is looked at."""
    run = Session(training)
    with looked_at(run):
        outcome = run.run()
    assert outcome.state == "finished", outcome


@contextmanager
def looked_at(run: Session) -> Generator[None, None, None]:
    """Somebody asks for pictures of the run."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(PICTURES):
            run.latest(curves=True)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def microseconds(run: Callable[[Training], None], training: Training) -> float:
    """Of one batch, until the GPU has done everything."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    run(training)
    torch.cuda.synchronize()
    return 1e6 / len(training.batches) * (time.perf_counter() - start)


def waits(training: Training, batches: int) -> Counter[str]:
    """How often the runtime was made to wait in a watched run, by call."""
    resize(training, batches)
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        watched(training)
    return Counter({e.key: e.count for e in seen.key_averages() if e.key in WAITING})


def warned_of(training: Training, batches: int) -> Counter[str]:
    """Where torch warns that a watched run waits, by file and line."""
    resize(training, batches)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            watched(training)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return Counter(f"{w.filename}:{w.lineno}" for w in caught if "synchroniz" in str(w.message))


def per_batch(
    count: Callable[[Training, int], Counter[str]], training: Training, batches: int
) -> dict[str, float]:
    """What comes on top when a run is twice as long, for each of the further batches."""
    short, long = count(training, batches), count(training, 2 * batches)
    more = {key: (long[key] - short[key]) / batches for key in short | long}
    return {key: value for key, value in more.items() if value}


def measure(preset: str, kind: str, batches: int, pairs: int) -> dict[str, object]:
    """One row of the table."""
    trainings = {run: prepared(preset, kind, batches) for run in (bare, watched)}
    for run, training in trainings.items():
        run(training)  # compiled from here on, and every kernel is chosen
    times: dict[str, list[float]] = {"bare": [], "watched": []}
    for _ in range(pairs):
        for run, training in trainings.items():
            times[run.__name__].append(microseconds(run, training))
    training = trainings[watched]
    ratios = sorted(a / b for a, b in zip(times["watched"], times["bare"], strict=True))
    few = max(100, batches // 5)
    return {
        "preset": preset,
        "kind": kind,
        "bare_us": statistics.median(times["bare"]),
        "watched_us": statistics.median(times["watched"]),
        "against_bare": statistics.median(ratios),
        "against_bare_spread": (ratios[0], ratios[-1]),
        "waits_per_batch": per_batch(waits, training, few),
        "warned_of_per_batch": per_batch(warned_of, training, few),
    }


def main() -> None:
    """Measure every preset and kind; a table, then the same as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--batches", type=int, default=2000)
    said = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device here: nothing was measured")
        return
    torch.set_num_threads(1)  # as a session does for these presets
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{'preset':11} {'kind':8} {'bare µs':>8} {'watched µs':>10}  / bare  waits a batch")
    found = []
    for preset in PRESETS:
        for kind in KINDS:
            try:
                row = measure(preset, kind, said.batches, said.pairs)
            except Exception as error:  # one that this GPU or machine can't do; the others can
                print(f"{preset:11} {kind:8} failed: {type(error).__name__}: {error}")
                found.append({"preset": preset, "kind": kind, "failed": str(error)})
                continue
            found.append(row)
            total = sum(row["waits_per_batch"].values())
            print(
                f"{preset:11} {kind:8} {row['bare_us']:8.0f} {row['watched_us']:10.0f}"
                f"  {row['against_bare']:.3f}   {total:.3f}"
            )
            for key, count in row["warned_of_per_batch"].items():
                print(f"    {count:.3f} a batch at {key}")
    print(json.dumps({"device": torch.cuda.get_device_name(), "rows": found}))


if __name__ == "__main__":
    main()
