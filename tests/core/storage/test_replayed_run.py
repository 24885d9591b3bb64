"""A run played back: at each batch it is what the run was then, whichever way one has come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.storage import replayed_run
from fivestep.core.storage.kept_run import KeptRun
from fivestep.core.storage.log_file import read_log
from fivestep.core.storage.replayed_run import ReplayedRun
from fivestep.core.storage.run_directory import RunDirectory

from .test_kept_run import ended, until  # noqa: F401


@pytest.fixture
def run(tmp_path: Path, ended: Session, monkeypatch: pytest.MonkeyPatch) -> ReplayedRun:  # noqa: F811
    monkeypatch.setattr(replayed_run, "KEYFRAME_EVERY", 16)
    return ReplayedRun(RunDirectory.look(tmp_path, "one"))


def at(run: ReplayedRun, batch: int):
    return until(run, lambda s: s.batches_done == batch and s.state is State.PAUSED)


def test_it_is_the_same_at_a_batch_from_either_side(run: ReplayedRun, tmp_path: Path) -> None:
    logged = [one for one in read_log(tmp_path / "one" / "metrics.jsonl") if one["type"] == "batch"]
    assert at(run, 0).loss is None
    there = {}
    for batch in range(1, 41):
        run.scrub(1, "batch")
        there[batch] = at(run, batch)
        assert there[batch].loss == logged[batch - 1]["loss"]
    assert there[26].last.epoch == 1, "25 batches an epoch"
    assert there[40].changes
    for batch in range(39, 0, -1):
        run.scrub(-1, "batch")
        assert at(run, batch) == there[batch]


def test_epochs_and_the_ends_are_one_step_away(run: ReplayedRun, tmp_path: Path) -> None:
    at(run, 0)
    for by, unit, batch in (
        (1, "epoch", 25), (1, "epoch", 50), (1, "batch", 51), (-1, "epoch", 50), (-1, "epoch", 25),
        (-1, "epoch", 0), (-1, "batch", 0), (1, "run", 100), (1, "epoch", 100), (1, "batch", 100),
    ):  # fmt: skip
        run.scrub(by, unit)
        at(run, batch)
    whole = KeptRun(RunDirectory.look(tmp_path, "one"))
    last, shown = until(whole, lambda s: s.outcome is not None), at(run, 100)
    here = {"state": State.PAUSED, "saved": None, "outcome": None}
    assert replace(shown, inside=last.inside) == replace(last, **here)


def test_it_plays_to_its_end_and_from_there_anew(
    run: ReplayedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(run, 0)  # 100 batches in 30 s are between 2 and 4 batches/s
    for by, speed in ((-1, 2.0), (1, None), (1, 4.0), (-1, None)):
        run.change_speed(by)
        assert run.speed == speed
    monkeypatch.setattr(replayed_run, "WHOLE", 0.2)
    run.play()
    at(run, 100)
    monkeypatch.setattr(replayed_run, "WHOLE", 1e9)
    run.play()
    until(run, lambda s: s.state is State.RUNNING and s.batches_done == 0)
    run.play()
    at(run, 0)
