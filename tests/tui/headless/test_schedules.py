"""Schedules and lazy layers in a file of one's own: what its lines say of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fivestep.tui.headless import text_reporter

from ..conftest import Cli

OWN = """
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.training import Training

def training():
    torch.manual_seed(0)
    model = MODEL
    features = torch.randn(24, 1, 6, 6)
    data = TensorBatches(features, (features.mean((1, 2, 3)) > 0).long(), 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return Training(
        model, nn.CrossEntropyLoss(), optimizer, data, epochs=3, seed=3, threads=1, REST
    )
"""
PLAIN = "nn.Sequential(nn.Flatten(), nn.Linear(36, 2))"
LAZY = "nn.Sequential(nn.LazyConv2d(3, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))"
CYCLE = "scheduler=OneCycleLR(optimizer, 0.1, total_steps=9), scheduler_per='update'"
EAGER = "scheduler=ReduceLROnPlateau(optimizer, patience=0, threshold=0.9)"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own.py"


def write(file: Path, *, model: str = PLAIN, rest: str = "") -> str:
    file.write_text(OWN.replace("MODEL", model).replace("REST", rest))
    return str(file)


def test_a_plateau_tells_of_each_drop_behind_the_epoch_s_line(own: Path, cli: Cli) -> None:
    file = write(own, rest=f"validation=data, {EAGER}")
    rows = cli("train", file, "--no-ui", "--no-save").out.splitlines()
    at = next(i for i, row in enumerate(rows) if row.startswith("epoch 2/3"))
    assert rows[at + 1].startswith("lr ÷10 → 0.001: no val_loss below 0.")
    assert rows[at + 2].startswith("epoch 3/3")


GROUPS = """[
    {"params": model[1].parameters(), "lr": 1e-5, "name": "body"}, {"params": model[2].parameters()}
]"""


def test_parameter_groups_are_told_by_name(own: Path, cli: Cli, tmp_path: Path) -> None:
    model = "nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.Linear(4, 2))"
    file = Path(write(own, model=model, rest="validation=data"))
    file.write_text(file.read_text().replace("model.parameters()", GROUPS))
    out = cli("train", str(file), "--no-ui", "--name", "groups").out
    assert "\nparameter groups: lr body 1e-05, group 1 0.01\n" in out
    lrs = {"body": 1e-5, "group 1": 0.01}
    records = [json.loads(row) for row in cli("train", str(file), "--json").out.splitlines()]
    for record in records:
        if record["type"] in ("run_start", "batch", "epoch"):
            assert (record["lr"], record["lrs"]) == (0.01, lrs)
    for kind in ((), ("--epochs",)):
        head, row, *_ = cli("export", "groups", "--csv", *kind).out.splitlines()
        columns = dict(zip(head.split(","), row.split(","), strict=True))
        assert (columns["lrs.body"], columns["lrs.group 1"]) == ("1e-05", "0.01")


STREAM = """class Stream:
    def __iter__(self):
        return iter([(torch.randn(4, 1, 6, 6), torch.arange(4) % 2)] * 6)


def training"""


def test_a_stream_s_length_is_expected_of_the_next_epoch(
    own: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(write(own))
    file.write_text(
        file.read_text().replace("def training", STREAM).replace("data, ep", "Stream(), ep")
    )
    monkeypatch.setattr(text_reporter, "SIGN_OF_LIFE", 0.0)
    monkeypatch.setattr(text_reporter.TextReporter, "interval", 0.001)
    out = cli("train", str(file), "--no-ui", "--no-save", "--epochs", "60").out
    signs = [row for row in out.splitlines() if "  batch " in row]
    assert not any("/~" in row for row in signs if row.startswith("epoch  1/"))
    assert any("/~6 " in row and "ETA" in row for row in signs)
    file.write_text(file.read_text().replace("Stream(), ep", "iter(Stream()), ep"))
    line = cli("train", str(file), "--quiet", "--no-save", code=2).err
    assert "batches is a list_iterator, which gives its batches once, and 3 epochs go" in line


def test_without_validation_a_plateau_is_refused(own: Path, cli: Cli) -> None:
    line = cli("train", write(own, rest=EAGER), "--quiet", code=2).err
    assert "own.py:14 in training: ValueError: scheduler: ReduceLROnPlateau waits for" in line
    assert line.count("\n") == 1


def test_a_run_longer_than_its_schedule_is_refused_from_the_start_and_resumed(
    own: Path, cli: Cli
) -> None:
    file = write(own, rest=CYCLE)
    line = f"{file}: OneCycleLR is made for 9 steps, and 5 epochs make 15, one an update"
    assert line in cli("train", file, "--quiet", "--epochs", "5", code=2).err
    cli("train", file, "--quiet", "--name", "cycle")
    assert line in cli("resume", "cycle", file, "--quiet", "--epochs", "5", code=2).err
    assert "nothing is left to train" in cli("resume", "cycle", file, "--no-ui").err


def test_lazy_layers_tell_their_size_once_there_is_one_and_go_on(own: Path, cli: Cli) -> None:
    file = write(own, model=LAZY, rest="validation=data")
    out = cli("train", file, "--no-ui", "--name", "lazy").out
    assert "; parameters known after the first batch; " in out
    assert "the first batch has made the lazy layers: parameters: 134" in out
    longer = cli("resume", "lazy", file, "--no-ui", "--epochs", "4").out
    assert "the lazy layers" not in longer
    assert "24 samples; 134 parameters" in longer
    assert "finished after 4 epochs" in longer
    assert "validation: 24 samples" in cli("eval", file, "--run", "lazy").out
    assert "parameters known" in cli("explain", file).out
