"""What people get wrong in a first file of their own: each is one line that says what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ..conftest import Cli

HEAD = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from fivestep import Training

torch.manual_seed(0)
X = torch.randn(20, 3)
Y = X.sum(1, keepdim=True)
C = (X[:, 0] > 0).long()


def made(model=None, data=(X, Y), **parts):
    model = model or nn.Linear(3, 1)
    whole = {
        "criterion": nn.MSELoss(),
        "batches": DataLoader(TensorDataset(*data), 10),
        "epochs": 2,
        "threads": 1,
        **parts,
    }
    whole.setdefault("optimizer", torch.optim.SGD(model.parameters(), lr=0.1))
    return Training(model=model, **whole)


class Model(nn.Module):
    def __init__(self, after):
        super().__init__()
        self.layer, self.after = nn.Linear(3, 1), after

    def forward(self, x):
        return self.after(self.layer(x))


class Wrapping:
    param_groups = [{"params": [X], "lr": 0.1}]
    step = zero_grad = state_dict = load_state_dict = print


class Broken(Dataset):
    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 20

    def __getitem__(self, i):
        return self.item(i)


def raises(i):
    raise ValueError(f"no file {i}.png")


def add(x):
    x = x.sigmoid()
    x += 1
    return x


def training():
    return """

REFUSED = {
    "made(criterion=nn.MSELoss)": "criterion is the class MSELoss itself; call it: MSELoss(...)",
    "made(optimizer=torch.optim.SGD)": "optimizer is the class SGD itself",
    "made(optimizer=torch.optim.SGD(nn.Linear(3, 1).parameters(), lr=0.1))": (
        "the optimizer has none of the model's parameters; make it from"
    ),
    "made(nn.Linear(3, 1).requires_grad_(False))": "no parameter of the optimizer can learn",
    "made(nn.Linear(3, 1, device='meta'))": "the model is on meta and trains on cpu",
    "made(device='cuda')": "device cuda: no CUDA device can be used here",
    "made(optimizer=[torch.optim.SGD([X])])": "optimizer must be one of torch.optim, not a list",
    "made(optimizer=Wrapping())": "not a Wrapping, which lacks defaults",
    "made(scheduler=[None])": "scheduler must be one of torch.optim.lr_scheduler, not a list",
    "made(scheduler=torch.optim.lr_scheduler.StepLR(torch.optim.SGD([X]), 1))": (
        "the scheduler moves another optimizer"
    ),
    "made(batches=TensorDataset(X, Y))": "batches is a data set, which gives single samples",
    "made(batches=lambda: [(X, Y)])": "batches is a function, which gives no batches",
    "made(validation=[])": "validation is empty",
    "made(epochs=2.0)": "epochs must be a whole number, not 2.0",
    "made(seed='0')": "seed must be a whole number, not '0'",
    "made(task='classify')": "task must be one of custom, classification, regression, language-",
}
"""What training() returns, and what the file is refused with."""
FAILED = {
    "made(batches=DataLoader(TensorDataset(X, Y), 30, drop_last=True))": (
        "the loader gave none: look at its data set, and at drop_last"
    ),
    "made(criterion=nn.MSELoss(reduction='none'))": "the criterion gives (10, 1) losses, not one",
    "made(criterion=lambda o, y: ((o - y) ** 2).mean().item())": "the criterion gives a float, not",
    "made(Model(torch.detach))": "the loss depends on no parameter that learns: look for detach()",
    "made(Model(lambda x: None))": "the model gave None: forward() has to return its outputs",
    "made(Model(add))": "y = y + 1 in the place of y += 1",
    "made(data=(X.double(), Y))": "numbers from NumPy are float64: .float()",
    "made(nn.Linear(3, 2), criterion=nn.CrossEntropyLoss(), data=(X, C.float()))": (
        "labels of classes are whole numbers: labels.long()"
    ),
    "made(nn.Linear(3, 2), criterion=nn.CrossEntropyLoss(), data=(X, C[:, None]))": (
        "labels of classes have shape (B,): labels.squeeze(1)"
    ),
    "made(criterion=nn.BCELoss())": "BCEWithLogitsLoss takes the outputs as they are",
    "made(batches=[(X.numpy(), Y.numpy())])": "torch.from_numpy(...) in the data set or in unpack",
    "made(batches=DataLoader(Broken(lambda i: (X[i, : 2 + i % 2], Y[i])), 5))": (
        "the samples of a batch have different sizes: crop or pad them"
    ),
    "made(batches=DataLoader(Broken(raises), 5, num_workers=1))": "data: ValueError: no file 0.png",
    "made(batches=DataLoader(Broken(lambda i: (object(), Y[i])), 5))": (
        "give the data set a transform that makes tensors"
    ),
    "made(validation=[(X, Y)], metrics={'auc': lambda o, y: 1 / 0})": (
        "validation batch 1: metric auc: ZeroDivisionError: division by zero: a metric is called"
    ),
    "made(validation=[(X, Y)], metrics={'auc': lambda o, y: o - y})": (
        "metric auc: it gives (20, 1), not a number"
    ),
}
"""What training() returns, and what the run ends with."""


def own(folder: Path, returned: str) -> str:
    file = folder / "own.py"
    file.write_text(HEAD + returned + "\n")
    return str(file)


@pytest.mark.parametrize("returned", REFUSED)
def test_what_can_be_seen_beforehand_is_refused(returned: str, tmp_path: Path, cli: Cli) -> None:
    line = cli.refused("train", own(tmp_path, returned), "--quiet")
    assert re.match(rf"{tmp_path}/own\.py:\d+ in made: ", line)
    assert REFUSED[returned] in line


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("returned", FAILED)
def test_what_the_first_batches_show_says_what_to_do(
    returned: str, tmp_path: Path, cli: Cli
) -> None:
    file = own(tmp_path, returned)
    err = cli("train", file, "--quiet", "--no-save", code=1).err
    line = err.splitlines()[-1]
    assert re.match(r"fivestep: (\S+/own\.py:\d+ in \S+, )?epoch 1, ", line)
    assert FAILED[returned] in line


def test_a_device_and_a_task_may_be_words(tmp_path: Path, cli: Cli) -> None:
    file = own(tmp_path, "made(device='cpu', task='regression', validation=[(X, Y)])")
    assert "best r2" in cli("train", file, "--no-ui", "--no-save").out
