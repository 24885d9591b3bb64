"""A run with data workers that is interrupted: one line, its exit code, nobody left behind."""

from __future__ import annotations

import time
from pathlib import Path

from faults.f06_worker_killed import left
from terminal import Terminal  # tests is on the path

from fivestep.core.storage.checkpoint import CheckpointStore

OWN = """
import os, threading, torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from fivestep import Training

FOLDER = {folder!r}

class Stuck(Dataset):
    def __len__(self):
        return 100

    def __getitem__(self, i):
        if i >= {last}:
            open(FOLDER + "/stuck", "w").close()
            threading.Event().wait()
        return torch.randn(3), torch.randn(1)

mse = nn.MSELoss()

def criterion(outputs, labels):
    criterion.calls += 1
    if criterion.calls == 3:
        open(FOLDER + "/there", "w").close()
        while not os.path.exists(FOLDER + "/go"):
            threading.Event().wait(0.02)
    return mse(outputs, labels)

criterion.calls = 0

def training():
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    how = {{"persistent_workers": True, "multiprocessing_context": {context!r}}}
    loader = DataLoader(Stuck(), 1, num_workers=2, **how)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Training(model=model, criterion=criterion, optimizer=optimizer, batches=loader)
"""


def started(folder: Path, *, last: int, context: str | None = None) -> Terminal:
    """A run whose data end after some items, for ever."""
    file = folder / "own.py"
    file.write_text(OWN.format(folder=str(folder), last=last, context=context))
    words = ("train", str(file), "--no-ui", "--name", "run", "--runs-dir", str(folder))
    terminal = Terminal(*words, columns=200)
    terminal.keep = True
    return terminal


def until_there(terminal: Terminal, file: Path) -> None:
    while not file.exists():
        assert terminal.process.poll() is None, terminal.text
        terminal.read()


def end(terminal: Terminal, folder: Path, code: int) -> int:
    """Wait for the end; the batch of the newest checkpoint."""
    assert terminal.ended() == code, terminal.text
    deadline = time.monotonic() + 20
    while any(True for _ in left(terminal.process.pid)):  # stuck, they would stay for ever
        assert time.monotonic() < deadline
    assert b"Traceback" not in terminal.sent
    assert b"Error" not in terminal.sent
    return CheckpointStore(folder / "run" / "checkpoints").newest().batches_done


def test_ctrl_c_does_not_wait_for_what_a_worker_is_fetching(tmp_path: Path) -> None:
    with started(tmp_path, last=5) as terminal:
        until_there(terminal, tmp_path / "there")
        terminal.type("\x03")
        terminal.until("stopping after this batch; the same again ends at once")
        (tmp_path / "go").touch()
        assert end(terminal, tmp_path, 130) == 3
        assert "interrupted after 0 epochs, 3 batches" in terminal.text


def test_a_second_ctrl_c_ends_workers_too(tmp_path: Path) -> None:
    with started(tmp_path, last=0) as terminal:
        until_there(terminal, tmp_path / "stuck")
        terminal.type("\x03")
        terminal.until("still in data, for")
        terminal.type("\x03")
        assert end(terminal, tmp_path, 130) == 0


def test_one_ctrl_c_is_enough_while_workers_are_spawned_and_where_they_bring_nothing(
    tmp_path: Path,
) -> None:
    with started(tmp_path, last=0, context="spawn") as terminal:
        terminal.until("4 parameters")
        while not any(True for _ in left(terminal.process.pid)):
            terminal.read()
        terminal.type("\x03")
        assert end(terminal, tmp_path, 130) == 0
        assert "interrupted after 0 epochs, 0 batches" in terminal.text
