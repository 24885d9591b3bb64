"""Going on with a run, as a person would: moved, damaged, changed, longer, from anywhere."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from digest import digest, log_of
from doing import failing

from fivestep.core.protocol.commands import Stop
from fivestep.core.protocol.record_fields import OUTCOME, RUN
from fivestep.core.session.session import Session
from fivestep.core.storage import checkpoint
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.log_file import read_log
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.tui.cli import app as cli
from fivestep.tui.headless import json_reporter, text_reporter

SIZE = ("--epochs", "4", "--batch-size", "30")  # of iris: 3 batches an epoch


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Shell:
    """Types commands, and can stop a run after a batch."""

    def __init__(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, monkeypatch
        self.out = self.err = ""

    def __call__(self, *arguments: str, stop: int = 0, code: int = 0) -> str:
        """The command's output, stderr behind it."""
        with self._patch.context() as patch:
            if stop:
                begin, sessions = text_reporter.TextReporter.begin, []

                def begins(reporter: Any, session: Any) -> None:
                    sessions.append(session)
                    begin(reporter, session)

                def batch(_: Any, __: int, ___: int, done: int, *____: Any) -> None:
                    if done == stop:
                        sessions[0].send(Stop())

                patch.setattr(text_reporter.TextReporter, "begin", begins)
                patch.setattr(text_reporter.TextReporter, "batch", batch)
            found = cli.run(list(arguments))
        self.out, self.err = self._capsys.readouterr()
        assert found == code, self.out + self.err
        return self.out + self.err

    def train(self, name: str, *more: str, preset: str = "iris-mlp", stop: int = 0) -> str:
        return self("train", preset, *SIZE, "--name", name, "--no-ui", *more, stop=stop)

    def resume(self, *arguments: str, code: int = 0, stop: int = 0) -> str:
        return self("resume", *arguments, "--no-ui", code=code, stop=stop)

    def refused(self, *arguments: str) -> str:
        """The one line that says why a run can't be gone on with."""
        self("resume", *arguments, "--no-ui", code=2)
        assert self.err.count("\n") == 1
        assert self.err.startswith("fivestep: ")
        return self.err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(capsys, monkeypatch)


def run(name: str) -> Path:
    return Path(os.environ["FIVESTEP_RUNS"]) / name


def mark(path: Path) -> str:
    """All that training decides in a run's last checkpoint."""
    state = CheckpointStore(path / "checkpoints").newest().state
    left_out = ("about", "log", "clock")
    return digest({key: value for key, value in state.items() if key not in left_out})


