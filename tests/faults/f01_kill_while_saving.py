"""F1: a saver is killed with SIGKILL at random moments, and stops before every system call.

Lost is each trial after which the newest loadable checkpoint is older than the last one that was
acknowledged, holds something else, is not the newest file there is, or has left a temporary file.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import torch
from faults.result import Result, in_own_process

from fivestep.core.storage.checkpoint import CheckpointError, CheckpointStore

SAVES = 6
"""A saver is killed within the time that so many saves take, from its very start on."""
CALLS = ("open", "write", "fsync", "replace", "unlink", "mkdir")


def _state(number: int) -> dict[str, Any]:
    weights = torch.full((2000,), float(number))
    return {"progress": {"batches_done": number}, "weights": weights}


def _save_on(folder: Path, acknowledge: int, numbers: range | count[int]) -> None:
    """Save one after the other, and say so after each."""
    store = CheckpointStore(folder)
    store.sweep()
    for number in numbers:
        if number % 3 == 0:
            store.save_best(_state(number))
        if number % 5 == 0:
            store.save_epoch(_state(number), number // 5)
        store.save_last(_state(number), number)
        os.write(acknowledge, b"%9d\n" % number)


def _forked(work: Callable[[int], None]) -> tuple[int, int]:
    """A child that does it with the write end of a pipe; its process id and the read end."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reads)
            work(writes)
        finally:
            os._exit(0)
    os.close(writes)
    return child, reads


def _acknowledged(reads: int) -> int:
    """The last number that came through the pipe, whose other end is closed; 0 if none did."""
    with os.fdopen(reads, "rb") as pipe:
        lines = pipe.read().split()
    return int(lines[-1]) if lines else 0


def _lost(folder: Path, acknowledged: int) -> str | None:
    """What a start after the fault finds wrong."""
    store = CheckpointStore(folder)
    store.sweep()
    stray = [path.name for path in folder.glob(".*")]
    if stray:
        return f"left {stray}"
    try:
        found = store.newest()
        if found.skipped:
            return f"damaged: {found.skipped}"
        if found.batches_done < acknowledged:
            return f"{found.batches_done} is older than {acknowledged}"
        if not torch.equal(found.state["weights"], _state(found.batches_done)["weights"]):
            return "holds something else"
        if acknowledged >= 3 and int(store.best()["weights"][0]) < acknowledged // 3 * 3:
            return "the best one is older than acknowledged"
    except CheckpointError as error:
        return str(error) if acknowledged else None
    return None


def _killed(folder: Path, after: float) -> tuple[str | None, int]:
    """SIGKILL so many seconds after the fork; what was lost, and the last number acknowledged."""
    child, reads = _forked(lambda writes: _save_on(folder, writes, count(1)))
    select.select((), (), (), after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    acknowledged = _acknowledged(reads)
    return _lost(folder, acknowledged), acknowledged


def _span(folder: Path) -> float:
    """The seconds in which to kill, on this machine."""
    begun = time.perf_counter()
    child, reads = _forked(lambda writes: _save_on(folder, writes, range(1, SAVES + 1)))
    os.waitpid(child, 0)
    os.close(reads)
    return time.perf_counter() - begun


def _stop_at(call: int) -> None:
    """In a child: leave before the system call of this number, or half-way through if it writes."""
    made = 0

    def stopping(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def stopped(*arguments: Any, **named: Any) -> Any:
            nonlocal made
            made += 1
            if made == call:
                if name == "write":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os._exit(9)
            return real(*arguments, **named)

        return stopped

    for name in CALLS:
        setattr(os, name, stopping(name))


def _stopped(folder: Path, call: int) -> tuple[str | None, bool]:
    """Stop at this call while the one after `folder`'s is saved; what was lost, and if it did."""

    def work(writes: int) -> None:
        _stop_at(call)
        _save_on(folder, writes, range(4, 5))

    child, reads = _forked(work)
    _, status = os.waitpid(child, 0)
    return _lost(folder, max(3, _acknowledged(reads))), os.waitstatus_to_exitcode(status) == 9


def _main(trials: int, seed: int) -> Result:
    torch.set_num_threads(1)
    draw = random.Random(seed)
    wrong: list[str] = []
    saves = 0
    with tempfile.TemporaryDirectory() as made:
        base = Path(made)
        span = _span(base / "span")
        for number in range(trials):
            what, acknowledged = _killed(base / f"kill-{number}", draw.uniform(0, span))
            saves += acknowledged
            wrong += [f"kill {number}: {what}"] if what else []
            shutil.rmtree(base / f"kill-{number}", ignore_errors=True)
        for number in (1, 2, 3):
            CheckpointStore(base / "before").save_last(_state(number), number)
        CheckpointStore(base / "before").save_best(_state(3))
        for call in count(1):
            shutil.copytree(base / "before", base / f"stop-{call}")
            what, stopped = _stopped(base / f"stop-{call}", call)
            wrong += [f"stop at call {call}: {what}"] if what else []
            if not stopped:
                break
    notes = (f"{saves} saves acknowledged", f"stopped at each of {call - 1} system calls as well")
    return Result("F1", "kill -9 while saving", trials, len(wrong), (*notes, *wrong[:20]))


def campaign(trials: int, seed: int) -> Result:
    """So many kills, and a stop at every system call, in a process of its own."""
    return in_own_process(__name__, trials, seed)


if __name__ == "__main__":
    sys.stdout.write(_main(int(sys.argv[1]), int(sys.argv[2])).to_json())
