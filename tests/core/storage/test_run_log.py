"""Every batch is logged, then windows of them; a resumed log equals an uninterrupted one."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from fivestep.core.protocol.record_fields import EVENTS, METRICS
from fivestep.core.protocol.snapshot import Change, EpochSummary
from fivestep.core.protocol.steps import Task
from fivestep.core.session.clock import Clock
from fivestep.core.session.recorder import Recorder
from fivestep.core.storage.batch_lines import width
from fivestep.core.storage.log_file import read_log
from fivestep.core.storage.run_log import RunLog

Records = list[dict[str, Any]]
TIMES = {"elapsed", "seconds", "batches_per_second", "time"}
PER_EPOCH = 7


def open_log(folder: Path, *, every: int = 20, **others: Any) -> RunLog:
    folder.mkdir(exist_ok=True)
    return RunLog(folder / "metrics.jsonl", folder / "events.jsonl", every=every, **others)


def metrics(folder: Path) -> Records:
    return list(read_log(folder / "metrics.jsonl"))


def loss(done: int) -> float:
    """A loss with NaN, infinity and spikes at known batches."""
    return {33: math.nan, 57: 1e9, 58: -math.inf, 210: -1e9}.get(done, 1 / done)


def summary(epoch: int, **others: Any) -> EpochSummary:
    fields: dict[str, Any] = {
        "epoch": epoch,
        "batches": PER_EPOCH,
        "batches_done": epoch * PER_EPOCH,
        "train_loss": 1 / epoch,
        "val_loss": abs(epoch - 5.0),
        "metrics": (("accuracy", 0.9 - abs(epoch - 4) / 100), ("mae", 0.1)),
        "seconds": 0.5,
        "batches_per_second": 14.0,
        "lr": 0.1,
    }
    return EpochSummary(**(fields | others))


def feeding(log: RunLog, groups: tuple[str, ...] = ()) -> Recorder:
    """What tells a log of batches."""
    return Recorder(Task(), Clock(), log=log, groups=groups)


def train(log: RunLog, first: int, last: int, *groups: str) -> Iterator[int]:
    """Tell batches first to last; yields behind each batch, and behind each epoch."""
    record = feeding(log, groups)
    lrs = tuple(0.1 / 10**i for i, _ in enumerate(groups))
    for done in range(first, last + 1):
        epoch, batch = divmod(done - 1, PER_EPOCH)
        record.batch(epoch + 1, batch + 1, done, loss(done), 0.1, perf_counter(), lrs)
        yield done
        if batch + 1 == PER_EPOCH:
            log.epoch(summary(epoch + 1))
            yield done


def run(log: RunLog, first: int, last: int, *groups: str) -> None:
    for _ in train(log, first, last, *groups):
        pass


def logged(folder: Path, last: int) -> Records:
    """The metrics of a run of so many batches."""
    log = open_log(folder)
    run(log, 1, last)
    log.close()
    return metrics(folder)


def state_of(log: RunLog) -> dict[str, Any]:
    state = log.state()
    log.flush()
    return state


def timeless(records: Records) -> Records:
    return [{k: v for k, v in record.items() if k not in TIMES} for record in records]


def test_widths_grow_by_decades() -> None:
    edges = [1, 100_000, 100_001, 1_000_000, 1_000_001, 10_000_000, 10_000_001]
    assert [width(done) for done in edges] == [1, 1, 10, 10, 100, 100, 1000]


def test_every_batch_is_a_record_up_to_the_limit_then_windows(tmp_path: Path) -> None:
    found = [record for record in logged(tmp_path, 423) if record["type"] != "epoch"]
    ends = [record["batches_done"] for record in found]
    assert ends == [*range(1, 21), *range(30, 201, 10), 300, 400, 423]
    assert [record["type"] for record in found] == ["batch"] * 20 + ["window"] * 21
    assert [record for record in found if "partial" in record] == found[-1:]
    assert found[4] | {"elapsed": 0} == {
        **{"type": "batch", "epoch": 1, "batch": 5, "batches_done": 5, "loss": 0.2, "lr": 0.1},
        "elapsed": 0,
    }
    at_40 = found[21]
    assert [at_40[key] for key in ("batches", "epoch", "batch", "bad")] == [10, 6, 5, 1]
    assert (at_40["loss_min"], at_40["loss_max"]) == (1 / 40, 1 / 31)
    good = [1 / done for done in range(31, 41) if done != 33]
    assert at_40["loss_mean"] == pytest.approx(sum(good) / 9, rel=1e-15)
    assert sum(record.get("batches", 1) for record in found) == 423


def test_no_spike_and_no_nan_is_averaged_away(tmp_path: Path) -> None:
    windows = [record for record in logged(tmp_path, 400) if record["type"] == "window"]
    assert max(record["loss_max"] for record in windows) == 1e9
    assert min(record["loss_min"] for record in windows) == -1e9
    assert sum(record["bad"] for record in windows) == 2


def test_a_window_of_nothing_but_nan_says_null(tmp_path: Path) -> None:
    log = open_log(tmp_path, every=1)
    record = feeding(log)
    for done in range(1, 12):
        record.batch(1, done, done, math.nan, math.nan, perf_counter())
    log.close()
    first, *rest = metrics(tmp_path)
    assert first["loss"] is None
    assert first["lr"] is None
    assert [record["batches_done"] for record in rest] == [10, 11]
    for window in rest:
        assert [window[key] for key in ("loss_min", "loss_mean", "loss_max", "lr")] == [None] * 4
        assert window["bad"] == window["batches"]


def test_batches_that_were_never_told_leave_their_windows_short(tmp_path: Path) -> None:
    log = open_log(tmp_path, every=5)
    record = feeding(log)
    for done in (1, 2, 4, 7, 9, 11, 12, 13, 35):
        record.batch(1, done, done, 1.0, 0.1, perf_counter())
    log.close()
    found = [(line["batches_done"], line.get("batches")) for line in metrics(tmp_path)]
    assert found == [(1, None), (2, None), (4, None), (9, 2), (13, 3), (35, 1)]


def test_how_batches_are_handed_over_changes_nothing(tmp_path: Path) -> None:
    """What a window says depends on its batches alone: not on when the log was written."""
    for number, flush_every in enumerate((1, 3, 64, 1000)):
        log = open_log(tmp_path / str(number))
        for done in train(log, 1, 460):
            if done % flush_every == 0:
                log.flush()
        log.close()
    first = timeless(metrics(tmp_path / "0"))
    assert all(timeless(metrics(tmp_path / str(n))) == first for n in (1, 2, 3))


def test_a_log_resumed_at_any_batch_equals_the_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # hundreds of them
    last = 226
    whole = open_log(tmp_path / "whole", interval=3600)
    states, files = [], []
    for done in train(whole, 1, last):
        states.append((done, json.dumps(state_of(whole))))
        files.append((tmp_path / "whole" / "metrics.jsonl").read_bytes())
    whole.close()
    wanted = timeless(metrics(tmp_path / "whole"))
    files.append((tmp_path / "whole" / "metrics.jsonl").read_bytes())  # ends in a partial window
    assert wanted[-1]["partial"]
    part = tmp_path / "part"
    for index, (done, state) in enumerate(states):
        # It got further before it was killed: nothing, a little or up to its end, torn or not.
        later = files[min(index + 9, len(files) - 1)][:-3]
        part.mkdir(exist_ok=True)
        (part / "metrics.jsonl").write_bytes((files[index], later, files[-1])[index % 3])
        log = open_log(part, interval=3600)
        log.restore(json.loads(state))
        if done % PER_EPOCH == 0 and json.loads(state)["epochs"] * PER_EPOCH < done:
            log.epoch(summary(done // PER_EPOCH))  # the state was taken before its end
        run(log, done + 1, last)
        log.close()
        assert timeless(metrics(part)) == wanted, done
    assert not list(read_log(part / "events.jsonl"))


def test_elapsed_goes_on_after_a_resume(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    run(log, 1, 5)
    state = state_of(log) | {"elapsed": 1000.0}
    log.close()
    log = open_log(tmp_path)
    assert log.restore(state) == 0
    run(log, 6, 6)
    log.close()
    assert metrics(tmp_path)[-1]["elapsed"] >= 1000


def test_a_rewind_takes_back_what_came_after(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    run(log, 1, 33)
    state = log.state()  # a rewind completes it
    run(log, 34, 61)
    assert log.restore(state, rewinding=True) == 0
    run(log, 34, 61)
    log.close()
    assert timeless(metrics(tmp_path)) == timeless(logged(tmp_path / "straight", 61))


def test_a_log_that_ends_before_the_checkpoint_tells_what_it_lacks(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    run(log, 1, 6)
    text = (tmp_path / "metrics.jsonl", log.flush())[0].read_bytes()
    run(log, 7, 25)
    state = state_of(log)
    log.close()
    (tmp_path / "metrics.jsonl").write_bytes(text)
    log = open_log(tmp_path)
    assert log.restore(state) == 14
    log.close()


def test_each_parameter_group_s_learning_rate_is_logged_by_name_and_gone_on_with(
    tmp_path: Path,
) -> None:
    groups = ('100 % "x"', "head")
    log = open_log(tmp_path)
    run(log, 1, 33, *groups)
    state = state_of(log)
    log.close()
    log = open_log(tmp_path)
    log.restore(state)
    log.close()
    found = [record for record in metrics(tmp_path) if record["type"] != "epoch"]
    assert [record["type"] for record in found[-2:]] == ["window", "window"]
    assert all(record["lrs"] == {'100 % "x"': 0.1, "head": 0.01} for record in found)


def test_every_field_is_documented_and_every_documented_field_is_written(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    run(log, 1, 45, "body", "head")
    log.change(Change(12.5, 2, 9, "lr ÷2 → 5.0e-4\x1b[2J", "lr"))
    log._metrics._dropped = log._events._dropped = 3
    log.close()
    for name, table in (("metrics", METRICS), ("events", EVENTS)):
        written: dict[str, set[str]] = {}
        for row in (tmp_path / f"{name}.jsonl").read_text().splitlines():
            first, *rest = json.loads(row)
            assert first == "type"
            written.setdefault(json.loads(row)["type"], set()).update(rest)
        assert written == {kind: {*fields, "crc"} for kind, fields in table.items()}
    change = next(iter(read_log(tmp_path / "events.jsonl")))
    assert change["text"] == "lr ÷2 → 5.0e-4[2J"


def test_the_writer_writes_without_being_asked(tmp_path: Path) -> None:
    log = open_log(tmp_path, interval=0.001)
    run(log, 1, 3)
    while not (tmp_path / "metrics.jsonl").read_bytes():
        pass
    log.close()
    log.close()
    assert len(metrics(tmp_path)) == 3


def test_the_training_goes_on_with_the_log_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    log = RunLog(Path("/dev/full"), tmp_path / "events.jsonl")
    run(log, 1, 500)
    assert not log.flush()
    assert log.error == "No space left on device"
    log.close()
    assert log.lost == 500 + 500 // PER_EPOCH


# Its thread takes batches while they are noted.


def test_a_state_is_completed_where_it_was_asked_for(tmp_path: Path) -> None:
    log = open_log(tmp_path, every=2000, interval=3600)
    run(log, 1, 1995)
    states = []
    for done in range(1996, 2035):
        run(log, done, done)
        states.append(log.state())
    assert log.flush()
    assert [state["batches_done"] for state in states] == [*range(1996, 2035)]
    open_windows = [state["window"].get("batches", 0) for state in states]
    one_to_nine = [*range(1, 10)]
    assert open_windows == [0] * 5 + [*one_to_nine, 0] * 3 + [1, 2, 3, 4]
    log.close()


def test_the_writer_may_come_at_any_moment(tmp_path: Path) -> None:
    """It takes batches while they are told, without a lock."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        log = open_log(tmp_path, interval=1e-5)
        record = feeding(log)
        states = []
        for done in range(1, 20_001):
            lr = 0.1 + done // 3
            record.batch(1 + (done - 1) // 7, done, done, 1 / done, lr, perf_counter())
            if done % 5 == 0:
                states.append(log.state())
        log.close()
    finally:
        sys.setswitchinterval(before)
    found = metrics(tmp_path)
    assert sum(line.get("batches", 1) for line in found) == 20_000
    for line in found:
        done = line["batches_done"]
        assert (line["epoch"], line["batch"]) == (1 + (done - 1) // 7, done)
        assert line["lr"] == 0.1 + done // 3
    for done, state in zip(range(5, 20_001, 5), states, strict=True):
        wide = width(done, 20)
        assert state["window"].get("batches", 0) == (done % wide if wide > 1 else 0)


# A long run: bounded in memory, and small on the disk.


def test_what_waits_in_memory_is_bounded(tmp_path: Path) -> None:
    log = open_log(tmp_path, every=1000, interval=3600)
    most = 0
    record = feeding(log)
    for done in range(1, 60_001):
        record.batch(1, done, done, 0.5, 0.1, perf_counter())
        most = max(most, log.waiting)
    log.close()
    assert most < 25_000
    assert sum(line.get("batches", 1) for line in metrics(tmp_path)) == 60_000


def test_ten_million_batches_stay_under_100_mb(tmp_path: Path) -> None:
    """From a run a hundredth as long with the limit a hundredth as high: the counts scale."""
    log = open_log(tmp_path, every=1000)
    record = feeding(log)
    for done in range(1, 100_001):
        loss = 0.123456789012345678 / done
        record.batch(12_345, 100_000 + done, done, loss, 1.2345678901e-05, perf_counter())
    log.close()
    size = (tmp_path / "metrics.jsonl").stat().st_size
    found = metrics(tmp_path)
    assert len(found) == 1000 + 900 + 900
    longer_numbers = 10 * len(found)
    assert 100 * (size + longer_numbers) < 100e6
