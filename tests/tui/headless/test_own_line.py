"""A failure names a person's own file, line and function first, then epoch, batch and step."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ..conftest import Cli

HEAD = """
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from fivestep import Training

torch.manual_seed(0)
X, C = torch.randn(16, 10), torch.arange(16) % 2


def made(model, data=(X, C), criterion=nn.CrossEntropyLoss(), **loading):
    data = data if isinstance(data, Dataset) else TensorDataset(*data)
    return Training(
        model=model,
        criterion=criterion,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        batches=DataLoader(data, 8, **loading),
        epochs=1,
        threads=1,
    )


class Data(Dataset):
    def __init__(self, wrong):
        self.wrong = wrong

    def __len__(self):
        return 16

    def __getitem__(self, i):
        if i == 9:
            self.wrong()  # here
        return X[i], C[i]


def no_file():
    raise OSError("no file 9.png\\nnowhere")


def no_key():
    return {}["label"]


def no_text():
    return b"\\xff".decode()


class Net(nn.Module):
    def __init__(self, inner=16, last=nn.Linear):
        super().__init__()
        self.first, self.last = nn.Linear(10, 16), last(inner, 2)

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return self.last(hidden)  # here


class Elsewhere(nn.Linear):
    def forward(self, x):
        return super().forward(x.to("meta"))  # here


def sequence():
    return nn.Sequential(
        nn.Linear(10, 5),
        nn.ReLU(),
        nn.Linear(10, 2),  # here
    )


def images(*layers):
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), *layers)  # here


def training():
"""
WORKERS = "num_workers=1, multiprocessing_context="
BUILT = {
    "return made(Net(inner='16'))": "in __init__: TypeError: empty()",
    "import torhc": "in training: ModuleNotFoundError: No module named 'torhc'",
    "return made(nn.Linear(10, 2),": ": SyntaxError: '(' was never closed",
}
"""What `training()` does, and what is told of it."""
FAILED = {
    "made(Net(), Data(no_file))": "in no_file, epoch 1, batch 2, data: OSError: no file 9.png",
    f"made(Net(), Data(no_file), {WORKERS}'fork')": (
        "in no_file, epoch 1, batch 2, data: OSError: no file 9.png"
    ),
    f"made(Net(), Data(no_key), {WORKERS}'fork')": (
        "in no_key, epoch 1, batch 2, data: KeyError: 'label'"
    ),
    f"made(Net(), Data(no_text), {WORKERS}'fork')": (
        "in no_text, epoch 1, batch 2, data: UnicodeDecodeError: 'utf-8' codec can't decode"
    ),
    "made(Net(), collate_fn=lambda samples: samples[99])": (
        "in <lambda>, epoch 1, batch 1, data: IndexError: list index out of range"
    ),
    "made(Net(), criterion=lambda o, y: o.nowhere)": (
        "in <lambda>, epoch 1, batch 1, loss: AttributeError: 'Tensor' object has no attribute "
        "'nowhere' (outputs (8, 2) float32, labels (8,) int64)"
    ),
    "made(Elsewhere(10, 2))": (
        "what the model or the criterion makes itself belongs there, too: .to(x.device), or"
    ),
    "made(Net(8))": (
        "in forward, epoch 1, batch 1, forward: layer last (Linear) expects 8 features, got 16 "
        "from layer first: an input of (8, 16): try in_features=16"
    ),
    "made(sequence())": (
        "in sequence, epoch 1, batch 1, forward: layer 2 (Linear) expects 10 features, got 5 from "
        "layer 0: an input of (8, 5): try in_features=5"
    ),
    "made(images(), (torch.rand(16, 3, 8, 8), C))": (
        "in images, epoch 1, batch 1, forward: layer 0 (Conv2d) expects 1 channel, got 3 from the "
        "data: an input of (8, 3, 8, 8): try in_channels=3"
    ),
    "made(images(), (torch.rand(16, 64), C))": (
        "in images, epoch 1, batch 1, forward: layer 0 (Conv2d) expects 4 dimensions (B, 1, ...), "
        "got 2 from the data: an input of (8, 64)"
    ),
    "made(images(nn.BatchNorm2d(4)), (torch.rand(16, 1, 8, 8), C))": (
        "layer 2 (BatchNorm2d) expects 4 features, got 8 from layer 0: an input of (8, 8, 6, 6): "
        "try num_features=8"
    ),
    "made(nn.Sequential(nn.LayerNorm(9), nn.Linear(10, 2)))": (
        "layer 0 (LayerNorm) expects (9,) as the last dimensions, got (10,) from the data"
    ),
    "made(nn.Sequential(nn.Embedding(5, 4), nn.Flatten()), (C[:, None] * 7, C))": (
        "layer 0 (Embedding) expects numbers below 5, got 7 from the data: an input of (8, 1): "
        "try num_embeddings=8"
    ),
    "made(nn.Linear(3, 2))": "the model (Linear) expects 3 features, got 10 from the data",
}
"""What `training()` returns, and what is told of the run."""


@pytest.mark.parametrize("body", BUILT)
def test_what_cannot_be_built_names_its_line(body: str, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "mine.py").write_text(HEAD + f"    {body}\n")
    line = cli.refused("train", str(tmp_path / "mine.py"), "--quiet")
    assert re.match(rf"{tmp_path}/mine\.py:\d+( in |: )", line)
    assert BUILT[body] in line


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("returned", FAILED)
def test_what_fails_names_the_own_line_first(
    returned: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = HEAD + f"    return {returned}\n"
    Path("mine.py").write_text(source)
    line = cli("train", "mine.py", "--quiet", "--no-save", code=1).err.splitlines()[-1]
    place = re.match(r"fivestep: mine\.py:(\d+) in ", line)
    assert place is not None
    assert FAILED[returned] in line
    named = source.splitlines()[int(place[1]) - 1]
    own = ("# here", "return", "raise", "lambda")
    assert any(sign in named for sign in own)


def test_json_and_what_is_kept_have_the_line(tmp_path: Path, cli: Cli) -> None:
    file = tmp_path / "mine.py"
    file.write_text(HEAD + "    return made(sequence())\n")
    at = f"{file}:{(HEAD.splitlines().index('        nn.Linear(10, 2),  # here')) + 1} in sequence"
    out = cli("train", str(file), "--json", "--name", "one", code=1).out
    assert json.loads(out.splitlines()[-1])["line"] == at
    assert f"{at}, epoch 1, batch 1, forward" in cli("runs", "show", "one").out
    kept = json.loads(cli("runs", "show", "one", "--json").out)["outcome"]
    assert (kept["line"], kept["where"]) == (at, "epoch 1, batch 1, forward")
    # It goes on from where it failed, and fails there with the same words.
    err = cli("resume", "one", str(file), "--quiet", code=1).err
    assert err.startswith(f"fivestep: {at}, epoch 1, batch 1, forward: layer 2 (Linear) expects")
