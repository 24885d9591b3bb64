"""A run as its files tell it: what its own process showed, also while the files grow or are cut."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fivestep.core.protocol.commands import Pause, Resume, ScaleLR, Show, Stop
from fivestep.core.protocol.snapshot import Snapshot
from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.storage import run_directory
from fivestep.core.storage.batch_lines import BatchBlock, Windows
from fivestep.core.storage.kept_log import KeptLog
from fivestep.core.storage.kept_run import KeptRun
from fivestep.core.storage.log_file import line
from fivestep.core.storage.log_follower import LogFollower
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.presets.recipe import load
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import RunOptions
from fivestep.tui.setup.plan import RecipePlan


def session_in(folder: Path, **changes: object) -> Session:
    plan = RecipePlan(load("line-linear", {"epochs": 4, "device": "cpu", **changes}))
    return RunBuilder.begin(plan, RunOptions(folder, "one")).session(None, "stop")


def until(run: KeptRun, holds: Callable[[Snapshot], bool]) -> Snapshot:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        newest = run.latest()
        if newest is not None and holds(newest):
            return newest
        time.sleep(0.005)
    raise AssertionError(run.latest())


@pytest.fixture
def ended(tmp_path: Path) -> Session:
    session = session_in(tmp_path)
    session.send(ScaleLR(0.5))
    session.run()
    return session


def test_files_tell_what_the_run_itself_has_shown(tmp_path: Path, ended: Session) -> None:
    run = KeptRun(RunDirectory.look(tmp_path, "one"))
    found, shown = until(run, lambda s: s.outcome is not None), ended.snapshot()
    alike = "state epoch batches_done loss recent last val_loss metrics best_metric best_val_loss "
    for name in (alike + "lr lrs changes outcome").split():
        assert getattr(found, name) == getattr(shown, name), name
    curves, live = dict(found.curves), dict(shown.curves)
    for name in ("loss", "epoch_loss", "val_loss", "val_metric"):
        assert curves[name] == live[name], name
    for name in ("data", "model", "parameters", "batches_per_epoch", "batch_size", "criterion"):
        assert getattr(run.info, name) == getattr(ended.info, name), name
    run.send(Show(view="epochs"))
    picture = until(run, lambda s: s.inside.picture is not None).inside.picture
    assert [row.epoch for row in picture.rows] == [1, 2, 3, 4]
    run.close()


def shows_that_it_lives(run: Path) -> None:
    os.utime(run / "lock", (0, 0))
    give_up = time.monotonic() + 60
    while (run / "lock").stat().st_mtime < time.time() - 3600:
        assert time.monotonic() < give_up
        time.sleep(0.005)


def test_a_run_without_checkpoints_shows_that_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_directory, "RENEWED", 0.0)
    kept = KeptLog(RunDirectory.create(tmp_path, "one", "preset"))
    shows_that_it_lives(tmp_path / "one")
    kept.log.close()
    kept.directory.close()


def test_a_run_is_followed_while_it_goes_on_and_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_directory, "RENEWED", 0.0)
    session = session_in(tmp_path, epochs=100_000)
    session.send(Pause())
    session.start()
    run = KeptRun(RunDirectory.look(tmp_path, "one"), "nobody answers")
    until(run, lambda s: any(change.kind == "pause" for change in s.changes))
    assert run.latest().state is State.RUNNING
    shows_that_it_lives(tmp_path / "one")
    session.send(Resume())
    first = until(run, lambda s: s.batches_done > 0)
    until(run, lambda s: s.batches_done > first.batches_done and s.last is not None)
    session.send(Stop())
    last = until(run, lambda s: s.outcome is not None)
    assert session.join(60)
    assert last.outcome == session.outcome
    assert last.batches_done == session.snapshot().batches_done
    run.close()


def test_a_run_whose_process_was_killed_says_so(tmp_path: Path, ended: Session) -> None:
    (tmp_path / "one" / "outcome.json").unlink()
    run = KeptRun(RunDirectory.look(tmp_path, "one"))
    found = until(run, lambda s: s.outcome is not None)
    assert found.outcome.reason == "its process ended in the middle"
    assert run.location.resume_command == "fivestep resume one"
    run.close()


def test_a_run_of_another_machine_may_go_on(tmp_path: Path, ended: Session) -> None:
    (tmp_path / "one" / "outcome.json").unlink()
    (tmp_path / "one" / "lock").write_text("12\nelsewhere\n/run/x.sock\n")
    run = KeptRun(RunDirectory.look(tmp_path, "one"))
    assert until(run, lambda s: s.batches_done > 0).outcome is None
    run.close()


def test_what_an_older_fivestep_kept_is_shown_as_far_as_it_goes(
    tmp_path: Path, ended: Session
) -> None:
    directory = RunDirectory.look(tmp_path, "one")
    text = directory.meta.read_text()
    directory.meta.write_text(text.replace('"info"', '"older"'))
    run = KeptRun(directory)
    assert (run.info.name, run.info.epochs, run.info.batch_size) == ("line-linear", 4, None)
    assert until(run, lambda s: s.outcome is not None).batches_done > 0
    run.close()


def test_a_log_is_read_on_and_anew_where_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    follower = LogFollower(path)
    assert follower.look() == (False, [])
    records = [{"type": "batch", "batches_done": i} for i in range(4)]
    texts = [line(record) for record in records]
    path.write_bytes(b"".join(texts[:3]) + texts[3][:9])
    assert follower.look() == (False, records[:3])
    assert follower.look() == (False, [])
    with path.open("ab") as file:
        file.write(texts[3][9:])
    assert follower.look() == (False, records[3:])
    os.truncate(path, len(texts[0]))
    with path.open("ab") as file:
        file.write(line({"type": "batch", "batches_done": 10}) * 20)
    void, anew = follower.look()
    assert (void, len(anew), anew[0]) == (True, 21, records[0])
    path.unlink()
    assert follower.look() == (True, [])


def test_no_spike_and_no_nan_is_lost_in_windows(tmp_path: Path) -> None:
    block = BatchBlock(1, 1, 1)
    for i in range(30_000):
        block.losses.append(99.0 if i == 20_001 else math.nan if i == 25_001 else 1.0)
        block.lrs.append(0.1)
        block.times.append(float(i))
    folder = tmp_path / "long"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    windows = Windows(every=1000)
    (folder / "metrics.jsonl").write_bytes(b"".join(windows.lines(block, 0, 30_000, 0.0)))
    run = KeptRun(RunDirectory.look(tmp_path, "long"))
    loss = dict(until(run, lambda s: s.batches_done == 30_000).curves)["loss"]
    assert len(loss.x) <= 512
    assert max(loss.high) == 99.0
    assert sum(loss.bad) == 1
    assert min(loss.low) == 1.0
    run.close()
