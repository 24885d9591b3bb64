"""The screen of a run that is played back: keys move it, and it can only be looked at."""

from __future__ import annotations

import pytest
from pictures import until  # tests is on the path

from fivestep.core.storage.run_directory import RunError
from fivestep.presets.recipe import load
from fivestep.tui.app.attach import AttachApp
from fivestep.tui.render.keymap import why_not
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import RunOptions, runs_folder
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.setup.replay import film
from fivestep.tui.terminal.signals import Signals
from fivestep.tui.widgets.messages import MessageLog

from ..conftest import seen


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
async def test_a_run_is_scrubbed_with_keys(size: tuple[int, int]) -> None:
    plan = RecipePlan(load("line-linear", {"epochs": 4, "device": "cpu"}))
    RunBuilder.begin(plan, RunOptions(runs_folder(), "one")).session(None, "stop").run()
    app = AttachApp(runs_folder(), [], film(runs_folder(), None), MessageLog(), Signals())
    async with app.run_test(size=size, notifications=True) as pilot:
        for keys, batch in (
            ((), 0), (("right", "right"), 2), (("]",), 25), (("end",), 100), (("[",), 75),
            (("left",), 74), (("home",), 0),
        ):  # fmt: skip
            await pilot.press(*keys)
            await until(pilot, lambda batch=batch: f"REPLAY at batch {batch} of 100" in seen(app))
        assert "PAUSED before the first batch" in seen(app)
        assert "NaN" not in seen(app)
        assert "shows one step at a time" not in seen(app)
        await pilot.press("right", "right")
        await until(pilot, lambda: "PAUSED before batch 3" in seen(app))
        assert "▶  waiting for data" in seen(app)
        assert "play/stop" in seen(app).splitlines()[-1]
        await pilot.press("space")
        await until(pilot, lambda: "RUNNING" in seen(app))
        await pilot.press("space")
        await until(pilot, lambda: "PAUSED" in seen(app))
        assert "read from its files" in why_not("plus", app.screen.situation)
        await pilot.press("question_mark")
        await until(pilot, lambda: "esc closes" in seen(app))
        assert "Replay: play on from here" in seen(app)
        assert "Pause" not in seen(app)
        await pilot.press("escape")
        await pilot.press("q")
        await until(pilot, lambda: app.leaving)


def test_a_run_that_has_trained_nothing_is_refused_in_one_line() -> None:
    with pytest.raises(RunError, match="there is no run in"):
        film(runs_folder(), None)
    plan = RecipePlan(load("line-linear"))
    builder = RunBuilder.begin(plan, RunOptions(runs_folder(), "none"))
    with pytest.raises(RunError, match="none has not trained a batch"):
        film(runs_folder(), "none")
    assert builder.directory is not None
    builder.directory.close()
