"""Ten million batches: what a picture costs and what memory grows by. Minutes: `make bench-long`.

The batches do next to nothing, so that the run is the session's own work.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import psutil
import torch
from torch import nn

from fivestep.core.session.session import Session
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.training import Training

MILLION = 1_000_000
PER_EPOCH = 10_000
"""Batches. An epoch's shuffled samples are new memory, 64 bytes a batch, which comes and goes."""
PICTURES = 200
"""Snapshots taken before the first one is timed."""
TIMED = 51
"""At each mark."""


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


def picture_ms(session: Session) -> float:
    """Milliseconds from asking for a Snapshot with all its curves until it is there."""
    costs = []
    for _ in range(TIMED):
        start = time.perf_counter()
        session.snapshot()
        costs.append(time.perf_counter() - start)
    return 1000 * statistics.median(costs)


def main() -> None:
    """Run, and print the two ratios."""
    batches = 10 * MILLION
    session, process = Session(still(batches)), psutil.Process()
    start = time.perf_counter()
    session.start()
    for _ in range(PICTURES):  # or the first one would tell of warm caches
        session.snapshot()
    first = session.snapshot().batches_done, picture_ms(session)
    rss, last = [], 0.0
    for mark in range(MILLION, batches, MILLION):
        while (picture := session.latest()) is None or picture.batches_done < mark:
            time.sleep(0.05)
        rss.append((picture.batches_done / MILLION, process.memory_info().rss / 2**20))
        last = picture_ms(session)
    session.join()
    growth = statistics.linear_regression(*zip(*rss[1:], strict=True)).slope
    found = {
        "batches": session.progress.batches_done,
        "microseconds_per_batch": 1e6 * (time.perf_counter() - start) / batches,
        "first_picture_after": first[0],
        "picture_ms_at_first": first[1],
        "picture_ms_at_9m": last,
        "ratio": last / first[1],
        "rss_mib": [round(one, 1) for _, one in rss],
        "rss_mib_per_million": growth,  # from two million on: by then every buffer has its size
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
