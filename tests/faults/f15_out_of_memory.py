"""F15: there is no memory at some batch: in forward, backward, the update, for the data.

A person's own file under the real command. Lost is each trial that does not end with exit code 1
and advice, has no good checkpoint, or does not go on from it to the state of the run that always
had memory.
"""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path
from typing import Final

from faults.children import ChildError, printed_by
from faults.f06_worker_killed import mark
from faults.result import Result

from fivestep.core.storage.checkpoint import CheckpointError
from fivestep.tui.cli import app as cli
from fivestep.tui.headless import (
    runner,  # noqa: F401
    text_reporter,  # noqa: F401
)
from fivestep.tui.setup import resume as resuming  # noqa: F401

BATCHES = 16
FAULT = "FIVESTEP_TEST_FAULT"
"""In the environment: where, with what, and after how many batches."""
PLACES: Final = ("forward", "backward", "update", "data", "validation")
ERRORS: Final = ("MemoryError", "OutOfMemoryError", "allocator")
ADVICE = "try a smaller batch size"

OWN = '''
import os
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from fivestep.core.training.training import Training

PLACE, KIND, AT = os.environ.get("FIVESTEP_TEST_FAULT", "- - 99").split()
ERRORS = {
    "MemoryError": MemoryError(),
    "OutOfMemoryError": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "allocator": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 8000000000000 bytes."
    ),
}
seen = dict.fromkeys(("forward", "backward", "update", "data", "validation"), 0)


def passes(place):
    """Count, and fail at the one that is to."""
    seen[place] += 1
    if place == PLACE and seen[place] > int(AT):
        raise ERRORS[KIND]


class Numbers(Dataset):
    def __init__(self, place):
        self.place = place

    def __len__(self):
        return 8 if self.place == "data" else 2

    def __getitem__(self, i):
        passes(self.place)
        return torch.linspace(0, i, 16).view(4, 4), torch.arange(4) % 3


class Model(nn.Sequential):
    def forward(self, x):
        if self.training:
            passes("forward")
        y = super().forward(x)
        if y.requires_grad:
            y.register_hook(lambda gradient: passes("backward"))
        return y


class Optimizer(torch.optim.AdamW):
    def step(self, closure=None):
        passes("update")
        return super().step(closure)


def training():
    torch.manual_seed(4)
    model = Model(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    return Training(
        model, nn.CrossEntropyLoss(), Optimizer(model.parameters(), lr=0.01),
        DataLoader(Numbers("data"), None, shuffle=True, generator=torch.Generator().manual_seed(1)),
        validation=DataLoader(Numbers("validation"), None),
        epochs=2, threads=1, seed=2,
    )
'''


def ran(arguments: list[str], fault: str) -> tuple[int, str]:
    """Run the command with that fault: exit code and output."""

    def work() -> int:
        os.environ[FAULT] = fault
        return cli.run(arguments)

    return printed_by(work)


def tried(folder: Path, name: str, file: str, whole: str, draw: random.Random) -> str:
    """One trial: what was wrong."""
    place, at = draw.choice(PLACES), draw.randrange(BATCHES)
    fault = f"{place} {draw.choice(ERRORS)} {at % 4 if place == 'validation' else at}"
    options = ["--no-ui", "--runs-dir", str(folder), "--save-every", "0.005s"]
    code, text = ran(["train", file, "--name", name, *options], fault)
    told = f"{fault}: "
    if code != 1:
        return f"{told}exit code {code}: {text[-300:]}"
    if ADVICE not in text:
        return f"{told}no advice: {text[-300:]}"
    _, saved = mark(folder / name)
    if saved > at and place != "validation":
        return f"{told}saved {saved}"
    code, text = ran(["resume", name, file, *options], "- - 99")
    if code:
        return f"{told}resume ended with {code}: {text[-300:]}"
    return "" if mark(folder / name)[0] == whole else f"{told}another end, gone on from {saved}"


def campaign(trials: int, seed: int) -> Result:
    """So many runs that are out of memory."""
    draw = random.Random(seed)
    wrong = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        file = folder / "own_run.py"
        file.write_text(OWN)
        options = ["--no-ui", "--runs-dir", made, "--name", "whole"]
        code, text = ran(["train", str(file), *options], "- - 99")
        assert code == 0, text
        whole, _ = mark(folder / "whole")
        for number in range(trials):
            try:
                what = tried(folder, f"run-{number}", str(file), whole, draw)
            except (ChildError, CheckpointError) as error:
                what = str(error)
            wrong += [what] if what else []
    return Result("F15", "out of memory", trials, len(wrong), tuple(wrong[:20]))
