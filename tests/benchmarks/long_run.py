"""Ten million batches: what a picture costs and what memory grows by. Minutes: `make bench-long`.

The batches do next to nothing, so that the run is the session's own work.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import psutil
import torch
from torch import nn

from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.training import Training

MILLION = 1_000_000
PER_EPOCH = 10_000
"""Batches. An epoch's shuffled samples are new memory, 64 bytes a batch, which comes and goes."""
PICTURES = 1100
"""Taken before the first one is timed."""
TIMED = 51
"""Pictures at each mark."""


class Still(torch.optim.Optimizer):
    """An optimizer that moves nothing."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {"lr": 0.1})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Do nothing."""

    def step(self, closure: Any = None) -> None:
        """Do nothing."""


def still(batches: int) -> Training:
    """So many batches of next to nothing, in epochs of `PER_EPOCH` or in a single shorter one."""
    weight = nn.Linear(1, 1)
    loss = torch.zeros((), requires_grad=True)
    data = torch.zeros(min(PER_EPOCH, batches), 1)
    training = Training(
        weight,
        lambda outputs, labels: loss,
        Still(weight.parameters()),
        TensorBatches(data, data, 1),
        epochs=max(1, batches // PER_EPOCH),
        threads=1,
    )
    training.model.forward = lambda features: features  # type: ignore[method-assign,assignment]
    return training


class Watch:
    """Looks at the run at some batches: cost of a picture with curves, and resident memory."""

    def __init__(self, marks: list[int]) -> None:
        self.session: Session | None = None
        self.marks = iter(marks)
        self.next = next(self.marks)
        self.seen: list[tuple[int, float, int]] = []
        self._process = psutil.Process()
        self._pictures: dict[str, Any] | None = None

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        if batches_done < self.next or self.session is None:
            return
        self.next = next(self.marks, sys.maxsize)
        engine = self.session._engine
        series = engine.run.recorder._series
        # Pictures make a series, too. At every mark it is as long, or the last one would tell of
        # that; and some are taken first, or the first one would tell of warm caches.
        if self._pictures is None:
            for _ in range(PICTURES):
                engine.publish(State.RUNNING, engine.now[0], curves=True)
            self._pictures = series["throughput"].state()
        series["throughput"].restore(self._pictures)
        costs = []
        for _ in range(2 * TIMED):
            self.session.mailbox.latest(curves=True)
            self.session.mailbox.begin_snapshot()
            start = time.perf_counter()
            series["loss"].add(batches_done, 0.5)
            engine.publish(State.RUNNING, engine.now[0], curves=True)
            costs.append(time.perf_counter() - start)
        cost = statistics.median(costs[-TIMED:])
        self.seen.append((batches_done, cost, self._process.memory_info().rss))

    def epoch(self, summary: object) -> None: ...

    def change(self, change: object) -> None: ...


def main() -> None:
    """Run, and print the two ratios."""
    batches = 10 * MILLION
    watch = Watch([10_000, *range(MILLION, batches + 1, MILLION)])
    watch.session = session = Session(still(batches), watch)
    start = time.perf_counter()
    session.run()
    seconds = time.perf_counter() - start
    first, last = watch.seen[0], watch.seen[-1]
    late = watch.seen[2:]  # by two million batches every buffer has its size
    growth = statistics.linear_regression(
        [at / MILLION for at, _, _ in late], [rss / 2**20 for _, _, rss in late]
    ).slope
    found = {
        "batches": session.progress.batches_done,
        "microseconds_per_batch": 1e6 * seconds / batches,
        "picture_ms_at_10k": 1000 * first[1],
        "picture_ms_at_10m": 1000 * last[1],
        "ratio": last[1] / first[1],
        "rss_mib": [round(rss / 2**20, 1) for _, _, rss in watch.seen],
        "rss_mib_per_million": growth,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
