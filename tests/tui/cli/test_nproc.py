"""`--nproc`: a run in several processes, started with one command."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest
from forked import piped
from served import runtime  # tests is on the path

from fivestep.core.protocol.record_fields import REPORT

from ..conftest import Cli


@pytest.mark.parametrize("said", ["0", "two", "-1", "1025"])
def test_a_number_that_makes_no_sense_is_refused(cli: Cli, said: str) -> None:
    told = cli.refused("train", "line-linear", "--nproc", said)
    assert told.startswith("--nproc: expected a number of processes from 1 to 1024")


def test_it_must_agree_with_the_torchrun_that_has_started_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    told = cli.refused("train", "line-linear", "--nproc", "2")
    assert told.startswith("--nproc 2 contradicts torchrun, which has started 4")


def test_how_a_model_is_shared_must_make_sense(cli: Cli) -> None:
    told = cli.refused("train", "line-linear", "--nproc", "2", "--parallel", "tensor")
    assert told.startswith("--parallel: expected ddp or fsdp")
    told = cli.refused("train", "line-linear", "--parallel", "fsdp")
    assert told.startswith("--parallel fsdp shares a model among processes")


def test_two_processes_train_one_run_until_ctrl_c_and_leave_nobody_behind(tmp_path: Path) -> None:
    words = ["train", "line-linear", "--epochs", "100000", "--nproc", "2", "--name", "two"]
    env = {**os.environ, "FIVESTEP_RUNS": str(tmp_path)}
    with runtime(), piped("-m", "fivestep", *words, "--json", env=env) as (begun, printed, errors):
        found, ranks = [], []
        for line in printed:
            found.append(json.loads(line))
            if found[-1]["type"] == "ranks" and not ranks:
                ranks = psutil.Process(begun.pid).children(recursive=True)
                begun.send_signal(signal.SIGINT)
        told = errors.read().decode()
        assert begun.wait() == 130, told
    assert not psutil.wait_procs(ranks, 0)[1]
    assert found[-1]["outcome"] == "interrupted", told
    assert found[-1]["saved"] == found[-1]["batches"]
    record = next(one for one in found if one["type"] == "ranks")
    assert list(record) == ["type", *REPORT["ranks"]]
    processes = {one["process"] for one in record["ranks"]}
    assert [one["rank"] for one in record["ranks"]] == [0, 1]
    assert processes <= {one.pid for one in ranks}
    assert record["slowest"] in (0, 1)
    assert "rank" in record["text"]
    meta = json.loads((tmp_path / "two" / "run.json").read_text())
    assert meta["ranks"] == 2
    assert meta["command"].endswith(" --nproc 2")
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["two"]
