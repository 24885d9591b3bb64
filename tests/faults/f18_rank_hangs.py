"""F18: one of two ranks hangs: in its data, in its forward pass, or its process is stopped.

Lost is each trial in which it is not named within 30 seconds, with its step where it can still be
asked, or after which a process is left behind.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import psutil
from faults.kept_run import PLAIN
from faults.result import Result

KINDS: Final = ("data", "forward", "stopped")
NAMED: Final = 30.0
"""Seconds within which a rank that hangs has to be named."""
PATIENCE: Final = 240.0
FILE: Final = """
import os, threading
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from fivestep import Training

HANGS = os.environ["HANGS"]

def hang(where):
    if os.path.exists(HANGS) and open(HANGS).read() == f"{where} {os.environ['RANK']}":
        threading.Event().wait()

class Samples(Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        hang("data")
        return torch.full((3,), float(index)), torch.zeros(1)

class Model(nn.Linear):
    def forward(self, features):
        hang("forward")
        return super().forward(features)

def training():
    model = Model(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    return Training(model, nn.MSELoss(), optimizer, DataLoader(Samples(), 8), epochs=100_000)
"""


def trial(kind: str, folder: Path, rank: int) -> str:
    """What was lost; "" if nothing was."""
    (folder / "hanging.py").write_text(FILE)
    hangs = folder / "hangs"
    words = ["train", str(folder / "hanging.py"), "--nproc", "2", "--no-ui"]
    with subprocess.Popen(
        [*PLAIN, *words],
        env={**os.environ, "FIVESTEP_RUNS": str(folder / "runs"), "HANGS": str(hangs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as begun:
        assert begun.stdout is not None
        timer = threading.Timer(PATIENCE, begun.kill)
        timer.start()
        ranks, since, named = list[psutil.Process](), 0.0, ""
        for line in begun.stdout:
            if not ranks and line.startswith("epoch"):
                ranks = psutil.Process(begun.pid).children(recursive=True)
                since = time.monotonic()
                if kind == "stopped":
                    next(one for one in ranks if one.environ()["RANK"] == str(rank)).suspend()
                else:
                    hangs.write_text(f"{kind} {rank}")
            elif ranks and re.match(rf"rank {rank} has ", line):
                named = line
                break
        took = time.monotonic() - since
        timer.cancel()
        for one in (*ranks, begun):
            one.kill()
    if psutil.wait_procs(ranks, 10)[1]:
        return "a process was left behind"
    if not named or took > NAMED:
        return f"{kind}, rank {rank}: named after {took:.0f} s: {named or 'never'}"
    right = "has not answered" if kind == "stopped" else f"in {kind} of batch"
    return "" if right in named else f"{kind}, rank {rank}: {named.strip()}"


def campaign(trials: int, seed: int) -> Result:
    """Have a rank hang in `trials` runs, each in its own way."""
    chance, wrong = random.Random(seed), list[str]()
    for number in range(trials):
        kind = KINDS[number % len(KINDS)]
        rank = 1 if kind == "stopped" else chance.randrange(2)  # the first one tells
        with tempfile.TemporaryDirectory() as folder:
            lost = trial(kind, Path(folder), rank)
        wrong += [lost] if lost else []
    return Result("F18", "a rank that hangs", trials, len(wrong), tuple(wrong[:10]))


if __name__ == "__main__":
    sys.stdout.write(campaign(int(sys.argv[1]), int(sys.argv[2])).to_json())
