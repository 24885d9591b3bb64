"""What a run says of its checkpoints, and what is kept when it fails between two batches."""

from __future__ import annotations

import errno
import json
import os
from time import perf_counter

import pytest
from doing import failing
from listeners import Silent  # tests is on the path

from fivestep.core.protocol.commands import Save
from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.checkpoint_writer import CheckpointWriter
from fivestep.core.storage.persistence import Persistence, Policy
from fivestep.core.storage.run_directory import RunDirectory


@pytest.fixture
def directory(tmp_path):
    with RunDirectory.create(tmp_path, "run", "preset") as made:
        yield made


class At(Silent):
    """Does something in the training thread, after some batches."""

    def __init__(self, todo):
        self.todo = todo

    def batch(self, epoch, batch, batches_done, loss, lr):
        if batches_done in self.todo:
            self.todo[batches_done]()


def told(session, kind):
    return [change.text for change in session.latest().changes if change.kind == kind]


def kept(make_training, directory, todo, **options):
    saving = Persistence(directory, Policy(float("inf")))
    session = Session(make_training(**options), At(todo), saving=saving)
    return session, saving


def refusing(monkeypatch):
    """The disk, as something that can be full."""
    replace, full = os.replace, []

    def refuse(*arguments, **options):
        return failing(errno.ENOSPC)() if full else replace(*arguments, **options)

    monkeypatch.setattr("os.replace", refuse)
    return full


def test_a_full_disk_is_told_of_once_and_so_is_its_end(make_training, directory, monkeypatch):
    full = refusing(monkeypatch)

    def fill():
        saving._writer.flush(10)
        full.append(1)

    def due():
        saving._writer.flush(10)
        saving.due = 0.0

    todo = {2: fill, 4: due, 6: due, 8: due, 9: full.clear, 10: due}
    session, saving = kept(make_training, directory, todo)
    assert session.run().state is State.FINISHED
    bad, good = told(session, "warning")
    assert "could not be saved: No space left on device" in bad
    assert good.startswith("checkpoints are saved again, now at batch ")
    assert CheckpointStore(directory.checkpoints).newest().batches_done == 21


def test_a_checkpoint_asked_for_is_told_of_although_another_one_was_being_written(
    make_training, directory
):
    def ask():
        saving.due = 0.0
        session.send(Save())

    session, saving = kept(make_training, directory, {5: ask, 6: ask})
    session.run()
    assert "checkpoint saved at batch" in told(session, "save")[-1]
    assert not saving._asked


def test_checkpoints_that_cost_too_much_come_less_often_and_that_is_told_once(
    make_training, directory, monkeypatch
):
    took = property(lambda _: 3.0, lambda *_: None)
    monkeypatch.setattr(CheckpointWriter, "last_seconds", took, raising=False)
    saving = Persistence(directory, Policy(30.0))

    def due():
        saving.due = 0.0

    session = Session(make_training(), At({4: due, 6: due}), saving=saving)
    session.run()
    (told_once,) = told(session, "warning")
    assert "takes 3 s of a processor: one is written every 300 s, not every 30 s" in told_once
    assert 200 < saving.due - perf_counter() <= 300


def test_whoever_asks_while_the_disk_is_full_gets_an_answer(make_training, directory, monkeypatch):
    full = refusing(monkeypatch)

    def ask():
        saving._writer.flush(10)
        full.append(1)
        session.send(Save())

    session, saving = kept(make_training, directory, {5: ask, 9: ask})
    session.run()
    lost = [text for text in told(session, "warning") if "could not be saved" in text]
    assert len(lost) == 2


def test_what_could_not_be_written_at_the_very_end_is_told_too(
    make_training, directory, monkeypatch
):
    monkeypatch.setattr(directory, "write_outcome", failing(errno.ENOSPC))
    session, _ = kept(make_training, directory, {})
    session.run()
    assert told(session, "warning") == [
        "how the run ended could not be written: No space left on device"
    ]


class Failing(list):
    """Batches that come to an end with an error."""

    def __iter__(self):
        yield from super().__iter__()
        raise OSError("the file server is gone")

    def __len__(self):
        return super().__len__() + 1


def test_a_run_whose_validation_fails_keeps_the_epoch_that_was_trained(make_training, directory):
    training = make_training()
    training.validation = Failing(training.validation)
    session = Session(training, saving=Persistence(directory, Policy(float("inf"))))
    outcome = session.run()
    assert outcome.state is State.FAILED
    assert "validation batch 4" in outcome.where
    progress = CheckpointStore(directory.checkpoints).newest().state["progress"]
    assert (progress["batches_done"], progress["trained"]) == (7, True)
    assert json.loads(directory.outcome.read_text())["saved"]["batches_done"] == 7
