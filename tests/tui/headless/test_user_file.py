"""A real person's file, with its data set class, dict batches and loss, in both faces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from forked import python
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
        terminal.until("right")  # a frame may come in pieces
        Path(own).write_text(OWN.replace("nn.Conv2d(1, 4, 3)", "nn.Conv2d(1, 4, 3, bias=False)"))
        terminal.type("r")
        # The messages of the run before are still there, and say that it has finished.
        terminal.until(lambda text: "326 parameters" in text and "FINISHED" in text.split("\n")[0])
        Path(own).write_text("1 / 0")
        terminal.type("r")
        terminal.until("ZeroDivisionError:")
        terminal.type("q")
        assert terminal.ended() == 1


def test_an_error_in_the_file_is_one_line_and_a_traceback_if_wanted(
    tmp_path: Path, cli: Cli
) -> None:
    file = tmp_path / "wrong.py"
    file.write_text("def training():\n    return 1 / 0\n")
    err = cli("train", str(file), "--quiet", code=2).err
    assert err == f"fivestep: {file}:2 in training: ZeroDivisionError: division by zero\n"
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


SPAWNED = """
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from beside import Numbers
from fivestep import Training

HERE = Path(__file__).parent


class Doubled(Numbers):
    pass


def together(samples):
    return torch.stack([x for x, _ in samples]), torch.stack([y for _, y in samples])


def training():
    with (HERE / "calls").open("a") as calls:
        calls.write("training ")
    model = nn.Linear(2, 1)
    loader = DataLoader(
        Doubled(), 4, collate_fn=together, num_workers=1, multiprocessing_context="spawn"
    )
    return Training(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1), loader)
"""


def test_spawned_workers_know_the_files_classes_and_do_not_train(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "my-run.2.py").write_text(SPAWNED)
    (tmp_path / "beside.py").write_text(
        "import torch\n\n\nclass Numbers(torch.utils.data.Dataset):\n"
        "    def __len__(self):\n        return 8\n\n"
        "    def __getitem__(self, i):\n        return torch.ones(2) * i, torch.ones(1)\n"
    )
    assert (
        "finished after 1 epoch, 2 batches"
        in cli("train", str(tmp_path / "my-run.2.py"), "--no-ui").out
    )
    assert (tmp_path / "calls").read_text() == "training "


@pytest.mark.filterwarnings("ignore:Got pickle error")
def test_what_a_spawned_worker_can_not_be_sent_is_told_with_what_to_do(
    tmp_path: Path, cli: Cli
) -> None:
    file = tmp_path / "mine.py"
    lambdas = SPAWNED.replace("collate_fn=together", "collate_fn=lambda samples: samples")
    file.write_text(
        lambdas.replace(
            "from beside import Numbers", "class Numbers(list):\n    __len__ = lambda _: 8"
        )
    )
    err = cli("train", str(file), "--no-ui", "--no-save", code=1).err
    assert "sent the data set and collate_fn by name: take functions and classes" in err


def test_settings_are_set_kept_and_shown(tmp_path: Path, cli: Cli) -> None:
    cli("new", str(tmp_path / "mine.py"))
    more = ["--set", "width=8", "--lr", "0.02", "--epochs", "1", "--name", "narrow"]
    out = cli("train", str(tmp_path / "mine.py"), "--json", *more).out
    settings = {"lr": 0.02, "width": 8, "epochs": 1}
    assert json.loads(out.splitlines()[0])["settings"] == settings
    shown = cli("runs", "show", "narrow").out
    assert "settings     lr 0.02, width 8, epochs 1" in shown
    assert "mine.py --epochs 1 --set lr=0.02 --set width=8" in shown
    # What goes on with it, or judges it, builds the same model.
    assert (
        "finished after 2 epochs"
        in cli("resume", "narrow", str(tmp_path / "mine.py"), "--epochs", "2", "--no-ui").out
    )
    assert "weights of run narrow" in cli("eval", str(tmp_path / "mine.py"), "--run", "narrow").out


STRETCHED = """
import warnings
import torch
from torch import nn
from fivestep import Task, Training


class Warning_(nn.Linear):
    def forward(self, features):
        warnings.warn("from the model")
        return super().forward(features)


def training():
    torch.manual_seed(0)
    model = Warning_(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = [(x, x.sum(1)) for x in torch.randn(64, 3).split(16)]
    return Training(
        model, nn.MSELoss(), optimizer, data, data, epochs=4, task=Task("regression"),
        scheduler=torch.optim.lr_scheduler.StepLR(optimizer, 1), threads=1,
    )
"""


def test_warnings_come_once_each_and_not_among_the_records(tmp_path: Path) -> None:
    file = tmp_path / "stretched.py"
    file.write_text(STRETCHED)
    done = python("-m", "fivestep", "train", str(file), "--json", "--no-save")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    (verdict,) = [record for record in records if record["type"] == "verdict"]
    assert verdict["rule"] == "labels stretched"
    assert verdict["what"].startswith("outputs (16, 1) meet labels (16,)")
    assert done.stderr.count("UserWarning: from the model") == 1
    assert done.stderr.count("UserWarning: Using a target size") == 1


def test_the_live_line_gives_way_to_what_the_file_prints(tmp_path: Path) -> None:
    file = tmp_path / "printing.py"
    file.write_text(STRETCHED.replace('warnings.warn("from the model")', 'print("from the model")'))
    with Terminal("train", str(file), "--no-ui", "--no-save", rows=50) as terminal:
        terminal.until("finished after 4 epochs")
        shown = [row.rstrip() for row in terminal.screen.display]
    assert shown.count("from the model") > 10
    assert not [row for row in shown if "from the model" in row and row != "from the model"]


RARE = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from fivestep import Task, Training


def training():
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(800, 4), (torch.arange(800) % 100 == 0).long())
    model = nn.Linear(4, 2)
    return Training(
        model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1),
        DataLoader(data, 16), DataLoader(data, 400), epochs=4, task=Task("classification"),
        threads=1,
    )
"""


def test_beside_accuracy_stands_what_the_largest_class_alone_gives(
    tmp_path: Path, cli: Cli
) -> None:
    file = tmp_path / "rare.py"
    file.write_text(RARE)
    out = cli("train", str(file), "--no-ui", "--no-save").out
    assert "best accuracy 99.0 % (epoch 1), majority class 99.0 %; " in out
    assert "warning: accuracy 99.0% at best: always choosing the largest class gives 99.0%" in out
    records = [json.loads(line) for line in cli("train", str(file), "--json").out.splitlines()]
    metrics = records[-1]["metrics"]
    assert list(metrics) == ["accuracy", "majority_share", "balanced_accuracy", "f1"]
    assert (metrics["balanced_accuracy"], metrics["majority_share"]) == (0.5, 0.99)
    judged = cli("eval", str(file)).out
    assert "majority_share 99.0 %" in judged
    assert "balanced_accuracy " in judged


def test_new_writes_a_file_that_trains(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = cli("new", "my_run.py").out
    assert told == "my_run.py is there; to run it: fivestep train my_run.py\n"
    assert "best accuracy 9" in cli("train", "my_run.py", "--no-ui").out
