"""F17: one of two ranks is killed at a random moment, and torchrun starts both again.

Lost is each run that does not end, or whose last state differs in a bit from that of the run that
nothing has interrupted. The preset draws dropout, which every rank does by itself. In every other
run each rank has a part of the model.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
from digest import digest
from faults.f02_kill_and_resume import STATE
from faults.result import Result

from fivestep.core.protocol.rank import PARALLEL
from fivestep.core.storage.checkpoint import CheckpointStore

LIMIT = 300.0
"""Seconds of one run."""


class Killed:
    """A run in two processes."""

    def __init__(self, folder: Path, name: str, parallel: str) -> None:
        self.place = folder / name
        self.output = folder / f"{name}.txt"
        words = ["train", "digits-mlp", "--epochs", "20", "--no-ui", "--save-every", "0.5s"]
        words += ["--runs-dir", str(folder), "--name", name, "--parallel", parallel]
        torchrun = ["--standalone", "--local-addr=127.0.0.1", "--nproc-per-node=2"]
        torchrun += ["--max-restarts=3", "-m", "fivestep", *words]
        shared = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1"}
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *torchrun],
            env=os.environ | shared,
            stdout=self.output.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ranks(self) -> list[psutil.Process]:
        """Those of its processes that train."""
        found = []
        with suppress(psutil.Error):  # they may end while they are looked at
            for one in psutil.Process(self.process.pid).children():
                with suppress(psutil.Error):
                    if "fivestep" in one.cmdline():
                        found.append(one)
        return found

    def trains(self) -> bool:
        """Wait for its first batches in the log; whether they came."""
        log = self.place / "metrics.jsonl"
        while not (log.exists() and log.stat().st_size):
            if self.process.poll() is not None or time.monotonic() - self.begun > LIMIT:
                return False
            time.sleep(0.05)
        return True

    def kill(self, after: float, draw: random.Random) -> bool:
        """Kill one of them so many seconds after the first batches; False if all had ended."""
        if not self.trains():
            return False
        time.sleep(after)
        if self.process.poll() is not None or not (ranks := self.ranks()):
            return False
        draw.choice(ranks).send_signal(signal.SIGKILL)
        return True

    def end(self) -> str:
        """Its last state, as a digest; "" if it did not end well."""
        try:
            code = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            for one in psutil.Process(self.process.pid).children(recursive=True):
                one.kill()
            self.process.kill()
            return ""
        if code:
            return ""
        state = CheckpointStore(self.place / "checkpoints").newest().state
        return digest({key: state[key] for key in (*STATE, "others") if key in state})


def campaign(trials: int, seed: int) -> Result:
    """Kill a rank so many times, at a random moment of a run."""
    draw, wrong, kills = random.Random(seed), list[str](), 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        expected, seconds = dict[str, str](), dict[str, float]()
        for parallel in PARALLEL:
            whole = Killed(folder, f"whole-{parallel}", parallel)
            whole.trains()
            begun = time.monotonic()
            expected[parallel] = whole.end()
            seconds[parallel] = time.monotonic() - begun
        for number in range(trials):
            parallel = PARALLEL[number % 2]
            after = draw.uniform(0, seconds[parallel])
            run = Killed(folder, f"run{number}", parallel)
            kills += run.kill(after, draw)
            if not run.end() == expected[parallel] != "":
                told = run.output.read_text(errors="replace")[-300:]
                wrong.append(f"run {number}, killed after {after:.2f} s: {told}")
    notes = (f"{kills} kills", *wrong[:5])
    return Result("F17", "a rank killed, and restarted", trials, len(wrong), notes)
