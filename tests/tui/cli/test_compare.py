"""`fivestep compare` without a screen: tables, objects, exit codes, files of other trainers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kept import keep  # tests is on the path

from fivestep.core.storage.run_directory import RunDirectory

from ..conftest import Cli

LOSSES = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    keep(folder, "a", LOSSES)
    keep(folder, "b", (*LOSSES[:5], 0.9, *LOSSES[6:]), lr=0.2)
    return folder


def test_two_runs_are_compared_in_tables(cli: Cli, runs: Path) -> None:
    shown = cli("compare", "a", str(runs / "b"), "--no-ui").out
    rows = [row.split() for row in shown.splitlines()]
    assert ["optimizer.lr", "0.1", "0.2"] in rows
    assert ["val_loss", "best", "0.2000", "@", "8", "0.2000", "@", "8"] in rows
    assert "A and B part at batch 6 (batch 2 of epoch 2): loss 0.3 / 0.9; lr 0.1 / 0.2" in shown
    assert "fivestep replay a --at 6" in shown


def test_runs_of_other_data_say_so_before_they_say_where_they_part(cli: Cli, runs: Path) -> None:
    recipe = {"seed": 1, "dataset.name": "other", "optimizer.lr": 0.1}
    keep(runs, "c", (0.9, *LOSSES[1:]), meta={"recipe": recipe})
    shown = cli("compare", "a", "c", "--no-ui").out
    place = "batch 1 (batch 1 of epoch 1): loss 0.8 / 0.9"
    assert f"A and B differ in data and seed, and so from {place}" in " ".join(shown.split())
    assert "fivestep replay" not in shown


def test_the_object_says_the_same(cli: Cli, runs: Path) -> None:
    found = json.loads(cli("compare", "a", "b", "--json").out)
    assert [run["name"] for run in found["runs"]] == ["a", "b"]
    assert found["runs"][0]["metrics"]["accuracy"] == {
        "last": 0.8,
        "best": 0.8,
        "best_batches_done": 8,
    }
    assert found["settings"] == {"optimizer.lr": [0.1, 0.2]}
    first = found["partings"][0]["first"]
    assert (first["batches_done"], first["values"]) == (6, [0.3, 0.9])


def test_a_condition_decides_the_exit_code(cli: Cli, runs: Path) -> None:
    keep(runs, "c", (*LOSSES[:-1], 0.3))
    told = cli("compare", "a", "b", "c", "--fail-if", "val_loss > 1.02 * A", code=3).out
    assert '--fail-if "val_loss > 1.02 * A": true of C' in told
    cli("compare", "a", "b", "--fail-if", "val_loss > 1.02 * A")
    assert "did you mean val_loss?" in cli.refused("compare", "a", "b", "--fail-if", "val_los > A")
    known = cli.refused("compare", "a", "b", "--fail-if", "zzz > A").partition("known: ")[2]
    assert "val_loss" in known
    assert "best_lr" not in known  # of which no run has a best value


def test_what_can_not_be_compared_gets_one_line(cli: Cli, runs: Path, tmp_path: Path) -> None:
    assert "name 2 to 26 runs" in cli.refused("compare", "a")
    assert "there is no run zzz" in cli.refused("compare", "a", "zzz")
    keep(runs, "baseline", LOSSES)
    assert "; did you mean baseline?" in cli.refused("compare", "a", "baselin")
    for name, text, problem in (
        ("metrics.csv", "a,b\n1,2\n", "no column of steps"),
        ("empty.csv", "step,loss\n", "no metric is in it"),
        ("trainer_state.json", "[1]", 'no list "log_history"'),
        ("broken.json", "{", "it is no JSON"),
    ):
        file = tmp_path / name
        file.write_text(text)
        assert problem in cli.refused("compare", "a", str(file))
    assert "can't be read" in cli.refused("compare", "a", str(tmp_path / "none.csv"))


def test_files_of_lightning_and_hugging_face_stand_beside_runs(
    cli: Cli, runs: Path, tmp_path: Path
) -> None:
    table = tmp_path / "lightning" / "metrics.csv"
    table.parent.mkdir()
    table.write_text(
        "epoch,step,train_loss,val_acc,val_loss\n0,1,0.9,,\n0,3,0.7,,\n0,3,,0.5,0.6\n1,5,0.4,,\n"
    )
    state = tmp_path / "trainer_state.json"
    history = [
        {"epoch": 0.5, "step": 2, "loss": 0.8, "learning_rate": 1e-3, "grad_norm": float("nan")},
        {"epoch": 1.0, "step": 4, "eval_loss": 0.5, "eval_runtime": 3.0},
        {"epoch": 1.0, "step": 4, "train_runtime": 9.0, "train_loss": 0.75},
    ]
    state.write_text(json.dumps({"log_history": history, "num_train_epochs": 1}))
    words = ("compare", "a", str(table.parent), str(state), "--json")
    ours, lightning, trainer = json.loads(cli(*words).out)["runs"]
    assert ours["kind"] == "run"
    assert lightning["metrics"]["loss"]["last"] == 0.4
    assert lightning["metrics"]["val_loss"]["best_batches_done"] == 4
    assert lightning["metrics"]["accuracy"]["last"] == 0.5
    assert (trainer["kind"], trainer["metrics"]["val_loss"]["last"]) == ("trainer_state.json", 0.5)
    assert "train_loss" not in trainer["metrics"]
    cli(*words[:-1], "--fail-if", "val_loss > 2 * A", code=3)


def test_event_files_are_read_with_their_own_library(cli: Cli, runs: Path, tmp_path: Path) -> None:
    events = tmp_path / "events"
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        events.mkdir()
        (events / "events.out.tfevents.1").write_bytes(b"")
        told = cli.refused("compare", "a", str(events))
        assert "pip install tensorboard" in told
        return
    with SummaryWriter(str(events)) as writer:
        for step, loss in enumerate(LOSSES, 1):
            writer.add_scalar("loss/train", loss, step)
        writer.add_scalar("loss/validation", 0.5, 8)
    found = json.loads(cli("compare", "a", str(events), "--json").out)["runs"][1]
    assert found["metrics"]["loss"]["last"] == pytest.approx(0.2)
    assert found["metrics"]["val_loss"]["last"] == 0.5


def test_runs_are_removed_by_name_all_or_none(cli: Cli, runs: Path) -> None:
    assert "--yes" in cli.refused("runs", "prune", "a")
    assert "there is no run zzz" in cli.refused("runs", "prune", "a", "zzz", "--yes")
    with RunDirectory.open(runs, "b"):
        told = cli.refused("runs", "prune", "a", "b", "--yes")
        assert told == "b: being trained now; nothing was removed"
    assert (runs / "a").is_dir()
    (runs / "a" / "link").symlink_to(runs / "b")
    told = cli("runs", "prune", "a", "--yes").out
    assert told.startswith("removed 1 run (a): ")
    assert not (runs / "a").exists()
    assert (runs / "b" / "run.json").is_file()
