"""Going on with a run, as a person would: moved, damaged, changed, longer, from anywhere."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from doing import failing

from fivestep.core.protocol.record_fields import OUTCOME, RUN
from fivestep.core.session.session import Session
from fivestep.core.storage import checkpoint
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.log_file import read_log
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.tui.headless import json_reporter

from .conftest import SIZE, Shell, damage, files, run, same


def test_a_run_goes_on_to_the_very_end_that_it_would_have_had(shell: Shell, stopped: Path) -> None:
    told = shell.resume("stopped")
    assert "resumed at epoch 2, after batch 2\n" in told
    assert "trained again" not in told
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


def deleted(path: Path) -> None:
    shutil.rmtree(path)


def made_again(path: Path) -> None:
    deleted(path)
    RunDirectory.create(path.parent, path.name, "another").close()


@pytest.mark.parametrize(
    ("deed", "place"),
    [
        (lambda path: path.rename(path.with_name("renamed")), "renamed"),
        (deleted, "mine"),
        (made_again, "mine-2"),
    ],
)
def test_a_run_whose_folder_was_moved_or_deleted_while_it_trained_goes_on_to_the_same_end(
    shell: Shell, deed: Callable[[Path], object], place: str
) -> None:
    shell.train("whole")
    told = shell.train("mine", stop=5, deed=lambda: deed(run("mine")))
    assert f"kept in {run(place)} now" in told
    assert f"to resume: fivestep resume {place}" in told
    shell.resume(place)
    assert same(run(place), run("whole"))


def test_another_folder_of_runs(shell: Shell, stopped: Path, tmp_path: Path) -> None:
    shutil.move(stopped, tmp_path / "other" / "stopped")
    assert "there is no run stopped" in shell.refused("stopped")
    there = ("--runs-dir", str(tmp_path / "other"))
    said = f"fivestep attach stopped --runs-dir {tmp_path / 'other'}\n"
    assert said in shell("runs", "show", "stopped", *there)
    shell.resume("stopped", *there)
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
    newest = stopped / "checkpoints" / "batch-000000005.pt"
    damage(newest)
    (stopped / "outcome.json").unlink()
    assert "fivestep resume stopped\n" in shell("runs", "show", "stopped")
    newest.rename(stopped / "aside")
    assert "stopped (trains batches 1 to 5 again)\n" in shell("runs", "show", "stopped")
    (stopped / "aside").rename(newest)
    told = shell.resume("stopped")
    assert "passed over a damaged checkpoint: batch-000000005.pt: damaged" in told
    again = "batches 1 to 5 have no good checkpoint and are trained again"
    assert f"resumed at the start of epoch 1: {again}" in told
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
    assert shell.out == ""
    shell.resume()
    assert same(stopped, run("whole"))


def test_a_run_that_another_process_trains_is_left_alone(shell: Shell, stopped: Path) -> None:
    with RunDirectory.open(stopped.parent, "stopped"):
        assert f"is being trained by process {os.getpid()}" in shell.refused("stopped")
    shell.resume("stopped")


def test_a_finished_run_stays_as_it_is(shell: Shell) -> None:
    shell.train("whole")
    shutil.copytree(run("whole"), run("copy"))
    told = "nothing is left to train; --epochs N trains further"
    before = files(run("copy"))
    for words in ((), ("--epochs", "4")):
        assert told in shell.resume("copy", *words)
    assert files(run("copy")) == before
    assert "resumed at the end, behind epoch 4" in shell.resume("copy", "--force")
    assert same(run("copy"), run("whole"))


def test_less_than_is_trained_is_refused_and_nothing_touched(shell: Shell, stopped: Path) -> None:
    before = files(run("whole"))
    assert "it has trained 4 epochs, more than --epochs 2" in shell.refused(
        "whole", "--epochs", "2"
    )
    assert shell.out == ""  # nothing of a run that is not to begin
    assert files(run("whole")) == before
    assert "1 epoch and part of epoch 2" in shell.refused("stopped", "--epochs", "1")


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
    parts = {"one": ["lock"], "two": ["lock", "recipe.toml", "run.json"], "three": []}
    for name, there in parts.items():
        run(name).mkdir()
        for file in there:
            shutil.copy(stopped / file, run(name) / file)
    rows = {row.split()[0]: row for row in shell("runs").splitlines()}
    assert "its process ended before anything was saved" in rows["one"]
    assert "fivestep resume two --force trains it from the start" in rows["two"]
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


@pytest.mark.parametrize("methods", [("create",), ("write_recipe", "put_back")])
def test_a_new_run_that_can_not_be_kept_says_so_and_leaves_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, methods: tuple[str, ...]
) -> None:
    if "create" in methods:
        run("file").parent.mkdir(exist_ok=True)
        run("file").touch()
        monkeypatch.setenv("FIVESTEP_RUNS", str(run("file")))
    else:
        for name in methods:
            monkeypatch.setattr(RunDirectory, name, failing(errno.ENOSPC))
    shell.train("named", code=2)
    assert shell.err.count("\n") == 1
    assert not run("named").exists()
    shell("train", "iris-mlp", *SIZE, "--json", code=4)
    assert "nothing is kept: " in shell.err.splitlines()[0]
    assert shell.err.splitlines()[-1].startswith("fivestep: not on the disk: the run (nothing is")
    assert json.loads(shell.out.splitlines()[-1])["not_kept"] == ["checkpoint", "log", "outcome"]
