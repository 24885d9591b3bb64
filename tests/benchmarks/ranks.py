"""Two ranks on this machine, watched, against the same loop over DistributedDataParallel written by
hand, and against one process: `make bench ARGS="--only ranks"`.

- guide: `DataLoader` with a `DistributedSampler`, torch's own optimizer with its default arguments,
  `loss.item()` each batch;
- floor: the same five lines, bare, over permuted slices, torch's own fused optimizer;
- watched: what fivestep runs, served, while the first rank reads what the other does.

All of the same model and batch size, one thread a rank; they take turns within the same processes.
One process has the whole batch, and one thread, too.

    python tests/benchmarks/ranks.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import torch
from loop import Turn, five_lines, prepared, seconds
from rows import Row
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from fivestep.core.protocol.rank import this_rank
from fivestep.core.protocol.snapshot import RunLocation
from fivestep.core.session.session import Session
from fivestep.core.training.rank_batches import Split
from fivestep.core.training.rank_training import train_among
from fivestep.core.training.ranks import RankGroup
from fivestep.core.training.training import Training
from fivestep.presets.build import optimizer_options
from fivestep.presets.recipe import load

RUNS = (("digits-cnn", "AdamW"), ("docs-gpt", "AdamW"))
SIZE = 2
TURN = 3.0
"""Seconds that a turn takes, about: a session begins and ends in each."""
LOOK = 0.2
"""Seconds between two looks at all ranks, as a run without a screen does."""


def whole(preset: str, name: str) -> Training:
    """What one process trains: batches as large as those of all ranks together."""
    training = prepared(preset, name)
    training.batches.batch_size *= SIZE
    return training


def by_hand(preset: str, name: str, *, guide: bool, ranks: bool) -> Turn:
    """The loop that somebody would write, or nothing but the five lines."""
    training = prepared(preset, name) if ranks else whole(preset, name)
    batches, model = training.batches, training.model
    called = DistributedDataParallel(model) if ranks else model
    options = optimizer_options(load(preset, {"optimizer.name": name}), training.device)
    options = {"lr": options["lr"]} if guide else options
    optimizer = getattr(torch.optim, name)(model.parameters(), **options)
    if not guide:
        if ranks:
            rows = slice(this_rank().number, None, SIZE)
            batches.features, batches.labels = batches.features[rows], batches.labels[rows]
        return five_lines(called, training.criterion, optimizer, batches, read_loss=False)
    data = TensorDataset(batches.features, batches.labels)
    sampler: Any = DistributedSampler(data) if ranks else None
    loader = DataLoader(data, batches.batch_size, shuffle=not ranks, sampler=sampler)
    return five_lines(called, training.criterion, optimizer, loader, read_loss=True)


def watched(preset: str, name: str, ranks: RankGroup | None) -> Turn:
    """The run that fivestep makes of it."""
    training = whole(preset, name) if ranks is None else prepared(preset, name)
    if ranks is not None:
        train_among(training, Split(ranks.number, SIZE, SIZE), ranks)

    def turn(epochs: int) -> int:
        training.epochs = epochs
        session = Session(training)
        session.serve(lambda path: None, RunLocation())
        session.start()
        while not session.join(LOOK):
            session.ranks()
        assert session.outcome is not None
        assert session.outcome.state == "finished", session.outcome
        return session.progress.batches_done

    return turn


def in_turn(loops: dict[str, Turn], pairs: int, ranks: RankGroup | None) -> dict[str, list[float]]:
    """Seconds of a batch, by the loop's name: one number a pair."""
    start = time.perf_counter()
    for turn in loops.values():
        turn(1)  # what happens once is over after this
    epochs = 1 + int(TURN * len(loops) / (time.perf_counter() - start))
    if ranks is not None:
        epochs = ranks.from_first(epochs)
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(pairs):
        for name, turn in loops.items():
            times[name].append(seconds(turn, epochs))
    return times


def work(preset: str, name: str, pairs: int) -> None:
    """What each rank does; the first prints what it has measured, and measures one process, too."""
    torch.set_num_threads(1)
    ranks = RankGroup(this_rank())
    loops = {
        "watched": watched(preset, name, ranks),
        "guide": by_hand(preset, name, guide=True, ranks=True),
        "floor": by_hand(preset, name, guide=False, ranks=True),
    }
    two = in_turn(loops, pairs, ranks)
    if ranks.first:
        alone = {
            "watched": watched(preset, name, None),
            "guide": by_hand(preset, name, guide=True, ranks=False),
        }
        print(json.dumps([two, in_turn(alone, pairs, None)]), flush=True)
    ranks.from_first(None)  # the other one waits
    os._exit(0)  # as fivestep does: gloo's threads may outlast the interpreter, and abort it


def measure(pairs: int) -> Iterator[Row]:
    """Two ranks against two, then two against one."""
    for preset, name in RUNS:
        words = ["torch.distributed.run", "--standalone", f"--nproc-per-node={SIZE}", __file__]
        told = subprocess.run(
            [sys.executable, "-m", *words, preset, name, str(pairs)],
            env={**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout
        two, one = json.loads(told)
        for other, aim in (("guide", 1.03), ("floor", None)):
            ratios = [a / b for a, b in zip(two["watched"], two[other], strict=True)]
            note = f"{1e3 * min(two['watched']):.2f} / {1e3 * min(two[other]):.2f} ms a batch"
            yield Row.of(f"2 ranks / {other} over DDP, {preset}", ratios, aim, note=note)
        for kind in ("watched", "guide"):
            ratios = [a / b for a, b in zip(one[kind], two[kind], strict=True)]
            note = "times as fast as one process with one thread"
            yield Row.of(f"2 ranks, {kind}, {preset}", ratios, unit="x", note=note)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        work(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        for row in measure(5):
            print(row, flush=True)
