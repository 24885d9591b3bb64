"""A second process formats what a fast run logs; whatever becomes of it, the log is the same."""

from __future__ import annotations

import io
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from fivestep.core.protocol.snapshot import EpochSummary
from fivestep.core.protocol.steps import Task
from fivestep.core.session.clock import Clock
from fivestep.core.session.recorder import Recorder
from fivestep.core.storage import log_text as logtext
from fivestep.core.storage.block import Block
from fivestep.core.storage.log_file import read_log, unseal
from fivestep.core.storage.run_log import RunLog
from fivestep.core.storage.scribe import Scribe
from fivestep.core.storage.windows import width

PER_EPOCH = 50
LOSSES = [math.nan if done == 7 else 1 / done for done in range(1, 30)]
TIMES = [1000 + done / 3 for done in range(1, 30)]
METRICS = {"mae": math.nan, "é": 1.0}
EPOCH = ("epoch", 1, 9, 9, 0.5, math.inf, None, METRICS, None, None, -math.inf, 1.0, 9.0, 0.1, 2.5)
SPANS = (logtext.Span(1, 1, 1, 0.1, 1000.0), logtext.Span(2, 1, 11, math.inf, 1000.0))
TOLD = [(0, SPANS[0]), (0, EPOCH), (10, EPOCH), (10, SPANS[1]), (29, EPOCH)]


@pytest.fixture
def helper() -> Iterator[Scribe]:
    one = Scribe()
    yield one
    one.close()


def train(log: RunLog, first: int, last: int) -> None:
    record = Recorder(Task(), Clock(), log=log)
    for done in range(first, last + 1):
        record.batch(1 + (done - 1) // PER_EPOCH, done, done, 1 / done, 0.1, perf_counter())
        if done % PER_EPOCH == 0:
            epoch = done // PER_EPOCH
            log.epoch(
                EpochSummary(epoch, PER_EPOCH, done, 0.5, 0.2, (("mae", 0.1),), 1.0, 50.0, 0.1)
            )


def engaged(log: RunLog) -> int:
    """Tell a log its first batches, as fast as it takes to get a scribe; how many that were."""
    train(log, 1, done := 1500)
    log._engage(1.0)
    log.flush()
    assert log._wording.scribe is not None
    return done


def is_whole(log: RunLog, folder: Path, last: int) -> bool:
    """Whether every batch and epoch is there once, in order."""
    log.close()
    assert log._wording.scribe is None
    found = [(r["batches_done"], r["type"]) for r in read_log(folder / "metrics.jsonl")]
    wanted = []
    for done in range(1, last + 1):
        wanted.append((done, "batch"))
        if done % PER_EPOCH == 0:
            wanted.append((done, "epoch"))
    return found == wanted


def open_log(folder: Path, **others: Any) -> RunLog:
    others = {"interval": 3600.0} | others
    return RunLog(folder / "metrics.jsonl", folder / "events.jsonl", **others)


def test_it_writes_what_would_be_written_here(helper: Scribe) -> None:
    here = logtext.text(LOSSES, TIMES, TOLD)
    assert helper.text(LOSSES, TIMES, TOLD) == here
    assert helper.text([], [], TOLD[1:2]) == logtext.epoch(EPOCH)
    records = [unseal(line) or {} for line in here.splitlines()]
    assert [number for number, one in enumerate(records) if one["type"] == "epoch"] == [0, 11, 31]
    assert tuple(records[31]) == logtext.EPOCH
    assert records[31]["metrics"] == {"mae": None, "é": 1.0}
    assert records[31]["val_loss"] is records[31]["best_val_loss"] is None
    assert records[31]["elapsed"] == 2.5
    assert records[7]["loss"] is None
    assert records[8]["loss"] == 1 / 8
    where = ("epoch", "batch", "batches_done", "lr", "elapsed")
    assert [records[10][name] for name in where] == [1, 10, 10, 0.1, 3.333333]
    assert [records[12][name] for name in where] == [2, 1, 11, None, 3.666667]
    assert [records[30][name] for name in where] == [2, 19, 29, None, 9.666667]


def test_it_answers_until_nobody_asks() -> None:
    asked, answers = io.BytesIO(), io.BytesIO()
    for question in ((LOSSES, TIMES, TOLD), ([], [], [])):
        asked.write(logtext.ask(*question))
    asked.seek(0)
    logtext.serve(asked, answers)
    lines = logtext.text(LOSSES, TIMES, TOLD)
    assert answers.getvalue() == len(lines).to_bytes(4, "big") + lines + bytes(4)


def test_ctrl_c_does_not_reach_it_and_it_goes_with_the_log(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    done = engaged(log)
    assert log._wording.scribe is not None
    process = log._wording.scribe._process
    assert os.getsid(process.pid) != os.getsid(0)
    train(log, done + 1, done + 5000)
    assert is_whole(log, tmp_path, done + 5000)
    assert process.poll() is not None


@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP])
def test_nothing_is_lost_with_it(harm: signal.Signals, tmp_path: Path) -> None:
    log = open_log(tmp_path)
    done = engaged(log)
    assert log._wording.scribe is not None
    log._wording.scribe.wait_at_most(0.05)
    os.kill(log._wording.scribe._process.pid, harm)
    train(log, done + 1, done + 5000)
    log.flush()
    assert log._wording.scribe is None
    train(log, done + 5001, done + 9000)
    assert is_whole(log, tmp_path, done + 9000)


