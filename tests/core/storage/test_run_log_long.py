"""A long run's log: bounded in memory, and small on the disk."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import pytest

from fivestep.core.protocol.steps import Task
from fivestep.core.session.clock import Clock
from fivestep.core.session.recorder import Recorder
from fivestep.core.storage.log_file import read_log
from fivestep.core.storage.run_log import RunLog


def test_what_waits_in_memory_is_bounded(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.jsonl", tmp_path / "events.jsonl", every=1000, interval=3600)
    most = 0
    record = Recorder(Task(), Clock(), log=log)
    for done in range(1, 60_001):
        record.batch(1, done, done, 0.5, 0.1, perf_counter())
        most = max(most, log.waiting)
    log.close()
    assert most < 25_000
    assert (
        sum(line.get("batches", 1) for line in list(read_log(tmp_path / "metrics.jsonl"))) == 60_000
    )


def test_ten_million_batches_stay_under_100_mb(tmp_path: Path) -> None:
    """From a run a hundredth as long with the limit a hundredth as high: the counts scale."""
    log = RunLog(tmp_path / "metrics.jsonl", tmp_path / "events.jsonl", every=1000)
    record = Recorder(Task(), Clock(), log=log)
    for done in range(1, 100_001):
        record.batch(
            12_345,
            100_000 + done,
            done,
            0.123456789012345678 / done,
            1.2345678901e-05,
            perf_counter(),
        )
    log.close()
    size = (tmp_path / "metrics.jsonl").stat().st_size
    found = list(read_log(tmp_path / "metrics.jsonl"))
    assert len(found) == 1000 + 900 + 900
    longer_numbers = 10 * len(found)
    assert 100 * (size + longer_numbers) < 100e6


@pytest.mark.slow
def test_ten_million_batches_for_real(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "metrics.jsonl", tmp_path / "events.jsonl")
    record = Recorder(Task(), Clock(), log=log)
    for done in range(1, 10_000_001):
        record.batch(
            done // 10_000 + 1,
            done % 10_000 + 1,
            done,
            1.23456789 / done,
            1.2345678901e-05,
            perf_counter(),
        )
    log.close()
    assert (tmp_path / "metrics.jsonl").stat().st_size < 100e6
    assert (
        sum(line.get("batches", 1) for line in list(read_log(tmp_path / "metrics.jsonl")))
        == 10_000_000
    )
