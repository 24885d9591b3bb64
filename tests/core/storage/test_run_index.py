"""A list of runs: how far each came and whether it can go on, whatever has become of its files."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from fivestep.core.protocol import record_fields
from fivestep.core.protocol.snapshot import Best, EpochSummary
from fivestep.core.protocol.steps import Task
from fivestep.core.session.clock import Clock
from fivestep.core.session.recorder import Recorder
from fivestep.core.storage.log_file import line
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.core.storage.run_index import export_rows, list_runs, newest, summary, write_csv
from fivestep.core.storage.run_log import RunLog

META: dict[str, Any] = {
    "format": 1,
    "preset": "digits-cnn",
    "started": 1000.0,
    "epochs": 9,
    "metric_name": "accuracy",
}
OUTCOME: dict[str, Any] = {
    "state": "finished",
    "reason": "9 epochs trained",
    "epochs": 9,
    "batches": 90,
    "val_loss": 0.3,
    "best_metric": 0.97,
    "best_epoch": 8,
}


def make(folder: Path, name: str, **meta: Any) -> RunDirectory:
    run = RunDirectory.create(folder, name, "digits-cnn")
    run.write_meta(META | {"name": name} | meta)
    return run


def train(run: RunDirectory, epochs: int, more: int = 0) -> None:
    """Log epochs of 10 batches; the third is the best."""
    log = RunLog(run.metrics, run.events, every=30)
    record = Recorder(Task(), Clock(), log=log)
    for epoch in range(1, epochs + 2):
        for batch in range(1, 11 if epoch <= epochs else more + 1):
            done = 10 * (epoch - 1) + batch
            loss = math.nan if done == 2 else 1 / done
            record.batch(epoch, batch, done, loss, 0.1, perf_counter())
        if epoch <= epochs:
            metrics = (("accuracy", 0.9 - abs(epoch - 3) / 10), ("=cmd()", -1.5))
            summary = EpochSummary(epoch, 10, 10 * epoch, 0.5, 0.4, metrics, 1.0, 10.0, 0.1)
            best = min(epoch, 3)
            log.epoch(summary, Best(0.9 - (3 - best) / 10, best), Best(0.4, 1))
    log.close()


def save(run: RunDirectory, *names: str) -> None:
    run.checkpoints.mkdir()
    for name in names:
        (run.checkpoints / name).write_bytes(b"12345")


def test_a_finished_run_is_told_by_its_outcome(tmp_path: Path) -> None:
    with make(tmp_path, "one") as run:
        run.write_outcome(OUTCOME)
        save(run, "batch-000000090.pt", "best.pt", ".batch-000000091.pt.77-0123abcd.tmp")
    (found,) = list_runs(tmp_path)
    assert (found.name, found.preset, found.state) == ("one", "digits-cnn", "finished")
    assert (found.epochs, found.epochs_planned, found.batches_done) == (9, 9, 90)
    assert (found.metric_name, found.best, found.best_epoch) == ("accuracy", 0.97, 8)
    assert (found.val_loss, found.reason, found.started) == (0.3, "9 epochs trained", 1000.0)
    assert found.checkpoints == 2
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert found.size == sum(path.stat().st_size for path in files)
    assert not found.resumable


def test_a_crashed_run_is_told_by_its_log(tmp_path: Path) -> None:
    with make(tmp_path, "one") as run:
        train(run, 5, more=4)
        save(run, "batch-000000050.pt")
        running = summary(run.path)
    crashed = summary(run.path)
    assert (running.state, running.resumable) == ("running", False)
    assert (crashed.state, crashed.resumable) == ("crashed", True)
    assert crashed.saved == 50
    for found in (running, crashed):
        assert (found.epochs, found.batches_done) == (5, 54)
        assert (found.best, found.best_epoch, found.val_loss) == (0.9, 3, 0.4)
        assert found.reason == ""


def test_a_run_without_a_checkpoint_cannot_be_resumed(tmp_path: Path) -> None:
    with make(tmp_path, "one") as run:
        run.write_outcome(OUTCOME | {"state": "stopped"})
    save(run, "best.pt")
    assert not summary(run.path).resumable, "it holds only weights"
    (run.checkpoints / "batch-000000050.pt").write_bytes(b"12345")
    assert summary(run.path).resumable


def test_the_end_of_a_log_is_enough(tmp_path: Path) -> None:
    """Its beginning is not even read: a hole of gigabytes costs no time."""
    with make(tmp_path, "one") as run:
        train(run, 1, more=3)
        end = run.metrics.read_bytes()
        with run.metrics.open("wb") as file:
            file.truncate(1 << 32)
            file.seek(0, 2)
            file.write(b"\n" + end)
    assert (summary(run.path).batches_done, summary(run.path).epochs) == (13, 1)


def test_before_its_first_epoch_ends_a_run_has_none(tmp_path: Path) -> None:
    with make(tmp_path, "one") as run:
        train(run, 0, more=3)
    found = summary(run.path)
    assert (found.batches_done, found.epochs, found.best) == (3, 0, None)


def test_the_newest_comes_first(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert list_runs(tmp_path / "nowhere") == []
    for name, started in (("b", 2.0), ("c", 1.0), ("a", 3.0), ("d", 2.0)):
        make(tmp_path, name, started=started).close()
    assert [run.name for run in list_runs(tmp_path)] == ["a", "d", "b", "c"]
    assert newest(tmp_path) == "a"


def test_what_is_no_run_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "one").close()
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "one")
    (tmp_path / "x\x1b[2J").mkdir()
    (tmp_path / "x\x1b[2J" / "lock").touch()
    assert [run.name for run in list_runs(tmp_path)] == ["one"]


@pytest.mark.parametrize("file", ["run.json", "outcome.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"a":' * 9999, b"\0" * 99],
    ids=["empty", "another type", "too deep", "zeros"],
)
def test_a_damaged_run_is_listed_as_unreadable(tmp_path: Path, file: str, content: bytes) -> None:
    with make(tmp_path, "one") as run:
        train(run, 1)
        run.write_outcome(OUTCOME)
        save(run, "batch-000000050.pt")
        (run.path / file).write_bytes(content)
    (found,) = list_runs(tmp_path)
    assert (found.name, found.state, found.resumable) == ("one", "unreadable", False)


def test_a_run_of_a_newer_fivestep_is_marked_and_does_not_hide_the_others(tmp_path: Path) -> None:
    make(tmp_path, "new", format=2).close()
    make(tmp_path, "old", started=1.0).close()
    new, old = list_runs(tmp_path)
    assert (new.name, new.state, old.name, old.state) == ("new", "unreadable", "old", "crashed")
    assert new.reason == "run new was kept by a newer fivestep (format 2, this one knows 1)"


def test_a_run_killed_before_it_wrote_anything_is_crashed(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, "one", "digits-cnn").close()
    (found,) = list_runs(tmp_path)
    assert (found.state, found.started, found.batches_done) == ("crashed", None, 0)


def test_values_of_any_type_make_a_clean_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # hundreds of them
    dice = random.Random(5)
    values = [
        *(None, True, -1, 10**400, 1e308, "\x1b]0;x\x07", "a\nb" * 500, [1], {"a": 1}, "finished"),
    ]
    run = make(tmp_path, "one")
    run.close()
    for _ in range(100):
        with RunDirectory.open(tmp_path, "one") as run:
            meta = {key: dice.choice(values) for key in record_fields.RUN}
            run.write_meta(meta | {"format": 1})  # a newer one is not opened at all
            run.write_outcome({key: dice.choice(values) for key in record_fields.OUTCOME})
        run.metrics.write_bytes(
            line({key: dice.choice(values) for key in ("type", "epoch", "batches_done")})
        )
        if dice.random() < 0.5:
            run.clear_outcome()
        found = summary(run.path)
        assert (found.preset + found.reason + found.metric_name + found.state).isprintable()
        assert len(found.reason) <= 200
        for number in (found.started, found.best, found.val_loss):
            assert number is None or math.isfinite(number)
        assert found.epochs >= 0
        assert found.batches_done >= 0


def test_every_batch_and_window_is_exported(tmp_path: Path) -> None:
    with make(tmp_path, "one") as run:
        train(run, 4, more=3)
    rows = list(export_rows(run, "batches"))
    assert [row["batches_done"] for row in rows] == [*range(1, 31), 40, 43]
    assert [rows[1][key] for key in ("batches", "loss", "loss_min", "loss_max", "bad")] == [
        *(1, None, None, None, 1),
    ]
    window = rows[-2]
    assert (window["batches"], window["loss_min"], window["loss_max"]) == (10, 1 / 40, 1 / 31)
    assert window["loss"] == pytest.approx(sum(1 / n for n in range(31, 41)) / 10)


@pytest.mark.parametrize("kind", ["batches", "epochs"])
def test_csv_holds_numbers_only(tmp_path: Path, kind: Any) -> None:
    with make(tmp_path, "one") as run:
        train(run, 4)
        with run.metrics.open("ab") as file:
            evil = {"type": "epoch", "epoch": "=cmd()", "metrics": {"@x": "+1", "\n,": 1}}
            file.write(line(evil) + line(evil | {"type": "batch", "batch": "=1+1"}))
    stream = io.StringIO(newline="")
    write_csv(run, stream, kind)
    text = stream.getvalue()
    assert text.count("\r\n") == text.count("\n")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert len(rows) == (32 if kind == "batches" else 5)
    assert all(len(row) == len(header) for row in rows)
    for name in header:
        assert name[0].isalpha()
    for cell in (cell for row in rows for cell in row):
        assert cell == "" or math.isfinite(float(cell))
    if kind == "epochs":
        third = dict(zip(header, rows[2], strict=True))
        assert third["metrics.accuracy"] == third["best_metric"] == "0.9"
        assert third["metrics.=cmd()"] == "-1.5"


def test_a_run_without_a_log_has_nothing_to_export(tmp_path: Path) -> None:
    with make(tmp_path, "one") as run, pytest.raises(ValueError, match="can't be read: No such"):
        write_csv(run, io.StringIO(), "epochs")


def test_links_and_pipes_are_not_followed(tmp_path: Path) -> None:
    with make(tmp_path, "one") as run:
        run.checkpoints.symlink_to("/")
        os.mkfifo(run.metrics)
    (found,) = list_runs(tmp_path)
    assert found.checkpoints == 0


def test_a_run_that_can_not_be_read_does_not_hide_the_others() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are root's alone
        runs = Path(folder)
        runs.chmod(0o755)
        for name in ("one", "closed", "two"):
            make(runs, name).close()
        (runs / "closed").chmod(0)
        with _as_nobody():
            found = {run.name: run for run in list_runs(runs)}
        (runs / "closed").chmod(0o755)
    assert sorted(found) == ["closed", "one", "two"]
    assert (found["closed"].state, found["closed"].reason) == ("unreadable", "Permission denied")
    assert found["one"].state == found["two"].state == "crashed"


@contextlib.contextmanager
def _as_nobody() -> Iterator[None]:
    """Without root's leave to read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
