"""Going on with a run of a table, or of a Python file, that may have been changed or moved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import Shell, files, rates, run, same

TABLE = "a,b,kind\n" + "".join(f"{i},{i * i % 7},{'xyz'[i % 3]}\n" for i in range(40))


@pytest.fixture
def table(shell: Shell, tmp_path: Path) -> Path:
    file = tmp_path / "table.csv"
    file.write_text(TABLE)
    changes = ["dataset.name=csv", "dataset.path=table.csv", "batch_size=8"]
    sets = [word for change in changes for word in ("--set", change)]
    shell.train("table", *sets, stop=4)
    return file


def test_a_table_that_was_moved_or_changed_is_told(
    shell: Shell, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.rename(tmp_path / "gone.csv")
    before = files(run("table"))
    assert "table.csv" in shell.refused("table")
    table.write_text(TABLE.replace("39,2,x", "39,4,x"))
    assert "the table in dataset.path" in shell.refused("table")
    assert files(run("table")) == before
    table.write_text(TABLE)
    monkeypatch.chdir("/")
    assert "finished" in shell.resume("table")


def test_a_run_of_an_older_version_knows_fewer_options(shell: Shell, table: Path) -> None:
    later = ("dataset.missing", "dataset.decimal", "dataset.categories", "dataset.sha256")
    meta = json.loads((run("table") / "run.json").read_text())
    assert all(meta["recipe"].pop(key) is not None for key in later)
    (run("table") / "run.json").write_text(json.dumps(meta))
    recipe = run("table") / "recipe.toml"
    names = [key.partition(".")[2] for key in later]
    rows = recipe.read_text().splitlines()
    recipe.write_text("\n".join(row for row in rows if row.partition(" ")[0] not in names))
    assert "finished" in shell.resume("table")


OWN = """
import os
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from fivestep.core.training.training import Training

def training():
    torch.manual_seed(0)
    os.chdir("/")
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Linear(8, 3))
    data = TensorDataset(torch.randn(24, 4), torch.arange(24) % 3)
    own = torch.Generator().manual_seed(1)
    return Training(
        model, nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=0.01),
        DataLoader(data, 8, shuffle=True, generator=own), epochs=4, seed=3, threads=1,
    )
"""


@pytest.fixture
def own(shell: Shell, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Trains a file of one's own, under a name."""
    file = tmp_path / "own.py"
    file.write_text(OWN)

    def train(name: str, *more: str, stop: int = 0) -> str:
        os.chdir(tmp_path)
        return shell("train", str(file), "--name", name, "--no-ui", *more, stop=stop)

    yield train
    os.chdir("/")


def test_weights_judged_on_other_data_than_they_were_trained_on_say_so(
    shell: Shell, table: Path
) -> None:
    assert "changed since" not in shell("eval", "--run", "table")
    table.write_text(TABLE.replace("39,2,x", "39,4,x"))
    told = "changed since they were trained: the table in dataset.path"
    assert told in shell("eval", "--run", "table")
    assert json.loads(shell("eval", "--run", "table", "--json"))["changed"] == [
        "the table in dataset.path"
    ]


def test_a_file_of_ones_own_is_asked_for_and_goes_on_exactly(
    shell: Shell, own: Callable[..., str], tmp_path: Path
) -> None:
    file = str(tmp_path / "own.py")
    own("whole")
    own("own", stop=5)
    assert f"only if you name it: fivestep resume own {file}" in shell.refused("own")
    shell.resume("own", file)
    assert same(run("own"), run("whole"))


def test_another_file_or_a_changed_one_is_refused(
    shell: Shell, own: Callable[..., str], tmp_path: Path
) -> None:
    own("own", stop=5)
    other = tmp_path / "other.py"
    other.write_text(OWN + "\n# changed\n")
    assert "is not the file that own came from" in shell.refused("own", str(other))
    assert "there is no such file" in shell.refused("own", "nowhere.py")
    assert "other.py was changed since" in shell.resume("own", str(other), "--force", stop=7)
    judge = tmp_path / "judge.py"
    judge.write_text(OWN.replace("epochs=4", "validation=DataLoader(data, 8)"))
    told = f"changed since they were trained: {judge}"
    assert told in shell("eval", str(judge), "--run", "own")
    (run("own") / "run.json").unlink()
    assert "is not known, as run.json does not say it" in shell.refused("own", str(other))
    assert "run.json is missing" in shell.resume("own", str(other), "--force")


