"""Saving in the background: the training never waits, and nothing that was submitted gets lost."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from fivestep.core.storage import checkpoint_writer as module
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.checkpoint_writer import CheckpointWriter


def state(number: int) -> dict[str, Any]:
    return {"progress": {"batches_done": number}, "weights": torch.zeros(100)}


class Slow(CheckpointStore):
    """A store that waits at a gate before it saves, and whose disk may be full."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gate = threading.Event()
        self.at_gate = threading.Event()
        self.full = False

    def _save(self, name: str, state: Mapping[str, Any]) -> Path:
        self.at_gate.set()
        assert self.gate.wait(10)
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super()._save(name, state)


class Desk:
    """A saver and what it told."""

    def __init__(self, folder: Path) -> None:
        self.store = Slow(folder)
        self.saved: list[tuple[str, int]] = []
        self.failed: list[str] = []
        self.errors: list[Exception] = []
        self.told = threading.Event()
        self.saver = CheckpointWriter(self.store, on_saved=self.save, on_failed=self.fail)

    def save(self, kind: str, number: int) -> None:
        self.saved.append((kind, number))

    def fail(self, text: str, error: Exception) -> None:
        self.failed.append(text)
        self.errors.append(error)
        self.told.set()

    def hold(self) -> None:
        """Have the thread stand at the gate with the checkpoint of epoch 1."""
        self.saver.submit("epoch", state(1), 1)
        assert self.store.at_gate.wait(10)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.store.gate.set()
    desk.store.full = False
    assert desk.saver.close(10)


def test_what_is_submitted_is_saved(desk: Desk) -> None:
    desk.store.gate.set()
    assert not desk.saver.busy
    assert desk.saver.flush(0), "there is nothing to wait for"
    desk.saver.submit("last", state(5), 5)
    assert desk.saver.flush(10)
    assert not desk.saver.busy
    assert desk.saved == [("last", 5)]
    assert desk.store.newest().batches_done == 5
    assert desk.saver.last_seconds > 0


def test_the_training_does_not_wait_and_the_newest_is_saved(desk: Desk) -> None:
    """The best one first, none of a kind that a newer one has replaced, but every epoch."""
    desk.hold()
    for number in (2, 3, 4):
        desk.saver.submit("last", state(number), number)
        desk.saver.submit("epoch", state(number), number)
        desk.saver.submit("best", state(number), number)
    assert desk.saver.busy
    assert not desk.saver.flush(0)
    assert not desk.saved
    desk.store.gate.set()
    assert desk.saver.flush(10)
    waited = [("best", 4), ("last", 4), ("epoch", 2), ("epoch", 3), ("epoch", 4)]
    assert desk.saved == [("epoch", 1), *waited]


def test_epochs_that_wait_do_not_fill_the_memory(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 900)  # two of 400 bytes
    desk.hold()
    for number in (2, 3, 4):
        desk.saver.submit("epoch", state(number), number)
    told = "checkpoint of epoch 2 was given up: the disk is too slow, and newer ones wait"
    assert desk.failed == [told]
    desk.store.gate.set()
    assert desk.saver.flush(10)
    assert desk.saved == [("epoch", 1), ("epoch", 3), ("epoch", 4)]


def test_a_full_disk_is_told_and_forgiven(desk: Desk) -> None:
    desk.store.gate.set()
    desk.saver.submit("last", state(1000), 1000)
    assert desk.saver.flush(10)
    desk.store.full = True
    desk.saver.submit("last", state(1234), 1234)
    assert desk.told.wait(10)
    full = "checkpoint at batch 1,234 could not be saved: No space left on device; "
    assert desk.failed == [full + "training goes on, the last good one is batch 1,000"]
    assert desk.errors[0].errno == errno.ENOSPC  # type: ignore[attr-defined]
    assert not desk.saver.flush(10), "tried again, in vain"
    assert desk.failed[1:] == [full + "the last good one is batch 1,000"]
    assert desk.store.newest().batches_done == 1000
    desk.store.full = False
    assert desk.saver.flush(10)
    assert desk.store.newest().batches_done == 1234


def test_what_failed_is_tried_again_with_the_next(desk: Desk) -> None:
    desk.store.gate.set()
    desk.store.full = True
    for kind in ("epoch", "best", "last"):
        desk.saver.submit(kind, state(1), 1)  # type: ignore[arg-type]
    assert not desk.saver.flush(10)
    assert any(text.startswith("best checkpoint, at batch 1, could") for text in desk.failed)
    assert all(text.endswith("there is none yet") for text in desk.failed)
    desk.store.full = False
    desk.saver.submit("last", state(2), 2)
    assert desk.saver.flush(10)
    assert desk.saved == [("best", 1), ("last", 2), ("epoch", 1)]


def test_a_failed_one_makes_way_for_a_newer_one(desk: Desk) -> None:
    desk.store.full = True
    desk.saver.submit("last", state(1), 1)
    assert desk.store.at_gate.wait(10)
    desk.saver.submit("last", state(2), 2)
    desk.store.gate.set()
    assert not desk.saver.flush(10)
    desk.store.full = False
    assert desk.saver.flush(10)
    assert desk.saved == [("last", 2)]


def test_what_a_run_went_back_behind_is_forgotten(desk: Desk) -> None:
    desk.hold()
    desk.saver.submit("epoch", state(2), 2)
    desk.saver.discard(0)
    desk.store.full = True
    desk.store.gate.set()
    desk.saver.discard()
    desk.store.full = False
    assert desk.saver.flush(10)
    assert len(desk.failed) == 1
    assert not desk.saved


def test_a_state_that_can_not_be_kept_stops_nothing(desk: Desk) -> None:
    desk.store.gate.set()
    desk.saver.submit("best", {"scheduler": len}, 1)
    desk.saver.submit("last", state(1), 1)
    assert not desk.saver.flush(10)
    assert "state['scheduler'] is a builtins.builtin_function_or_method" in desk.failed[0]
    assert desk.saved == [("last", 1)]
    desk.saver.submit("best", state(2), 2)


def test_a_callback_that_raises_is_reported_and_stops_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: reported.append(told.exc_value))
    error = RuntimeError("a mistake of the caller's")

    def broken(kind: str, number: int) -> None:
        raise error

    desk.store.gate.set()
    saver = CheckpointWriter(desk.store, on_saved=broken, on_failed=desk.fail)
    for number in (1, 2):
        saver.submit("last", state(number), number)
        assert saver.flush(10)
    assert saver.close(10)
    assert reported == [error, error]


def test_closing_waits_for_the_disk_no_longer_than_told(desk: Desk) -> None:
    desk.hold()
    other = CheckpointWriter(desk.store, on_saved=desk.save, on_failed=desk.fail)
    other.submit("last", state(7), 7)
    assert not other.close(0)
    desk.store.gate.set()
    assert other.close(10)
    assert ("last", 7) in desk.saved
