"""`fivestep.watch` as README shows it, and what it prints."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from doing import python
from terminal import Terminal
from torch import nn

import fivestep
from fivestep.tui.headless import external_loop

FLAGS = re.MULTILINE | re.DOTALL
README = Path(__file__).parents[3] / "README.md"


def test_the_example_in_readme_runs_and_tells_of_itself() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), FLAGS)
    (example,) = [block for block in blocks if "fivestep.watch" in block]
    done = python("-c", example)
    assert done.stderr == ""
    first, *epochs, end, times = done.stdout.splitlines()
    assert first.startswith("watching Linear, 4 parameters, SGD lr 0.1000; cpu, ")
    assert [line.split()[:2] for line in epochs] == [["epoch", str(n)] for n in (1, 2, 3)]
    assert all("4 batches  train loss " in line for line in epochs)
    assert end.startswith("finished after 3 epochs, 12 batches in ")
    assert re.search(r"backward \d+ %", times)
    assert re.search(r"forward \d+ %", times)
    assert "validation" not in times


def test_what_is_unknown_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with fivestep.watch(model, optimizer) as watched:
        for x in watched([torch.ones(4, 2), torch.ones(4, 2)]):
            model(x).backward(torch.ones(4, 2))
            optimizer.step()
    out = capsys.readouterr().out
    assert "train loss" not in out
    assert "zero_grad" not in out  # this loop has none
    assert re.search(r"loss ~\d+ %", out)


LOOP = """
import sys, torch, fivestep
from torch import nn
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
lines = iter(sys.stdin.readline, "")
with fivestep.watch(model, optimizer) as watched:
    for x in watched([torch.ones(4, 3)] * 100_000):
        optimizer.zero_grad()
        model(x).mean().backward()
        optimizer.step()
        if watched.progress.batches_done == 500:
            OWN
"""


def test_the_live_line_is_cut_to_a_narrow_terminal() -> None:
    code = LOOP.replace("OWN", "pass")
    with Terminal(command=(sys.executable, "-c", code), columns=30, rows=12) as terminal:
        for columns in (30, 20):
            terminal.resize(columns, 12)
            rows: set[str] = set()
            while len(rows) < 3:  # drawn again and again, always in one row
                shown = terminal.until("epoch 1  batch ")
                terminal.read()
                rows |= {line for line in shown.splitlines() if line.startswith("epoch 1")}
            assert len([line for line in terminal.screen.display if "epoch 1" in line]) == 1


def test_the_live_line_gives_way_to_what_the_script_prints() -> None:
    own = "print('my own line'); print('and half a', end=''); next(lines); print()"
    code = LOOP.replace("OWN", own)
    with Terminal(command=(sys.executable, "-c", code)) as terminal:
        terminal.until("and half a")
        shown = [line.rstrip() for line in terminal.screen.display if line.strip()]
        assert shown[-2:] == ["my own line", "and half a"]
        terminal.type("\r")
        terminal.until("loss -")


def test_without_a_terminal_there_is_a_sign_of_life(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_loop, "SIGN_OF_LIFE", 0.0)
    _trained()
    assert "epoch 1  batch 1/2" in capsys.readouterr().out


def test_of_several_processes_the_first_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    _trained()
    assert capsys.readouterr().out == ""


def _trained() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with fivestep.watch(model, optimizer) as watched:
        for x in watched([torch.ones(4, 2), torch.ones(4, 2)]):
            model(x).mean().backward()
            optimizer.step()


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_labels_that_are_stretched_over_the_outputs_are_told_of_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, criterion = nn.Linear(2, 1), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with fivestep.watch(model, optimizer, criterion) as watched:
        for x in watched([torch.rand(4, 2)] * 3):
            criterion(model(x), x.sum(1)).backward()
            optimizer.step()
    out = capsys.readouterr().out
    assert out.count("danger: outputs (4, 1) meet labels (4,): the loss compares each with") == 1


def test_a_failure_comes_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loop() -> None:
        with fivestep.watch(model, optimizer) as watched:
            for x in watched(torch.rand(5, 2).split(2)):
                model(x).mean().backward()
                optimizer.step()

    with pytest.raises(ValueError, match="more than 1 value per channel"):
        loop()
    out = capsys.readouterr().out
    assert "failed in epoch 1, batch 3: ValueError: Expected more than 1 value" in out
    assert "drop_last=True in the DataLoader, or another batch_size" in out


def test_ctrl_c_passes_through_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loop() -> None:
        with fivestep.watch(model, optimizer) as watched:
            for _ in watched([1, 2]):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert "stopped after 0 epochs, 0 batches" in capsys.readouterr().out
