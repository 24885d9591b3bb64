"""F14: a very long run of batches that do nothing, kept in a directory, saved again and again.

Lost is a run whose memory grows by more than 1 MB per million batches once its buffers have their
size, or whose directory does by more than 100 MB, or which does not log every batch.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import psutil
from benchmarks.long_run import still
from faults.children import in_child
from faults.result import Result
from listeners import Silent

from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.log_file import read_log
from fivestep.core.storage.persistence import Persistence, Policy
from fivestep.core.storage.run_directory import RunDirectory

MILLION = 1_000_000
SLOPE = 1.0
"""MB per million batches, in a run of at least two million."""
EARLY = 4.0
"""MB, in the second half of a shorter one."""
SIZE = 100.0


class Weighed(Silent):
    """A listener that notes the process's memory now and then, and asks for pictures."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.session: Session | None = None
        self.seen: list[tuple[int, float]] = []
        self._process = psutil.Process()

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        if batches_done % self.every:
            return
        self.session.latest(curves=True)
        self.seen.append((batches_done, self._process.memory_info().rss / MILLION))


def _run(batches: int) -> tuple[list[tuple[int, float]], float, list[str]]:
    """Memory by batches, the directory's size in MB, and what was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory.create(Path(folder), "long", "still")
        watch = Weighed(max(1000, batches // 200))
        saving = Persistence(run, Policy(seconds=1.0))
        watch.session = session = Session(still(batches), watch, saving=saving)
        outcome = session.run()
        wrong = [] if outcome.state is State.FINISHED else [f"ended: {outcome}"]
        saved = CheckpointStore(run.checkpoints).newest().batches_done
        if saved != batches:
            wrong.append(f"saved at {saved:,}")
        logged = sum(
            record.get("batches", 1)
            for record in read_log(run.metrics)
            if record["type"] in ("batch", "window")
        )
        if logged != batches:
            wrong.append(f"{logged:,} batches are in the log")
        size = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
    return watch.seen, size / MILLION, wrong


def campaign(trials: int, seed: int) -> Result:
    """One run of so many batches."""
    seen, size, wrong = in_child(lambda: _run(trials), 36000)
    late = [(at / MILLION, rss) for at, rss in seen if at >= trials // 2]
    growth = late[-1][1] - late[0][1]
    slope = statistics.linear_regression(*zip(*late, strict=True)).slope
    if slope > SLOPE if trials >= 2 * MILLION else growth > EARLY:
        wrong.append(f"memory grows: {growth:.1f} MB in the second half, {slope:.2f} per million")
    if size > SIZE:
        wrong.append(f"the directory has {size:.0f} MB")
    grew = f"memory grew by {growth:.2f} MB in the second half, {slope:.3f} per million batches"
    notes = (f"{grew}; the directory has {size:.1f} MB", *wrong)
    return Result("F14", "a long run", trials, len(wrong), notes)
