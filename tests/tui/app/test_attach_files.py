"""The attached screen of a run that nobody answers for: read from its files."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from pictures import until  # tests is on the path

from fivestep.core.storage import kept_run
from fivestep.core.storage.kept_run import KeptRun
from fivestep.core.storage.run_directory import RunDirectory, RunError
from fivestep.presets.recipe import load
from fivestep.tui.app.attach import AttachApp
from fivestep.tui.render.keymap import why_not
from fivestep.tui.setup.attach import attach_or_read
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import RunOptions, runs_folder
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.terminal.signals import Signals
from fivestep.tui.widgets.messages import MessageLog

from ..conftest import seen


@pytest.fixture
def run() -> Path:
    """The folder of a run that has ended."""
    plan = RecipePlan(load("line-linear", {"epochs": 4, "device": "cpu"}))
    RunBuilder.begin(plan, RunOptions(runs_folder(), "one")).session(None, "stop").run()
    return runs_folder() / "one"


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
async def test_a_run_that_has_ended_can_be_looked_at(run: Path, size: tuple[int, int]) -> None:
    watched = attach_or_read(runs_folder(), "one")
    assert isinstance(watched, KeptRun)
    app = AttachApp(runs_folder(), [], watched, MessageLog(), Signals())
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: "FINISHED" in seen(app) and "4 epochs trained" in seen(app))
        assert " old: it is not being trained" in seen(app)
        for key in ("space", "p", "i", "plus"):
            assert "read from its files" in why_not(key, app.screen.situation)
        assert "not in an attached screen" in why_not("r", app.screen.situation)
        for absent in ("pause", "picture", "run again", "detach"):
            assert absent not in seen(app).splitlines()[-1]
        times = {entry.text[:8]: entry.time for entry in app.messages.entries()}
        assert times["run line"] == watched.began
        assert times["finished"] == watched.ended
        assert math.isnan(times["epoch 4:"])
        await pilot.press("E")
        await until(pilot, lambda: "the epochs" in seen(app))
        await pilot.press("q")
        await until(pilot, lambda: app.leaving)


async def test_one_of_another_machine_says_where_it_is_and_whether_it_lives(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: RunDirectory) -> None:
        raise TypeError("odd")

    (run / "outcome.json").unlink()
    (run / "lock").write_text("12\nelsewhere\n/run/x.sock\n")
    app = AttachApp(
        runs_folder(), [], attach_or_read(runs_folder(), "one"), MessageLog(), Signals()
    )
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "being trained on elsewhere, seen" in seen(app))
        assert "RUNNING" in seen(app)
        monkeypatch.setattr(kept_run, "ASKS", 0.0)
        for file in ("lock", "metrics.jsonl"):
            os.utime(run / file, (0, 0))
        await until(pilot, lambda: "or elsewhere can't be reached: last seen" in seen(app))
        monkeypatch.setattr(RunDirectory, "read_outcome", failing)
        (run / "outcome.json").write_text("{}")
        await until(pilot, lambda: "its files can't be read on: TypeError: odd" in seen(app))
        await pilot.press("q")
        await until(pilot, lambda: app.leaving)


def test_one_that_is_only_just_starting_says_so() -> None:
    directory = RunDirectory.create(runs_folder(), "young", "line-linear")
    with pytest.raises(RunError, match="young is starting"):
        attach_or_read(runs_folder(), "young")
    directory.close()
