"""The log's thread takes batches while they are noted: each is there once, in order."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from fivestep.core.protocol.steps import Task
from fivestep.core.session.clock import Clock
from fivestep.core.session.recorder import Recorder
from fivestep.core.storage.batch_lines import Block, width
from fivestep.core.storage.log_file import read_log
from fivestep.core.storage.run_log import RunLog


def open_log(folder: Path, *, every: int, interval: float = 3600.0) -> RunLog:
    return RunLog(folder / "metrics.jsonl", folder / "events.jsonl", every=every, interval=interval)


def train(log: RunLog, first: int, last: int) -> None:
    record = Recorder(Task(), Clock(), log=log)
    for done in range(first, last + 1):
        record.batch(1 + (done - 1) // 50, done, done, 1 / done, 0.1, perf_counter())


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
            block.lrs.append(0.1)
            self.append(float(done))

    block = Block(1, 1, 1)
    block.times = Busy()
    log.batches(block)
    log.close()
    assert [state["batches_done"] for state in states] == [*range(1, 401, 2)]
    for state in states:
        done = state["batches_done"]
        wide = width(done, 20)
        assert state["window"].get("batches", 0) == (done % wide if wide > 1 else 0)
