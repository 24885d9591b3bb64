"""`fivestep train --detach`: a run in the background, and how to come back to it."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from served import runtime  # tests is on the path

from fivestep.core.storage.run_directory import RunDirectory
from fivestep.tui.setup.attach import attach, live_runs
from fivestep.tui.setup.options import runs_folder

from ..conftest import Cli


def test_a_run_trains_in_the_background_until_it_is_stopped(cli: Cli) -> None:
    with runtime():
        words = ("train", "line-linear", "--epochs", "100000", "--name", "back", "--detach")
        told = cli(*words).out
        assert "line-linear trains in the background, process " in told
        assert "fivestep attach back comes back to it" in told
        assert [run.name for run in live_runs(runs_folder())] == ["back"]
        assert "fivestep attach back" in cli("runs").out
        (listed,) = json.loads(cli("runs", "--json").out)
        assert (listed["state"], listed["reachable"]) == ("running", True)
        remote = attach(runs_folder(), "back")
        assert remote.picture(None).outcome is None
        remote.close()
        assert "a run of that name" in cli(*words, code=2).err
        assert "stopped by hand" in cli("ctl", "back", "stop").out
        assert "line-linear" in (runs_folder() / "back" / "output.log").read_text()
        assert not list(runs_folder().glob(".*"))


def test_a_run_that_gets_no_socket_is_started_all_the_same(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path / ("x" * 110)
    far.mkdir()
    monkeypatch.setenv("TMPDIR", str(far))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    told = cli("train", "line-linear", "--epochs", "100000", "--name", "back", "--detach").out
    match = re.fullmatch(
        r"process (\d+) trains line-linear in the background; it can't be attached to "
        r"\(.*short enough for a socket\); kill \1 stops it\n",
        told,
    )
    assert match
    assert "can't be attached to: XDG_RUNTIME_DIR" in cli("runs").out
    assert "can't be attached to: XDG_RUNTIME_DIR" in cli.refused("ctl", "back", "stop")
    os.kill(int(match[1]), signal.SIGTERM)
    os.waitpid(int(match[1]), 0)
    assert "stopped" in cli("runs").out


def test_a_run_that_is_only_just_starting_says_so(cli: Cli) -> None:
    directory = RunDirectory.create(runs_folder(), "young", "line-linear")
    assert cli("runs").out.rstrip().endswith("starting")
    assert "run young is starting" in cli.refused("ctl", "young", "stop")
    directory.close()


def test_what_makes_no_sense_is_refused_before_anything_is_started(cli: Cli) -> None:
    assert "contradict" in cli.refused("train", "line-linear", "--detach", "--no-save")
    assert "epochs" in cli.refused("train", "line-linear", "--detach", "--epochs", "-1")
    assert not runs_folder().exists()
