"""`fivestep ctl`: a run in this process, steered as if from another one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest
from served import runtime  # tests is on the path

from fivestep.core.protocol.commands import Pause, Stop
from fivestep.core.protocol.record_fields import STATUS
from fivestep.core.session.session import Session
from fivestep.core.storage.log_file import line, read_log
from fivestep.presets.recipe import load
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import RunOptions, runs_folder
from fivestep.tui.setup.plan import RecipePlan

from ..conftest import Cli


@pytest.fixture
def session() -> Iterator[Session]:
    """A run called "one", paused before its first step."""
    with runtime():
        plan = RecipePlan(load("line-linear", {"epochs": 100_000}))
        run = RunBuilder.begin(plan, RunOptions(runs_folder(), "one")).session(None, "stop")
        run.send(Pause())
        run.start()
        yield run
        run.send(Stop())
        assert run.join(30)


def events() -> list[dict[str, object]]:
    return [event for event in read_log(runs_folder() / "one" / "events.jsonl") if event["by"]]


def test_a_run_is_steered_by_commands_that_answer_when_it_is_done(
    session: Session, cli: Cli
) -> None:
    assert "paused in epoch 1/100000, batch 1, before " in cli("ctl", "one", "step").out
    assert "by hand → 0.005" in cli("ctl", "one", "lr", "0.005").out
    assert "lr ÷2 by hand → 0.0025" in cli("ctl", "one", "lr", "×0.5").out
    assert "one: running in epoch " in cli("ctl", "one", "resume").out
    assert "r2 " in cli("ctl", "one", "validate").out
    assert "checkpoint saved at batch " in cli("ctl", "one", "save").out
    assert "running" in cli("runs").out
    assert "one: paused in epoch " in cli("ctl", "one", "pause").out
    while " paused " not in cli("runs").out:
        pass  # its log is written a moment later
    assert "paused\n" in cli("runs", "show", "one").out
    said = cli("ctl", "one", "status").out
    found = json.loads(cli("ctl", "one", "status", "--json").out)
    assert list(found) == list(STATUS)
    assert (found["run"], found["name"]) == ("one", "line-linear")
    assert (found["state"], found["epochs"], found["saved"] > 0) == ("paused", 100_000, True)
    assert f"batch {found['batch']}, before" in said
    assert "stopped: stopped by hand" in cli("ctl", "one", "stop", "--after", "epoch").out
    assert session.join(30)
    kinds = [event["kind"] for event in events()]
    assert kinds == ["asked", "lr", "lr", "resume", "validate", "asked", "pause", "stop"]
    assert events()[0]["by"]["pid"] == os.getpid()  # type: ignore[index]
    shown = cli("runs", "show", "one").out
    assert f", process {os.getpid()} on " in shown
    assert "it is stopped; fivestep resume one" in cli.refused("ctl", "one", "pause")


def test_what_can_not_be_done_now_says_so(session: Session, cli: Cli) -> None:
    while session.snapshot().step.info.name != "forward":
        cli("ctl", "one", "step")
    assert "paused inside a batch" in cli("ctl", "one", "save", code=1).err


def test_a_learning_rate_out_of_bounds_is_refused_by_factor_too(session: Session, cli: Cli) -> None:
    before = session.snapshot().lr
    told = cli.refused("ctl", "one", "lr", "×1e9")
    assert f"lr ×1e9 makes {before:.4f} {before * 1e9:.3g}: expected a number above 0" in told
    assert "at most 1000" in cli.refused("ctl", "one", "lr", "/1e-300")
    assert session.snapshot().lr == before


def test_words_that_mean_nothing_are_refused(cli: Cli) -> None:
    assert "expected one of pause" in cli.refused("ctl", "one", "halt")
    assert "lr needs a value" in cli.refused("ctl", "one", "lr")
    for word in ("fast", "2000", "-1", "nan"):
        told = cli.refused("ctl", "one", "lr", word)
        assert "lr: expected a number above 0, at most 1000, or a factor" in told
        assert f", not {word}" in told
    assert "fivestep ctl --help" in cli.refused("ctl", "one", "stop", "--after")
    assert "did you mean --json?" in cli.refused("ctl", "one", "status", "--jsn")
    assert "there is no run one" in cli.refused("ctl", "one", "pause")


def test_a_run_on_another_machine_is_named(session: Session, cli: Cli) -> None:
    lock = runs_folder() / "one" / "lock"
    pid, _, address = lock.read_text().split()
    lock.write_text(f"{pid}\nelsewhere\n{address}\n")
    assert "is being trained on elsewhere, seen" in cli.refused("ctl", "one", "pause")
    assert "there is a run of that name" in cli.refused("train", "line-linear", "--name", "one")


def test_a_run_of_another_machine_is_left_alone_though_its_lock_is_not_seen(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = RecipePlan(load("line-linear", {"epochs": 2}))
    RunBuilder.begin(plan, RunOptions(runs_folder(), "one")).session(None, "stop").run()
    run = runs_folder() / "one"
    (run / "outcome.json").unlink()  # as if it went on
    (run / "lock").write_text("12\nelsewhere\n/run/x.sock\n")
    hour_ahead = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: hour_ahead)  # clocks differ between machines
    assert "seems to be trained on elsewhere: seen" in cli.refused("resume", "one", "--no-ui")
    assert "being trained on elsewhere, seen 0 s ago: attach to it there" in cli("runs").out
    (run / "events.jsonl").write_bytes(line({"type": "change", "kind": "pause", "text": "paused"}))
    os.utime(run / "metrics.jsonl", (0, 0))
    for where in (["runs"], ["runs", "show", "one"]):
        assert "paused on elsewhere, seen" in cli(*where).out
    assert "is paused on elsewhere, seen" in cli.refused("ctl", "one", "resume")
    os.utime(run / "lock", (0, 0))  # it was killed long ago
    gone = "its process is gone, or elsewhere can't be reached: last seen"
    for where in (["runs"], ["runs", "show", "one"]):
        assert gone in cli(*where).out
    assert "fivestep resume one" in cli("runs").out
    assert gone in cli.refused("ctl", "one", "resume")
    (told,) = json.loads(cli("runs", "--json").out)
    assert (told["state"], told["elsewhere"]["host"]) == ("crashed", "elsewhere")


def test_a_run_of_which_nothing_is_kept_is_listed_and_steered_while_it_lives(cli: Cli) -> None:
    with runtime() as folder:
        plan = RecipePlan(load("line-linear", {"epochs": 100_000}))
        run = RunBuilder.begin(plan, RunOptions(runs_folder(), keeps=False)).session(None, "stop")
        (found,) = json.loads(cli("runs", "--json").out)
        name = found["name"]
        assert name.endswith("-line-linear")
        assert (found["path"], found["state"], found["reachable"]) == (None, "running", True)
        assert "not kept" in cli("runs").out
        run.start()
        assert "by hand → 0.005" in cli("ctl", name, "lr", "0.005").out
        assert "keep" in cli("ctl", name, "save", code=1).err
        assert f"{name}: stopped" in cli("ctl", name, "stop").out
        assert run.join(30)
        assert "no runs in" in cli("runs").out
        assert "there is no run" in cli.refused("ctl", name, "pause")
        (folder / "fivestep" / "0123.json").write_text("{}")  # its process was killed
        assert "no runs in" in cli("runs").out
        assert not list(folder.glob("fivestep/*"))