def test_a_fast_run_gets_one_by_itself(tmp_path: Path) -> None:
    log = open_log(tmp_path, interval=0.01)
    done = 0
    while log._wording.scribe is None:
        if not log.waiting:
            train(log, done + 1, done := done + PER_EPOCH)
    assert is_whole(log, tmp_path, done)


def test_a_slow_run_has_none(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for done in range(1, 200):
        train(log, done, done)
        log._engage(1.0)
        log.flush()
    assert log._wording.scribe is None
    assert is_whole(log, tmp_path, 199)


@pytest.mark.parametrize("python", ["", "/opt/somebodys-program", "/nowhere/python3"])
def test_where_no_second_process_can_be_the_log_does_without(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    log = open_log(tmp_path)
    train(log, 1, 5000)
    log._engage(1.0)
    assert log._wording.scribe is None
    assert is_whole(log, tmp_path, 5000)


def test_windows_need_none(tmp_path: Path) -> None:
    log = open_log(tmp_path, every=2000)
    train(log, 1, 1500)
    log._engage(1.0)
    assert log._wording.scribe is not None
    train(log, 1501, 3000)
    state = log.state()
    train(log, 3001, 3005)
    log.flush()
    assert log._wording.scribe is None
    assert state["window"] == {}
    train(log, 3006, 6000)
    log._engage(1.0)
    assert log._wording.scribe is None
    log.close()
    found = [r for r in read_log(tmp_path / "metrics.jsonl") if r["type"] != "epoch"]
    assert [r["batches_done"] for r in found] == [*range(1, 2001), *range(2010, 6001, 10)]


def test_a_state_is_completed_where_it_was_asked_for(tmp_path: Path) -> None:
    log = open_log(tmp_path, every=2000)
    train(log, 1, 1995)
    states = []
    for done in range(1996, 2035):
        train(log, done, done)
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
        log = open_log(tmp_path, every=20, interval=1e-5)
        record = Recorder(Task(), Clock(), log=log)
        states = []
        for done in range(1, 20_001):
            lr = 0.1 + done // 3
            record.batch(1 + (done - 1) // 7, done, done, 1 / done, lr, perf_counter())
            if done % 5 == 0:
                states.append(log.state())
        log.close()
    finally:
        sys.setswitchinterval(before)
    found = [*read_log(tmp_path / "metrics.jsonl")]
    assert sum(line.get("batches", 1) for line in found) == 20_000
    for line in found:
        done = line["batches_done"]
        assert (line["epoch"], line["batch"]) == (1 + (done - 1) // 7, done)
        assert line["lr"] == 0.1 + done // 3
    for done, state in zip(range(5, 20_001, 5), states, strict=True):
        wide = width(done, 20)
        assert state["window"].get("batches", 0) == (done % wide if wide > 1 else 0)


def test_what_is_told_while_it_looks_stands_in_order(tmp_path: Path) -> None:
    log = open_log(tmp_path, every=20)
    states: list[dict[str, Any]] = []

    class Busy(list[float]):
        """Times of batches: whoever counts them is overtaken by two batches, a state between."""

        def __len__(self) -> int:
            if not log._waiting and len(states) < 200 and {} not in states:
                done = 2 * len(states)
                self.note(done + 1)
                states.append({})
                states[-1] = log.state()
                self.note(done + 2)
            return super().__len__()

        def note(self, done: int) -> None:
            block.losses.append(1 / done)
            self.append(float(done))

    block = Block(1, 1, 1, 0.1)
    block.times = Busy()
    log.batches(block)
    log.close()
    assert [state["batches_done"] for state in states] == [*range(1, 401, 2)]
    for state in states:
        done = state["batches_done"]
        wide = width(done, 20)
        assert state["window"].get("batches", 0) == (done % wide if wide > 1 else 0)
