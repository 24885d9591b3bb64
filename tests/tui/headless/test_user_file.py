"""A real person's file, with its data set class, dict batches and loss, in both faces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from terminal import Terminal

from ..conftest import Cli

OWN = '''
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from fivestep.core.training.training import Training


class Stripes(Dataset):
    """Images with a bright row or a bright column, as torchvision's classes have them."""

    def __init__(self, train=True, transform=None):
        self.draw = torch.Generator().manual_seed(int(train))
        self.images = torch.rand(160 if train else 40, 1, 8, 8, generator=self.draw)
        self.targets = torch.arange(len(self.images)) % 2
        for i, target in enumerate(self.targets):
            (self.images[i, 0, 3] if target else self.images[i, 0, :, 3]).fill_(1.5)
        self.transform = transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image, target = self.images[index], self.targets[index]
        if self.transform is not None:
            image = self.transform(image)
        return {"image": image, "label": target, "index": index}


def smoothed(outputs, labels):
    return nn.functional.cross_entropy(outputs, labels, label_smoothing=0.1)


def training():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    print("made by hand")
    return Training(
        model=model,
        criterion=smoothed,
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3),
        batches=DataLoader(Stripes(transform=lambda image: image - 0.5), 16, shuffle=True),
        validation=DataLoader(Stripes(train=False, transform=lambda image: image - 0.5), 20),
        unpack=lambda batch: (batch["image"], batch["label"]),
        metrics={"right": lambda outputs, labels: (outputs.argmax(1) == labels).float().mean()},
        epochs=4,
        threads=1,
    )
'''


@pytest.fixture
def own(tmp_path: Path) -> str:
    file = tmp_path / "stripes.py"
    file.write_text(OWN)
    return str(file)


def test_lines_for_people_tell_its_own_metric(own: str, cli: Cli) -> None:
    out = cli("train", own, "--no-ui", "--epochs", "3").out
    assert f"stripes: what training() in {own} gives" in out
    assert "160 samples; 330 parameters" in out
    assert out.count("right") == 3
    assert "finished after 3 epochs, 30 batches" in out


def test_json_lines_carry_it_and_nothing_else(own: str, cli: Cli) -> None:
    out, err = cli("train", own, "--json")
    records = [json.loads(line) for line in out.splitlines()]
    assert records[0]["preset"] == "stripes"
    epochs = [record for record in records if record["type"] == "epoch"]
    assert len(epochs) == 4
    assert epochs[-1]["metrics"]["right"] > 0.8
    assert "made by hand" in err


def test_the_screen_trains_it_again_from_the_file_as_it_stands_then(own: str) -> None:
    with Terminal("train", own, "--epochs", "2") as terminal:
        terminal.until("2 epochs trained")
        terminal.until("run again")
        assert "right" in terminal.text
        Path(own).write_text(OWN.replace("nn.Conv2d(1, 4, 3)", "nn.Conv2d(1, 4, 3, bias=False)"))
        terminal.type("r")
        # The messages of the run before are still there, and say that it has finished.
        terminal.until(lambda text: "326 parameters" in text and "FINISHED" in text.split("\n")[0])
        Path(own).write_text("1 / 0")
        terminal.type("r")
        terminal.until("line 1: ZeroDivisionError:")
        terminal.type("q")
        assert terminal.ended() == 1


def test_an_error_in_the_file_is_one_line_and_a_traceback_if_wanted(
    tmp_path: Path, cli: Cli
) -> None:
    file = tmp_path / "wrong.py"
    file.write_text("def training():\n    return 1 / 0\n")
    err = cli("train", str(file), "--quiet", code=2).err
    assert err == f"fivestep: {file}, line 2: ZeroDivisionError: division by zero\n"
    assert "return 1 / 0" in cli("train", str(file), "--quiet", "--traceback", code=2).err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train", "{}", "--no-ui", "--lr", "0.1"], "--lr: {} makes its optimizer itself; only"),
        (["train", "{}", "--no-ui", "--set", "a=1"], "--set a: a Python file has no such key"),
        (["show", "{}"], "a Python file is no recipe"),
        (["new", "{}"], "it is there already, and stays as it is"),
    ],
)
def test_what_a_file_cannot_do_is_refused(
    own: str, cli: Cli, arguments: list[str], line: str
) -> None:
    assert line.format(own) in cli.refused(*[word.format(own) for word in arguments])


def test_new_writes_a_file_that_trains(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = cli("new", "my_run.py").out
    assert told == "my_run.py is there; to run it: fivestep train my_run.py\n"
    assert "best accuracy 9" in cli("train", "my_run.py", "--no-ui").out