def same(one: Path, other: Path) -> bool:
    return mark(one) == mark(other) and log_of(one) == log_of(other)


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def files(path: Path) -> dict[str, bytes]:
    """Everything in a run's folder but the lock."""
    there = (file for file in path.rglob("*") if file.is_file() and file.name != "lock")
    return {str(file.relative_to(path)): file.read_bytes() for file in there}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what `stopped` gives is kept once it was trained."""
    return tmp_path_factory.mktemp("trained") / "runs"


@pytest.fixture
def stopped(shell: Shell, trained: Path) -> Path:
    """A run that was stopped in its second epoch, and `whole`, which was not."""
    if not trained.exists():
        shell.train("whole")
        shell.train("stopped", stop=5)
        assert "saved at batch 5; to resume: fivestep resume stopped" in shell.out
        shutil.copytree(run("whole").parent, trained)
    shutil.copytree(trained, run("whole").parent, dirs_exist_ok=True)
    return run("stopped")


def test_a_run_goes_on_to_the_very_end_that_it_would_have_had(shell: Shell, stopped: Path) -> None:
    assert "resumed at epoch 2, after batch 2" in shell.resume("stopped")
    assert same(stopped, run("whole"))
    kinds = [event.get("kind") for event in read_log(stopped / "events.jsonl")]
    assert "resumed" in kinds
    meta = json.loads((stopped / "run.json").read_text())
    assert len(meta["resumes"]) == 1
    assert meta["command"].startswith("fivestep train iris-mlp")
    assert set(meta) == set(RUN) - {"changes"}, "those are of a file"
    assert set(json.loads((stopped / "outcome.json").read_text())) == set(OUTCOME)


def test_the_last_run_is_gone_on_with_by_default(shell: Shell, stopped: Path) -> None:
    shell.resume()
    assert same(stopped, run("whole"))


def test_a_moved_folder_goes_on_from_anywhere(
    shell: Shell, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "else where"
    place.mkdir()
    shutil.move(stopped, place / "renamed")
    monkeypatch.chdir(place)
    assert "epoch 2, after batch 2" in shell.resume("./renamed")
    assert same(place / "renamed", run("whole"))


def test_another_folder_of_runs(shell: Shell, stopped: Path, tmp_path: Path) -> None:
    shutil.move(stopped, tmp_path / "other" / "stopped")
    assert "there is no run stopped" in shell.refused("stopped")
    shell.resume("stopped", "--runs-dir", str(tmp_path / "other"))
    assert same(tmp_path / "other" / "stopped", run("whole"))


def test_nothing_to_go_on_with(shell: Shell) -> None:
    assert "there is no run in" in shell.refused()
    assert "there is no run nope" in shell.refused("nope")
    assert "not the folder of a run" in shell.refused("./nope")


@pytest.mark.parametrize("name", ["..", "../..", "a/../b", "x\ny", "\x1b[31m", "a" * 300, "-x\0"])
def test_a_hostile_name_is_one_clean_line(shell: Shell, name: str) -> None:
    shell.train("first")
    shell("resume", "--no-ui", "--", name, code=2)
    assert shell.err.rstrip("\n").isprintable()
    assert shell.err.count("\n") == 1


def test_a_damaged_checkpoint_is_passed_over_loudly(shell: Shell, stopped: Path) -> None:
    damage(stopped / "checkpoints" / "batch-000000005.pt")
    told = shell.resume("stopped")
    assert "passed over a damaged checkpoint: batch-000000005.pt: damaged" in told
    assert "resumed at epoch 1, after batch 0" in told or "resumed at the start of epoch 1" in told
    assert same(stopped, run("whole"))


def test_what_a_checkpoint_holds_decides_over_its_name(shell: Shell, stopped: Path) -> None:
    first, last = sorted((stopped / "checkpoints").glob("batch-*.pt"))
    first.rename(stopped / "aside")
    last.rename(first)
    (stopped / "aside").rename(last)
    assert "last checkpoint: 1 epoch, batch 5" in shell("eval", "--run", "stopped", "--last")
    told = shell.resume("stopped")
    assert f"passed over a damaged checkpoint: {last.name}: what it holds is of batch 0" in told
    assert "resumed at epoch 2, after batch 2" in told
    assert same(stopped, run("whole"))


def test_a_missing_log_is_told(shell: Shell, stopped: Path) -> None:
    (stopped / "metrics.jsonl").unlink()
    shell("runs", "show", "stopped")
    assert re.search(r"^missing +metrics.jsonl$", shell.out, re.MULTILINE)
    assert "5 batches before batch 5 are missing in metrics.jsonl" in shell.resume("stopped")
    shell("runs", "show", "stopped")
    assert "are missing in metrics.jsonl" in shell.out


# A run.json that can't be read.


@pytest.mark.parametrize(
    ("field", "told"), [({"resumes": 5}, '"resumes" is 5'), (None, "run.json is damaged")]
)
def test_a_damaged_run_json_is_told_and_never_written_over(
    shell: Shell, stopped: Path, field: dict[str, Any] | None, told: str
) -> None:
    file = stopped / "run.json"
    meta = json.loads(file.read_text())
    text = "{" if field is None else json.dumps(meta | field)
    file.write_text(text)
    for words in (("runs",), ("runs", "show", "stopped")):
        assert told in shell(*words)
    out = shell.resume("stopped")
    assert told in out
    assert "it stays as run.json.unreadable" in out
    assert same(stopped, run("whole"))
    assert (stopped / "run.json.unreadable").read_text() == text
    now = json.loads(file.read_text())
    assert [one["batches_done"] for one in now["resumes"]] == [5]
    assert now.get("started") == (None if field is None else meta["started"])
    assert now["format"] == 1
    assert "damaged" not in shell("runs")


@pytest.mark.parametrize(
    "command", [("resume",), ("eval", "--run"), ("runs", "show"), ("export", "--csv")]
)
def test_a_run_of_a_newer_fivestep_is_refused_and_stays_as_it_is(
    shell: Shell, stopped: Path, command: tuple[str, ...]
) -> None:
    meta = json.loads((stopped / "run.json").read_text()) | {"format": 99}
    (stopped / "run.json").write_text(json.dumps(meta))
    before = files(stopped)
    told = "run stopped was kept by a newer fivestep (format 99, this one knows 1)"
    shell(*command, "stopped", code=2)
    assert shell.err == f"fivestep: {told}\n"
    assert told in shell("runs")
    assert "whole" in shell.out
    assert files(stopped) == before


def test_where_all_are_damaged_nothing_is_touched_until_it_is_said_so(
    shell: Shell, stopped: Path
) -> None:
    for file in (stopped / "checkpoints").iterdir():
        damage(file)
    before = files(stopped)
    assert "--force trains from the start" in shell.refused("stopped")
    assert files(stopped) == before
    assert "no checkpoint: training from the start" in shell.resume("stopped", "--force")
    assert same(stopped, run("whole"))


def test_a_checkpoint_of_a_newer_fivestep_is_not_guessed_at(
    shell: Shell, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = CheckpointStore(stopped / "checkpoints").newest().state
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 2)
        checkpoint.save(stopped / "checkpoints" / "batch-000000009.pt", state)
    assert "saved by a newer fivestep" in shell.resume("stopped")
    assert same(stopped, run("whole"))


@pytest.mark.parametrize(
    ("gone", "there"),
    [
        (["checkpoints"], "metrics.jsonl, outcome.json"),
        (["checkpoints/batch-*.pt"], "best.pt, metrics.jsonl"),
        (["checkpoints", "outcome.json"], "though there is metrics.jsonl"),
    ],
)
def test_where_checkpoints_are_missing_nothing_is_touched_until_it_is_said_so(
    shell: Shell, stopped: Path, gone: list[str], there: str
) -> None:
    (stopped / "checkpoints" / "best.pt").write_bytes(b"worth keeping")
    for pattern in gone:
        for path in list(stopped.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = files(stopped)
    refused = shell.refused("stopped")
    assert there in refused
    assert "--force trains from the start, over what is there" in refused
    assert files(stopped) == before
    assert "no checkpoint: training from the start" in shell.resume("stopped", "--force")
    assert same(stopped, run("whole"))


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_checkpoints_that_can_not_be_listed_are_never_trained_over(
    shell: Shell, stopped: Path, force: tuple[str, ...]
) -> None:
    (stopped / "checkpoints").rename(stopped / "aside")
    (stopped / "checkpoints").write_text("a file of that name")
    before = files(stopped)
    assert "its checkpoints can't be read: Not a directory" in shell.refused("stopped", *force)
    assert files(stopped) == before


@pytest.mark.parametrize("name", ["lock", "metrics.jsonl", "events.jsonl"])
def test_a_hard_link_into_another_file_is_not_touched(
    shell: Shell, stopped: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "other").write_text("somebody else's\n")
    (stopped / name).unlink()
    (stopped / name).hardlink_to(tmp_path / "other")
    before = files(stopped)
    assert f"{name} is a hard link to another file" in shell.refused("stopped")
    assert files(stopped) == before
    assert (tmp_path / "other").read_text() == "somebody else's\n"


def test_a_run_of_which_nothing_was_saved_says_so_and_is_passed_over(
    shell: Shell, stopped: Path
) -> None:
    nothing = stopped.with_name("nothing")
    nothing.mkdir()
    for name in ("recipe.toml", "run.json"):
        shutil.copy(stopped / name, nothing)
    assert "it ended before anything of it was saved; --force trains it" in shell.refused("nothing")
    shell.resume()
    assert same(stopped, run("whole"))


def test_a_run_that_another_process_trains_is_left_alone(shell: Shell, stopped: Path) -> None:
    with RunDirectory.open(stopped.parent, "stopped"):
        assert f"is being trained by process {os.getpid()}" in shell.refused("stopped")
    shell.resume("stopped")


def test_a_finished_run_stays_as_it_is(shell: Shell) -> None:
    shell.train("whole")
    shutil.copytree(run("whole"), run("copy"))
    assert "resumed at the end, behind epoch 4" in shell.resume("copy")
    assert same(run("copy"), run("whole"))


def test_less_than_is_trained_is_refused_and_nothing_touched(shell: Shell, stopped: Path) -> None:
    before = files(run("whole"))
    assert "it has trained 4 epochs, more than --epochs 2" in shell.refused(
        "whole", "--epochs", "2"
    )
    assert files(run("whole")) == before
    assert "1 epoch and part of epoch 2" in shell.refused("stopped", "--epochs", "1")


# A changed recipe.


def edit(path: Path, old: str, new: str) -> None:
    text = (path / "recipe.toml").read_text()
    assert old in text
    (path / "recipe.toml").write_text(text.replace(old, new))


def test_a_changed_recipe_is_refused_with_the_difference(shell: Shell, stopped: Path) -> None:
    edit(stopped, "lr = 0.01", "lr = 0.02")
    before = files(stopped)
    assert "optimizer.lr 0.01 → 0.02; --force" in shell.refused("stopped")
    assert files(stopped) == before
    assert "recipe changed: optimizer.lr 0.01 → 0.02" in shell.resume("stopped", "--force", stop=7)
    assert "changed" not in shell.resume("stopped")
    twice = [2 * lr for lr in rates(run("whole"))]
    assert rates(stopped)[5:] == pytest.approx(twice[5:])


def test_other_batches_start_the_epoch_over(shell: Shell, stopped: Path) -> None:
    edit(stopped, "batch_size = 30", "batch_size = 45")
    told = shell.resume("stopped", "--force")
    assert "epoch 2 starts over from its first batch" in told
    assert "its batches are others now" in told


def test_other_batches_have_the_schedule_of_a_run_that_always_had_them(shell: Shell) -> None:
    cycle = ("--set", "scheduler.name=onecycle")
    shell.train("run", *cycle, stop=5)
    shell.train("other", *cycle, "--batch-size", "45")
    edit(run("run"), "batch_size = 30", "batch_size = 45")
    assert "finished after 4 epochs" in shell.resume("run", "--force")
    assert rates(run("run"))[5:] == rates(run("other"))[2:]


def test_a_checkpoint_that_does_not_fit_changes_nothing(shell: Shell, stopped: Path) -> None:
    shell.resume("stopped")
    edit(stopped, "widths = [16]", "widths = [20]")
    before = files(stopped)
    assert "does not fit this run" in shell.refused("stopped", "--force")
    assert files(stopped) == before


def test_a_broken_recipe_is_told(shell: Shell, stopped: Path) -> None:
    (stopped / "recipe.toml").write_text("epochs = ")
    assert "recipe.toml" in shell.refused("stopped")
    (stopped / "recipe.toml").unlink()
    told = "recipe.toml is missing, which says what it trains"
    assert told in shell.refused("stopped")
    assert told in shell("eval", "--run", "stopped", code=2)


def test_the_working_folder_may_be_deleted_while_a_run_trains(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("FIVESTEP_RUNS", "runs")
    start = Session.start

    def starts(session: Session) -> None:
        shutil.rmtree(here)
        start(session)

    monkeypatch.setattr(Session, "start", starts)
    out = shell.train("mine", stop=5)
    assert f"was deleted: a new one was made, and the run is kept in {here}/runs/mine now" in out
    assert f"fivestep resume mine --runs-dir {here}/runs" in out
    assert CheckpointStore(here / "runs" / "mine" / "checkpoints").newest().batches_done == 5


def test_a_folder_that_cannot_be_written_is_no_reason_to_train_anew(
    shell: Shell, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(stopped)
    monkeypatch.setattr(RunDirectory, "clear_outcome", failing(errno.EROFS))
    assert "can't be written: Read-only file system" in shell.refused("stopped")
    assert {name for name, data in files(stopped).items() if data != before[name]} <= {
        "metrics.jsonl"
    }


# Further than it was to go.

SCHEDULES = {
    "none": "",
    "step": "",
    "plateau": "",
    "cosine": "cosine now reaches its end in epoch 6",
    "onecycle": "onecycle now reaches its end in epoch 6",
    "warmup-cosine": "warmup-cosine now reaches its end in epoch 6",
}


def rates(path: Path) -> list[float]:
    return [record["lr"] for record in log_of(path) if record["type"] == "batch"]


@pytest.mark.parametrize("name", SCHEDULES)
def test_trained_further_the_lr_is_that_of_a_run_of_that_length(shell: Shell, name: str) -> None:
    options = ["--set", f"scheduler.name={name}"]
    if name == "step":
        options += ["--set", "scheduler.step_size=2"]
    if name == "plateau":
        options += ["--set", "scheduler.patience=0", "--set", "scheduler.threshold=0.9"]
    shell.train("short", *options)
    shell.train("long", *options, "--epochs", "6")
    told = shell.resume("short", "--epochs", "6")
    assert "epochs 4 → 6" in told
    assert SCHEDULES[name] in told
    assert "finished after 6 epochs" in told
    assert rates(run("short"))[12:] == rates(run("long"))[12:]
    assert "epochs = 6" in (run("short") / "recipe.toml").read_text()


class Killed(BaseException):
    """In the place of SIGKILL."""


def killed_at_the_start(shell: Shell, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Go on, and be killed before the first checkpoint of the longer run."""
    with monkeypatch.context() as patch:

        def kill(_: Any) -> None:
            raise Killed

        patch.setattr("fivestep.core.session.session.Session.start", kill)
        with pytest.raises(Killed):
            cli.run(["resume", *arguments, "--no-ui"])
    release()


