"""The folder of checkpoints: which ones stay, and which one a run goes on from."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from doing import failing  # tests is on the path
from faults import f01_kill_while_saving

from fivestep.core.storage import checkpoint
from fivestep.core.storage.checkpoint import CheckpointError, CheckpointStore
from fivestep.core.storage.files import replacing


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "run" / "checkpoints")


def state(batches_done: int) -> dict[str, Any]:
    progress = {"batches_done": batches_done}
    return {"progress": progress, "weights": torch.full((3,), float(batches_done))}


def names(store: CheckpointStore) -> list[str]:
    return sorted(path.name for path in store.folder.iterdir())


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_newest_two_stay_besides_epochs_and_the_best(store: CheckpointStore) -> None:
    for number in (10, 20, 30):
        store.save_best(state(number - 1))
        store.save_last(state(number), number)
        store.save_epoch(state(number), number // 10)
    epochs = ["epoch-0001.pt", "epoch-0002.pt", "epoch-0003.pt"]
    assert names(store) == ["batch-000000020.pt", "batch-000000030.pt", "best.pt", *epochs]
    assert store.newest().batches_done == 30
    assert store.best()["weights"][0] == 29
    assert store.last_batch() == 30


def test_as_many_stay_as_asked_for(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=1)
    store.save_last(state(1), 1)
    path = store.save_last(state(10**9), 10**9)
    assert names(store) == [path.name] == ["batch-1000000000.pt"]
    with pytest.raises(ValueError, match="keep must be at least 1, not 0"):
        CheckpointStore(tmp_path, keep=0)


def test_saving_again_at_a_batch_replaces(store: CheckpointStore) -> None:
    store.save_last(state(5) | {"factor": 1.0}, 5)
    store.save_last(state(5) | {"factor": 0.5}, 5)
    assert names(store) == ["batch-000000005.pt"]
    assert store.newest().state["factor"] == 0.5


def test_an_old_one_goes_only_when_the_new_one_is_there(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        store.save_last(state(number), number)

    for call in ("write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing(errno.ENOSPC))
            with pytest.raises(OSError, match="No space left"):
                store.save_last(state(3), 3)
        assert names(store) == ["batch-000000001.pt", "batch-000000002.pt"]
    store.save_last(state(3), 3)
    assert names(store) == ["batch-000000002.pt", "batch-000000003.pt"]


def test_an_old_one_that_will_not_go_does_no_harm(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        store.save_last(state(number), number)
    monkeypatch.setattr(os, "unlink", failing(errno.EPERM))
    store.save_last(state(3), 3)
    assert store.newest().batches_done == 3


def test_a_damaged_newest_one_is_passed_over_and_told(store: CheckpointStore) -> None:
    store.save_epoch(state(1), 1)
    for number in (2, 3):
        store.save_last(state(number), number)
    assert store.newest().skipped == ()
    spoil(store.folder / "batch-000000003.pt")
    found = store.newest()
    assert (found.batches_done, found.path.name) == (2, "batch-000000002.pt")
    damaged = "damaged, or not a checkpoint of fivestep: its digest is not right"
    assert found.skipped == (f"batch-000000003.pt: {damaged}",)
    (store.folder / "batch-000000002.pt").write_bytes(b"")
    found = store.newest()
    assert (found.batches_done, found.path.name) == (1, "epoch-0001.pt")
    assert len(found.skipped) == 2
    spoil(store.folder / "epoch-0001.pt")
    with pytest.raises(CheckpointError) as caught:
        store.newest()
    assert str(caught.value).count(damaged) == 3


def test_a_damaged_one_with_a_high_number_does_not_count(tmp_path: Path) -> None:
    """What the run saves after it went back stays, and becomes the newest good one."""
    store = CheckpointStore(tmp_path, keep=1)
    store.save_last(state(9), 9)
    spoil(tmp_path / "batch-000000009.pt")
    for number in (5, 6):
        store.save_last(state(number), number)
    assert names(store) == ["batch-000000006.pt", "batch-000000009.pt"]
    assert store.newest().batches_done == 6


def test_an_epoch_may_be_the_newest(store: CheckpointStore) -> None:
    store.save_last(state(90), 90)
    store.save_epoch(state(50), 1)
    assert store.newest().path.name == "batch-000000090.pt"
    store.save_epoch(state(100), 2)
    assert store.newest().path.name == "epoch-0002.pt"
    store.save_last(state(100), 100)
    assert store.newest().path.name == "batch-000000100.pt"


def test_a_line_that_was_given_up_is_removed(store: CheckpointStore) -> None:
    for number in (100, 200):
        store.save_epoch(state(number), number // 100)
    store.save_epoch(state(300), 3)
    spoil(store.folder / "epoch-0003.pt")
    for number in (150, 250):
        store.save_last(state(number), number)
    gone = store.rewind(150)
    assert [path.name for path in gone] == ["batch-000000250.pt", "epoch-0003.pt", "epoch-0002.pt"]
    assert names(store) == ["batch-000000150.pt", "epoch-0001.pt"]
    assert store.rewind(150) == ()


def test_nothing_saved_yet(store: CheckpointStore) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint has been saved yet"):
        store.newest()
    with pytest.raises(CheckpointError, match=r"^best\.pt: No such file"):
        store.best()
    assert store.last_batch() is None
    assert store.sweep() == []


def test_a_folder_that_can_not_be_read(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save_last(state(1), 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing(errno.EIO))
        store.save_last(state(2), 2)
        assert store.last_batch() is None
        with pytest.raises(CheckpointError, match=r"^checkpoints: Input/output error$"):
            store.newest()
    assert store.newest().batches_done == 2


def test_other_names_and_links_are_left_alone(store: CheckpointStore, tmp_path: Path) -> None:
    store.save_last(state(1), 1)
    checkpoint.save(tmp_path / "outside.pt", state(99))
    (store.folder / "batch-000000099.pt").symlink_to(tmp_path / "outside.pt")
    (store.folder / "batch-000000098.pt").mkdir()
    for name in ("batch-9.pt", "batch-0000000097.pt", "batch-٠٠٠٠٠٠٠٩٧.pt", "batch-000000096.pt.x"):
        checkpoint.save(store.folder / name, state(97))
    assert store.newest().batches_done == 1
    assert store.newest().skipped == ()
    before = names(store)
    store.rewind(1)
    store.save_last(state(2), 2)
    store.save_last(state(3), 3)
    left = {"batch-000000002.pt", "batch-000000003.pt"}
    assert set(names(store)) == set(before) - {"batch-000000001.pt"} | left
    assert (tmp_path / "outside.pt").exists()


def test_sweeping_takes_what_the_dead_left_and_nothing_else(
    store: CheckpointStore, tmp_path: Path
) -> None:
    store.save_last(state(1), 1)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = store.folder / f".best.pt.{dead.pid}-0123abcd.tmp"
    again = store.folder / f".best.pt.{os.getpid()}-0123abcd.tmp"  # our number, not our file
    odd = store.folder / ".best.pt.99999999999999-0123abcd.tmp"
    for path in (gone, again, odd):
        path.touch()
    link = store.folder / f".best.pt.{dead.pid}-0123abce.tmp"
    link.symlink_to(tmp_path)
    with replacing(store.folder / "best.pt") as fd:
        os.write(fd, b"still being written")
        assert store.sweep() == sorted([gone, again])
    assert names(store) == sorted([link.name, odd.name, "batch-000000001.pt", "best.pt"])


def test_killed_while_saving() -> None:
    """At random moments, and stopped at every system call: see the campaign."""
    result = f01_kill_while_saving.campaign(20, seed=1)
    assert (result.trials, result.lost) == (20, 0), result.notes
