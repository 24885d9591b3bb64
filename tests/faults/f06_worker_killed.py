"""F6: a data worker is killed with SIGKILL in the middle of an epoch, or of a validation.

A person's own file with two workers a loader, under the real command. Lost is each trial that does
not end within 10 seconds with one clear line and exit code 1, has no checkpoint of the very batch,
leaves a process behind, or does not go on from there to the state of the run that lost no worker.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import torch.utils.data._utils as loading
from digest import digest
from faults.children import ChildError, forked
from faults.f02_kill_and_resume import STATE
from faults.f02_resume_anywhere import Case
from faults.result import Result

from fivestep.core.storage.checkpoint import CheckpointError, CheckpointStore
from fivestep.tui.cli import app as cli  # noqa: F401
from fivestep.tui.cli import main as entry
from fivestep.tui.headless import (
    runner,  # noqa: F401
    text_reporter,
)
from fivestep.tui.setup import resume as resuming  # noqa: F401

FEW = 6
"""With fewer trials than these torch looks after its workers 20 times as often."""
LIMIT = 10.0
"""Seconds from the kill to the end of the command."""
GRACE = 1.0
"""Seconds that its last processes may take to go, behind that."""
PLACES = (1, 2, 3, 10, 11, 12)
"""Batches at which data are still to come: workers are four batches ahead of nine."""
CASE = Case("own loader", own={"WORKERS": 2, "ACCUMULATE": 3})


def kill_at(batch: int, draw: random.Random, told: int) -> None:
    """In the process to come: kill one of its workers after this batch, and say when."""

    def batch_done(_: Any, __: int, ___: int, done: int, *____: Any) -> None:
        if done == batch:
            workers = psutil.Process().children()
            draw.choice(workers).send_signal(signal.SIGKILL)
            os.write(told, f"{time.monotonic()} {len(workers)}\n".encode())

    text_reporter.TextReporter.batch = batch_done  # type: ignore[method-assign]


def ran(arguments: list[str], *, batch: int, draw: random.Random) -> tuple[int, str, float]:
    """Run the command, a worker killed after a batch (0: none): exit code, output, seconds."""
    reads, writes = os.pipe()
    says, told = os.pipe()

    def work() -> None:
        kill_at(batch, draw, told)
        sys.argv = ["fivestep", *arguments]
        entry.main()

    child = forked(work, output=writes)
    os.close(writes)
    os.close(told)
    text = b""
    end = time.monotonic() + 60
    # The workers have the pipe open too: it is read until the command itself has ended.
    with os.fdopen(reads, "rb", buffering=0) as pipe, os.fdopen(says, "rb", buffering=0) as said:
        while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if select.select([pipe], [], [], 0.02)[0]:
                text += pipe.read(1 << 16) or b""
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
        gone = time.monotonic()
        while select.select([pipe], [], [], 0)[0] and (more := pipe.read(1 << 16)):
            text += more
        killed = said.read(100) if select.select([said], [], [], 0)[0] else b""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    while any(True for _ in left(child)):  # what was killed a moment ago may not be gone yet
        if time.monotonic() > gone + GRACE:
            text += b"\nLEFT BEHIND"
            os.killpg(child, signal.SIGKILL)
        select.select((), (), (), 0.01)
    return code, text.decode(), gone - float(killed.split()[0]) if killed else 0.0


def left(session: int) -> Iterator[psutil.Process]:
    """Processes of this session that still live."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue


def mark(run: Path) -> tuple[str, int]:
    """The newest checkpoint of a run: its digest, and its batch."""
    newest = CheckpointStore(run / "checkpoints").newest()
    whole = {key: newest.state[key] for key in STATE if key in newest.state}
    return digest(whole), newest.batches_done


def tried(folder: Path, name: str, file: str, whole: str, draw: random.Random) -> tuple[str, float]:
    """One trial: what was wrong, and the seconds until the command had ended."""
    batch = draw.choice(PLACES)
    options = ["--no-ui", "--runs-dir", str(folder / "runs")]
    code, text, seconds = ran(
        ["train", file, "--name", name, "--save-every", "1h", *options], batch=batch, draw=draw
    )
    if code == 0 and mark(folder / "runs" / name)[0] == whole:
        return "", seconds  # it had brought its last batch
    if code != 1:
        return f"exit code {code}: {text[-300:]}", seconds
    if "LEFT BEHIND" in text:
        return "a process was left", seconds
    if seconds > LIMIT:
        return f"took {seconds:.1f} s", seconds
    clear = [line for line in text.splitlines() if line.startswith("fivestep: epoch")]
    if len(clear) != 1 or "worker" not in clear[0]:
        return f"not told clearly: {text[-300:]}", seconds
    _, saved = mark(folder / "runs" / name)
    if f", {saved} batches in" not in text and f", {saved} batch in" not in text:
        return f"saved at {saved}: {text[-300:]}", seconds
    code, text, _ = ran(["resume", name, file, *options], batch=0, draw=draw)
    if code:
        return f"resume ended with {code}: {text[-300:]}", seconds
    if mark(folder / "runs" / name)[0] != whole:
        return f"another end, gone on from batch {saved}", seconds
    return "", seconds


def campaign(trials: int, seed: int) -> Result:
    """Kill so many workers."""
    draw = random.Random(seed)
    before = loading.MP_STATUS_CHECK_INTERVAL
    if trials < FEW:
        loading.MP_STATUS_CHECK_INTERVAL = 0.25
    wrong, took = [], [0.0]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        file = CASE.file(folder)
        options = ["--no-ui", "--runs-dir", str(folder / "runs"), "--name", "whole"]
        code, text, _ = ran(["train", file, *options], batch=0, draw=draw)
        assert code == 0, text
        whole, _ = mark(folder / "runs" / "whole")
        for number in range(trials):
            try:
                what, seconds = tried(folder, f"run-{number}", file, whole, draw)
            except (ChildError, CheckpointError, ValueError) as error:
                what, seconds = str(error), 0.0
            took.append(seconds)
            wrong += [f"worker {number}: {what}"] if what else []
    loading.MP_STATUS_CHECK_INTERVAL = before
    notes = (f"the run had ended after {max(took):.1f} s at most", *wrong[:20])
    return Result("F6", "a data worker killed", trials, len(wrong), notes)