def release() -> None:
    """The locks of a process that is gone are free."""
    from fivestep.core.storage import run_lock

    for lock in list(run_lock._held):
        lock.release()


@pytest.mark.parametrize("name", ["cosine", "onecycle"])
def test_killed_before_its_first_checkpoint_a_longer_run_still_has_its_schedule(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    options = ["--set", f"scheduler.name={name}"]
    shell.train("short", *options)
    shell.train("long", *options, "--epochs", "6")
    killed_at_the_start(shell, monkeypatch, "short", "--epochs", "6")
    shell.resume("short")
    assert rates(run("short"))[12:] == rates(run("long"))[12:]


# Tables, and files of one's own.

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


def moments(state: dict[str, Any]) -> dict[str, Any]:
    """What the optimizer keeps of its first parameter."""
    found: dict[str, Any] = state["optimizer"]["state"][0]
    return found


def forge_weight(state: dict[str, Any], change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    first = next(iter(state["model"]))
    state["model"][first] = change(state["model"][first])


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "moments of another shape": lambda s: moments(s).update(exp_avg=torch.zeros(5)),
    "moments of one number": lambda s: moments(s).update(exp_avg_sq=torch.zeros(1, 1)),
    "no moments": lambda s: moments(s).update(exp_avg=torch.zeros(0)),
    "moments that are missing": lambda s: moments(s).pop("exp_avg"),
    "a weight of another type": lambda s: forge_weight(s, lambda w: w.long()),
    "a weight that is NaN": lambda s: forge_weight(s, lambda w: w * float("nan")),
    "a weight without numbers": lambda s: forge_weight(s, lambda w: w.to("meta")),
    "a weight that repeats one number": lambda s: forge_weight(
        s, lambda w: torch.zeros(1).expand(3_000_000_000)
    ),
    "a generator's state cut short": lambda s: s["rng"].update(torch=s["rng"]["torch"][:100]),
    "no weights": lambda s: s.update(model={}),
}
"""What no training has left in a state."""


@pytest.mark.parametrize("field", FORGED)
def test_a_checkpoint_that_does_not_fit_is_passed_over(
    shell: Shell, stopped: Path, field: str
) -> None:
    state = CheckpointStore(stopped / "checkpoints").newest().state
    FORGED[field](state)
    state["progress"]["batches_done"] = 7
    checkpoint.save(stopped / "checkpoints" / "batch-000000007.pt", state)
    assert "passed over a damaged checkpoint: batch-000000007.pt: " in shell.resume("stopped")
    assert same(stopped, run("whole"))


@pytest.mark.parametrize(
    ("options", "anew"),
    [
        (("--optimizer", "RMSprop"), True),
        (("--optimizer", "Adagrad"), True),
        (("--optimizer", "Adamax"), True),
        (("--optimizer", "Rprop"), True),
        (("--optimizer", "Adadelta"), True),
        (("--optimizer", "Adafactor"), True),
        (("--set", "optimizer.amsgrad=true"), True),
        (("--set", "optimizer.weight_decay=0.1"), False),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_moments_of_another_optimizer_begin_anew(
    shell: Shell, stopped: Path, options: tuple[str, ...], anew: bool
) -> None:
    shell("show", "iris-mlp", *SIZE, *options)
    (stopped / "recipe.toml").write_text(shell.out)
    told = shell.resume("stopped", "--force")
    assert "finished after" in told
    assert ("begins without moments: those saved are not its own" in told) is anew


def test_what_was_killed_before_it_began_is_passed_over_and_gives_its_name_away(
    shell: Shell, stopped: Path
) -> None:
    for name, there in (("one", ["lock"]), ("two", ["lock", "recipe.toml"]), ("three", [])):
        run(name).mkdir()
        for file in there:
            shutil.copy(stopped / file, run(name) / file)
    rows = {row.split()[0]: row for row in shell("runs").splitlines()}
    assert "its process ended before anything was saved" in rows["one"]
    assert "its process ended before anything was saved" in rows["two"]
    assert "it ended before it began; fivestep train --name makes it anew" in shell.refused("one")
    assert "--force trains it from the start" in shell.refused("two")
    assert "three in" in shell.refused("three")
    shell("eval", "--run", "one", code=2)
    assert "it ended before it began" in shell.err
    assert "resumed" in shell.resume(stop=6)  # the last one that has anything: `stopped`
    for name in ("one", "two", "three"):
        shell.train(name)
        assert json.loads((run(name) / "outcome.json").read_text())["state"] == "finished"
    shell("train", "iris-mlp", "--name", "one", "--no-ui", code=2)
    assert "there is a run of that name" in shell.err


def test_what_does_not_belong_to_a_run_that_never_began_is_never_cleared_away(
    shell: Shell,
) -> None:
    for name, file in (("mine", "notes.txt"), ("logged", "metrics.jsonl")):
        run(name).mkdir(parents=True)
        (run(name) / file).write_text("{}\n")
        shell("train", "iris-mlp", "--name", name, "--no-ui", code=2)
        assert (run(name) / file).read_text() == "{}\n"


@pytest.mark.parametrize(
    ("call", "missing"),
    [("write", ["checkpoint", "outcome"]), ("writev", ["log"])],
)
def test_a_run_that_could_not_be_kept_whole_has_an_exit_code_of_its_own(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, call: str, missing: list[str]
) -> None:
    words = ("train", "iris-mlp", *SIZE, "--no-ui", "--name", "full")
    begin = json_reporter.JsonReporter.begin

    def fills(reporter: Any, session: Any) -> None:
        begin(reporter, session)
        monkeypatch.setattr(os, call, failing(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(json_reporter.JsonReporter, "begin", fills)
        shell(*words, "--json", code=4)
    monkeypatch.undo()
    end = json.loads(shell.out.splitlines()[-1])
    assert end["type"] == "run_end"
    assert sorted(end["not_kept"]) == missing
    last = shell.err.splitlines()[-1]
    assert last.startswith("fivestep: not on the disk: ")
    assert "No space left on device" in last


def test_a_new_run_that_can_not_be_kept_says_so_and_leaves_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("write_recipe", "put_back"):
        monkeypatch.setattr(RunDirectory, name, failing(errno.ENOSPC))
    told = shell.train("none")
    assert "nothing is kept: " in told
    assert "none: No space left on device" in told
    assert not run("none").exists()
