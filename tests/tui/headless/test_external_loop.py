"""`fivestep.watch` as README shows it, and what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import fivestep

FLAGS = re.MULTILINE | re.DOTALL
README = Path(__file__).parents[3] / "README.md"


def test_the_example_in_readme_runs_and_tells_of_itself() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), FLAGS)
    (example,) = [block for block in blocks if "fivestep.watch" in block]
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    first, *epochs, end, times = done.stdout.splitlines()
    assert first.startswith("watching Linear, 4 parameters, SGD lr 0.1000; cpu, ")
    assert [line.split()[:2] for line in epochs] == [["epoch", str(n)] for n in (1, 2, 3)]
    assert all("4 batches  train loss " in line for line in epochs)
    assert end.startswith("finished after 3 epochs, 12 batches in ")
    assert re.search(r"backward ~\d+ %", times)
    assert re.search(r"forward \d+ %", times)
    assert "validation" not in times


def test_what_is_unknown_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with fivestep.watch(model, optimizer) as watched:
        for x in watched([torch.ones(4, 2), torch.ones(4, 2)]):
            model(x).mean().backward()
            optimizer.step()
    out = capsys.readouterr().out
    assert "train loss" not in out
    assert "zero_grad" not in out  # this loop has none
    assert re.search(r"loss ~\d+ %", out)


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


def test_importing_fivestep_loads_no_torch() -> None:
    code = "import sys, fivestep; print('torch' in sys.modules, hasattr(fivestep, 'nothing'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