@pytest.mark.parametrize("carries", [True, False])
def test_a_run_that_carries_what_no_checkpoint_keeps_is_told_at_its_first_batch(
    shell: Shell, own: Callable[..., str], tmp_path: Path, carries: bool
) -> None:
    file = tmp_path / "own.py"
    counted = OWN.replace("nn.CrossEntropyLoss()", "counted")
    growing = "next(count)" if carries else "1"
    counted = counted.replace(
        "def training():",
        "def counted(outputs, labels):\n"
        f"    return nn.functional.cross_entropy(outputs, labels) * {growing}\n\n"
        "count = iter(range(1, 100))\n\ndef training():",
    )
    file.write_text(counted)
    own("own", "--save-every", "1epochs")
    checkpoints = run("own") / "checkpoints"
    for newer in (*checkpoints.glob("batch-*"), *sorted(checkpoints.glob("epoch-*"))[2:]):
        newer.unlink()  # as if it was killed before they were written
    told = shell.resume("own", str(file))
    assert "resumed at the start of epoch 3" in told
    assert ("not exact: the first batch since the checkpoint has loss" in told) is carries


def test_a_module_that_was_changed_is_refused_by_name(
    shell: Shell, own: Callable[..., str], tmp_path: Path
) -> None:
    file, beside = tmp_path / "own.py", tmp_path / "parts" / "beside.py"
    beside.parent.mkdir()
    beside.write_text("RATE = 0.3\n")
    file.write_text(OWN.replace("0.3", "RATE") + "\nfrom parts.beside import RATE\n")
    own("own", stop=5)
    meta = json.loads((run("own") / "run.json").read_text())
    assert list(meta["file"]["modules"]) == ["parts/beside.py"]
    beside.write_text("RATE = 0.4\n")
    assert "parts/beside.py, which " in shell.refused("own", str(file))
    assert "parts/beside.py was changed since" in shell.resume("own", str(file), "--force", stop=7)
    assert "was changed" not in shell.resume("own", str(file), stop=8)
    beside.unlink()
    assert "parts/beside.py, which " in shell.refused("own", str(file))


def test_a_file_of_ones_own_stays_as_long_as_it_was_made(
    shell: Shell, own: Callable[..., str], tmp_path: Path
) -> None:
    file = str(tmp_path / "own.py")
    own("long", "--epochs", "6")
    own("own")
    told = shell.resume("own", file, "--epochs", "6", stop=14)
    assert "the file's own schedule, if there is one, goes on from where it was" in told
    shell.resume("own", file)
    assert same(run("own"), run("long"))


def test_a_file_that_makes_its_schedule_for_its_epochs_is_trained_further(
    shell: Shell, own: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "own.py"
    schedule = "torch.optim.lr_scheduler.OneCycleLR(made, 0.1, total_steps=3 * epochs)"
    made = OWN.replace("training():", "training(epochs=2):").replace("epochs=4", "epochs=epochs")
    made = made.replace(
        "    return Training(",
        "    made = torch.optim.SGD(model.parameters())\n    return Training(",
    )
    made = made.replace("torch.optim.Adam(model.parameters(), lr=0.01)", "made")
    file.write_text(made.replace("seed=3", f'seed=3, scheduler_per="update", scheduler={schedule}'))
    own("short")
    own("long", "--epochs", "4")
    assert "finished after 4 epochs" in shell.resume("short", str(file), "--epochs", "4")
    assert rates(run("short"))[6:] == rates(run("long"))[6:]


def test_a_recipe_needs_no_file(shell: Shell, stopped: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    assert "came from a recipe" in shell.refused("stopped", str(tmp_path / "own.py"))
