"""`fivestep run`: a script that has never heard of fivestep, watched without a screen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from forked import python

from fivestep.core.storage.run_index import summary
from fivestep.tui.setup.options import runs_folder
from fivestep.tui.setup.script import script_command

from ..conftest import Cli

SCRIPT = """
import multiprocessing, os, sys
import sitecustomize  # one of its own, behind ours
print(__name__, sys.argv[1:], sys.path[0] == os.path.dirname(__file__), sitecustomize.OWN)
print(input("how many? "), flush=True)  # a fork would have it, too
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(64, 3)
data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
sys.stderr.write("a bar")
sys.stderr.flush()
for epoch in range(3):
    for features, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(features), labels)
        loss.backward()
        optimizer.step()
    if epoch == 1:
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
print(loss.item(), model.weight.sum().item())
sys.exit(5)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(SCRIPT)
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text("OWN = True\n")
    return path


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(["path", *filter(None, [os.environ.get("PYTHONPATH")])])
    return python(*command, code=5, typed="3\n", env={**os.environ, "PYTHONPATH": path})


def test_a_script_runs_as_without_and_is_told_of_and_kept(script: Path, cli: Cli) -> None:
    words = ["mine.py", "--name", "x", "-m"]
    done = ran("-m", "fivestep", "run", "--no-ui", "--json", "--name", "one", *words)
    bare = ran(*words)
    assert (done.stdout, done.returncode) == (bare.stdout, bare.returncode), done.stderr
    assert (bare.returncode, bare.stderr) == (5, "a bar")
    assert "\na bar\nfivestep: " in done.stderr
    told = done.stderr.replace("a bar\n", "").splitlines()
    assert all(line.startswith("fivestep: ") for line in told)
    assert told[0] == f"fivestep: records in {runs_folder() / 'one' / 'records.jsonl'}"
    assert "watching Linear, 4 parameters, SGD lr 0.1" in told[1]
    assert [line.split()[2:5] for line in told if ": epoch" in line] == [
        [str(i), "4", "batches"] for i in (1, 2, 3)
    ]
    assert "finished after 3 epochs, 12 batches" in done.stderr
    run = summary(runs_folder() / "one")
    assert (run.state, run.preset, run.epochs, run.batches_done) == ("finished", "mine", 3, 12)
    shown = json.loads(cli("runs", "show", "one", "--json").out)["meta"]
    assert shown["command"] == "fivestep run mine.py --name x -m"
    assert (shown["model"], shown["cwd"]) == ("Linear", str(script.parent))
    assert len(cli("export", "one").out.splitlines()) == 13
    lines = (runs_folder() / "one" / "records.jsonl").read_text().splitlines()
    start, *records, end = map(json.loads, lines)
    assert (start["type"], start["preset"], start["model"]) == ("run_start", "mine", "Linear")
    assert [one["type"] for one in records] == (["batch"] * 4 + ["epoch"]) * 3
    assert (end["type"], end["outcome"], end["batches"]) == ("run_end", "finished", 12)
    assert "there is a run one" in cli.refused("run", "--name", "one", "mine.py")


@pytest.mark.parametrize(
    ("records", "told"),
    [("no/such/file", "no records are written, {}: "), ("/dev/full", "records are lost, {}: ")],
)
def test_records_that_can_not_be_written_are_told_of_once_and_cost_nothing_else(
    script: Path, records: str, told: str
) -> None:
    done = ran("-m", "fivestep", "run", "--no-ui", f"--json={records}", "--name", "one", "mine.py")
    assert done.returncode == 5
    assert done.stderr.count(told.format(Path(records).absolute())) == 1
    assert "finished after 3 epochs, 12 batches" in done.stderr
    assert summary(runs_folder() / "one").batches_done == 12


def test_what_can_not_be_run_is_refused(script: Path, cli: Cli) -> None:
    assert 'there is no file "no.py"' in cli.refused("run", "no.py")
    assert "which script?" in cli.refused("run", "--no-ui")
    assert "which command?" in cli.refused("run", "--")
    assert 'there is no command "no-such"' in cli.refused("run", "--", "no-such", "mine.py")
    assert "did you mean --break?" in cli.refused("run", "--brek", "loss < 1", "mine.py")
    assert "did you mean loss?" in cli.refused("run", "--break", "losss < 1", "mine.py")
    assert "--json=FILE" in cli.refused("run", "--no-save", "--json", "mine.py")
    assert "--no-save and --name" in cli.refused("run", "--no-save", "--name", "x", "mine.py")


def test_a_command_is_the_script_a_module_or_all_of_it(script: Path) -> None:
    assert script_command(["mine.py", "-x"]) == [sys.executable, "mine.py", "-x"]
    assert script_command(["-m", "pack", "-x"]) == [sys.executable, "-m", "pack", "-x"]
    assert script_command(["--", "sh", "-c", "x"]) == ["sh", "-c", "x"]
