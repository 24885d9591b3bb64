"""A run whose folder is moved, emptied or deleted while it trains: nothing of it is lost."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from doing import failing  # tests is on the path
from listeners import Silent

from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.storage import checkpoint
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.log_file import read_log
from fivestep.core.storage.persistence import Persistence, Policy
from fivestep.core.storage.run_directory import RunDirectory, RunError

from ..conftest import MakeTraining

RECIPE = '[model]\nname = "mlp"\n'


class At(Silent):
    """Does something in the training thread, after some batches."""

    def __init__(self, todo: dict[int, Callable[[], object]]) -> None:
        self.todo = todo

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        if batches_done in self.todo:
            self.todo[batches_done]()


class Run:
    """A run of 21 batches in runs/mine, to which something is done after the tenth."""

    def __init__(self, folder: Path, training: Any) -> None:
        self.runs = folder / "runs"
        self.directory = RunDirectory.create(self.runs, "mine", "preset")
        self.directory.write_recipe(RECIPE)
        self.directory.write_meta({"format": 1, "name": "mine"})
        self.path = self.directory.path
        self.training = training
        self.saving = Persistence(self.directory, Policy(float("inf")))
        self.look = self.saving.log.tend
        self.saving.log.tend = lambda: None  # it would come in the middle of a deed

    def trained(self, deed: Callable[[Path], object]) -> list[str]:
        """Train to the end; what it warned of."""

        def done() -> None:
            self.saving.log.flush()
            assert self.saving._writer.flush(10)
            deed(self.path)

        session = Session(self.training, At({10: done}), saving=self.saving)
        assert session.run().state is State.FINISHED
        last = session.latest()
        assert last is not None
        return [change.text for change in last.changes if change.kind == "warning"]


@pytest.fixture
def run(tmp_path: Path, make_training: MakeTraining) -> Run:
    return Run(tmp_path, make_training())


def assert_whole(path: Path) -> None:
    """A folder has all of a run, and can be gone on with."""
    assert (path / "recipe.toml").read_text() == RECIPE
    with RunDirectory.open(path.parent, str(path)) as run:
        assert run.read_meta()[0] == {"format": 1, "name": "mine"}
        outcome = run.read_outcome()[0]
        assert outcome is not None
        assert outcome["batches"] == 21
    batches = [r["batches_done"] for r in read_log(path / "metrics.jsonl") if r["type"] == "batch"]
    assert batches == list(range(1, 22))
    store = CheckpointStore(path / "checkpoints")
    assert store.newest().batches_done == 21
    assert store.best()


@pytest.mark.parametrize(
    ("deed", "here"),
    [
        (lambda path: path.rename(path.with_name("renamed")), "runs/renamed"),
        (lambda path: path.rename(path.parents[1] / "other"), "other"),
        (lambda path: path.parent.rename(path.parents[1] / "old"), "old/mine"),
    ],
    ids=["renamed", "moved", "runs folder"],
)
def test_a_folder_that_is_moved_is_followed(
    run: Run, tmp_path: Path, deed: Callable[[Path], object], here: str
) -> None:
    (told,) = run.trained(deed)
    assert told == f"the run's folder was moved: it is kept in {tmp_path / here} now"
    assert_whole(tmp_path / here)
    assert run.directory.path == tmp_path / here
    assert not run.path.exists()
    assert run.saving.unkept == {}


def onto_another_disk(path: Path) -> None:
    """What mv does there: a copy, then the original goes."""
    shutil.copytree(path, path.parents[1] / "copy")
    shutil.rmtree(path)


@pytest.mark.parametrize(
    "deed",
    [shutil.rmtree, lambda path: shutil.rmtree(path.parent), onto_another_disk],
    ids=["folder", "runs folder", "moved to another disk"],
)
def test_of_a_folder_that_is_deleted_all_is_kept_in_a_new_one(
    run: Run, deed: Callable[[Path], object]
) -> None:
    (told,) = run.trained(deed)
    new = f"a new one was made, and the run is kept in {run.path} now"
    assert told == f"the run's folder {run.path} was deleted: {new}"
    assert_whole(run.path)


def test_a_run_of_the_same_name_is_never_written_into(run: Run) -> None:
    others: list[RunDirectory] = []

    def deed(path: Path) -> None:
        shutil.rmtree(path)
        others.append(RunDirectory.create(path.parent, "mine", "preset"))

    (told,) = run.trained(deed)
    assert f"was deleted: a new one was made, and the run is kept in {run.path}-2 now" in told
    assert sorted(file.name for file in run.path.iterdir()) == ["lock"]
    assert others[0].running
    assert_whole(run.path.with_name("mine-2"))


def test_one_that_lost_its_lock_to_another_process_leaves_the_folder_to_it(run: Run) -> None:
    others: list[RunDirectory] = []

    def deed(path: Path) -> None:
        (path / "lock").unlink()
        others.append(RunDirectory.open(path.parent, "mine"))

    (told,) = run.trained(deed)
    new = f"a new one was made, and the run is kept in {run.path}-2 now"
    assert told == f"the run's folder {run.path} is another process's now: {new}"
    assert not (run.path / "outcome.json").exists()
    assert_whole(run.path.with_name("mine-2"))


@pytest.mark.parametrize(
    ("deed", "named"),
    [
        (lambda path: (path / "metrics.jsonl").unlink(), "metrics.jsonl"),
        (lambda path: (path / "metrics.jsonl").rename(path / "old.jsonl"), "metrics.jsonl"),
        (lambda path: shutil.rmtree(path / "checkpoints"), "checkpoints"),
        (lambda path: (path / "checkpoints").rename(path / "kept"), "checkpoints"),
        (
            lambda path: [(path / name).unlink() for name in ("recipe.toml", "run.json")],
            "recipe.toml, run.json",
        ),
    ],
)
def test_what_is_taken_out_of_the_folder_is_put_back(
    run: Run, deed: Callable[[Path], object], named: str
) -> None:
    (told,) = run.trained(deed)
    assert told == f"taken out of the run's folder, and put back: {named}"
    assert_whole(run.path)


def test_a_log_that_somebody_has_put_in_place_of_it_is_kept_beside_it(run: Run) -> None:
    def edited(path: Path) -> None:
        (path / "new").write_text("mine\n")
        (path / "new").replace(path / "metrics.jsonl")

    run.trained(edited)
    assert_whole(run.path)
    assert (run.path / "metrics.jsonl.1").read_text() == "mine\n"


def test_a_checkpoint_that_somebody_removes_alone_stays_away(run: Run) -> None:
    assert run.trained(lambda path: (path / "checkpoints" / "best.pt").unlink()) == []


def test_the_lock_is_taken_anew_where_it_was_removed(run: Run) -> None:
    refused: list[str] = []

    def deed(path: Path) -> None:
        (path / "lock").unlink()
        run.look()
        with pytest.raises(RunError, match="is being trained by process"):
            RunDirectory.open(path.parent, "mine")
        refused.append("yes")

    assert run.trained(deed) == []
    assert refused
    assert_whole(run.path)


def test_it_is_told_while_the_run_goes_on(run: Run) -> None:
    told: list[str] = []
    run.saving.log.tend = run.look
    here = run.path.with_name("renamed")

    class Waits(Silent):
        def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
            if batches_done == 10:
                run.path.rename(here)
                while run.directory.path != here:  # the log's own thread sees to it
                    os.sched_yield()
                run.look()  # it has told, too
            if batches_done == 11:
                assert told

        def change(self, change: Any) -> None:
            told.append(change.text)

    session = Session(run.training, Waits(), saving=run.saving)
    assert session.run().state is State.FINISHED
    assert_whole(here)


def test_where_no_new_folder_can_be_made_it_says_so_once_and_trains_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deed(path: Path) -> None:
        shutil.rmtree(path.parent)
        path.parent.write_text("a file in its place")

    told = run.trained(deed)
    assert f"{run.path} is gone or damaged, and can't be mended: File exists" in told[0]
    assert sum("can't be mended" in text for text in told) == 1
    assert sorted(run.saving.unkept) == ["checkpoint", "log", "outcome"]


def test_on_a_full_disk_nobody_is_said_to_have_touched_the_folder(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunDirectory, "put_back", failing(errno.ENOSPC))
    told = run.trained(lambda path: None)
    full = f"the run's folder {run.path} takes no more: No space left on device; training goes on"
    assert told == [full]


def test_the_best_weights_are_those_that_were_saved(run: Run) -> None:
    best: list[dict[str, Any]] = []

    def deed(path: Path) -> None:
        best.append(checkpoint.load(path / "checkpoints" / "best.pt"))
        run.saving._store.save_best = failing(errno.ENOSPC)  # type: ignore[method-assign]
        shutil.rmtree(path)

    run.trained(deed)
    kept = checkpoint.load(run.path / "checkpoints" / "best.pt")
    assert all(torch.equal(kept["model"][name], one) for name, one in best[0]["model"].items())
