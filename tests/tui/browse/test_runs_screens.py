"""The list of runs and the comparison on a screen, driven by keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from kept import keep  # tests is on the path
from pictures import until
from textual.pilot import Pilot

from fivestep.core.storage.run_lock import RunLock
from fivestep.tui.app.runs import RunsApp
from fivestep.tui.browse.comparison import ComparisonScreen
from fivestep.tui.browse.reading import read_all
from fivestep.tui.browse.run_list import RunListScreen
from fivestep.tui.terminal.signals import Signals
from fivestep.tui.widgets.messages import MessageLog
from fivestep.tui.widgets.panel import Panel

from ..conftest import seen

LOSSES = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    keep(tmp_path, "alpha", LOSSES, meta={"started": 3e8})
    keep(tmp_path, "beta", (*LOSSES[:-1], 0.1), lr=0.2, meta={"started": 2e8})
    keep(tmp_path, "gamma", LOSSES, meta={"started": 1e8}, outcome={"state": "stopped"})
    return tmp_path


@asynccontextmanager
async def opened(
    folder: Path, *words: str, size: tuple[int, int] = (120, 36)
) -> AsyncIterator[tuple[RunsApp, Pilot[None]]]:
    comparison = read_all(folder, words) if words else None
    app = RunsApp(folder, comparison, MessageLog(), Signals())
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: "quit" in seen(app) or "?" in seen(app))
        yield app, pilot
        assert [panel.failure for panel in app.screen.query(Panel) if panel.failure] == []


async def test_runs_are_filtered_sorted_marked_and_compared(runs: Path) -> None:
    async with opened(runs) as (app, pilot):
        await until(pilot, lambda: "gamma" in seen(app))
        assert isinstance(app.screen, RunListScreen)
        await pilot.press("s", "s")
        assert [run.name for run in app.screen.shown] == ["beta", "alpha", "gamma"]
        await pilot.press("slash", *"stop")
        await until(pilot, lambda: "1 of 3 runs" in seen(app))
        await until(pilot, lambda: "to the list" in seen(app).splitlines()[-1])
        assert "space" not in seen(app).splitlines()[-1]
        assert "beta" not in seen(app)
        await pilot.press("escape", "c")
        await until(pilot, lambda: "mark two runs" in seen(app))
        assert "space" in seen(app).splitlines()[-1]
        await pilot.press("home", "space", "space", "c")
        await until(pilot, lambda: "A and B part at batch 8" in seen(app))
        assert "● A  beta" in seen(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunListScreen))
        await pilot.press("escape", "escape")
    assert app.leaving
    assert app.next is None


async def test_a_run_is_removed_once_that_is_confirmed_and_never_a_live_one(runs: Path) -> None:
    lock = RunLock(runs / "beta" / "lock")
    async with opened(runs) as (app, pilot):
        await until(pilot, lambda: "gamma" in seen(app))
        await pilot.press("X")
        await until(pilot, lambda: "remove 1 run from the disk?" in seen(app))
        assert "frees" in seen(app)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, RunListScreen))
        assert (runs / "alpha").is_dir()
        await pilot.press("space", "space", "X")
        await until(pilot, lambda: "beta: being trained" in seen(app))
        await pilot.press("y")
        await until(pilot, lambda: not (runs / "alpha").exists())
        await until(pilot, lambda: "freed" in seen(app))
    assert (runs / "beta").is_dir()
    assert (runs / "gamma").is_dir()
    lock.release()


async def test_a_small_window_shows_runs_before_all_else(runs: Path) -> None:
    async with opened(runs, size=(20, 5)) as (app, pilot):
        await until(pilot, lambda: all(name in seen(app) for name in ("alpha", "beta", "gamma")))
        await pilot.pause()


async def test_a_run_is_opened_in_the_place_of_the_list(runs: Path) -> None:
    async with opened(runs) as (app, pilot):
        await until(pilot, lambda: "gamma" in seen(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.leaving)
    assert app.next is not None


async def test_what_can_not_be_resumed_is_told_on_the_list(runs: Path) -> None:
    (runs / "alpha" / "run.json").write_text('{"kind": "loop"}')
    async with opened(runs) as (app, pilot):
        await until(pilot, lambda: "gamma" in seen(app))
        await pilot.press("home", "r")
        await until(pilot, lambda: "resumes by itself" in seen(app))
    assert app.next is None


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (200, 50), (40, 12)])
async def test_curves_are_drawn_over_each_other(runs: Path, size: tuple[int, int]) -> None:
    async with opened(runs, "alpha", "beta", size=size) as (app, pilot):
        assert isinstance(app.screen, ComparisonScreen)
        assert "● A" in seen(app)
        await until(pilot, lambda: "─ loss" in seen(app))
        await pilot.press("t", "t", "x", "l", "m")
        await until(pilot, lambda: "val_loss" in seen(app))
        if size[0] >= 80:
            assert "over epochs · log · smooth" in seen(app)
        if size[1] >= 24:
            assert "A and B part at batch 8" in seen(app)
        await pilot.press("d", "question_mark")
        await until(pilot, lambda: "esc closes" in seen(app))
        await pilot.press("escape", "escape")
    assert app.leaving
