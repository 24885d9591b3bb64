"""The real app over real small runs: from a plan to its end, again, and to another preset."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from pictures import until  # tests is on the path

from fivestep.core.protocol.commands import Pause, ScaleLR
from fivestep.core.protocol.steps import State
from fivestep.presets import build
from fivestep.presets.recipe import load
from fivestep.tui.app.app import FivestepApp
from fivestep.tui.choose.screen import ChooseScreen
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.launch import Launch
from fivestep.tui.setup.options import NOTHING
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.watch.watch import WatchScreen

from ..conftest import seen


def run(**overrides: Any) -> RunBuilder:
    recipe = load("line-linear", {"epochs": 3, "device": "cpu", **overrides})
    return RunBuilder.nowhere(RecipePlan(recipe))


def ended(app: FivestepApp) -> bool:
    screen = app.screen
    return isinstance(screen, WatchScreen) and screen.has_class("-ended")


async def test_a_run_is_watched_to_its_end_run_again_and_left_for_another() -> None:
    app = FivestepApp(run())
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: ended(app))
        first = app.launch
        assert first.outcome.reason == "3 epochs trained"
        await pilot.press("r")
        await until(pilot, lambda: app.launch is not first and ended(app))
        again, before = app.launch.session, first.session
        for a, b in zip(
            again.training.model.parameters(), before.training.model.parameters(), strict=True
        ):
            assert torch.equal(a, b)  # the same run from the start
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        assert len(app.screen_stack) == 2
        await pilot.press("q")


async def test_a_run_that_starts_paused_says_how_it_goes_on() -> None:
    recipe = load("line-linear", {"epochs": 3, "device": "cpu"})
    app = FivestepApp(RunBuilder(RecipePlan(recipe), replace(NOTHING, hold=True), None))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "PAUSED before the first batch" in seen(app))
        assert "paused before the first batch: s shows one step at a time" in seen(app)
        assert app.screen.snapshot.batches_done == 0
        await pilot.press("s")
        await until(pilot, lambda: "PAUSED before zero_grad, batch 1" in seen(app))
        assert "shows one step at a time" not in seen(app)
        await pilot.press("space")
        await until(pilot, lambda: ended(app))
        await pilot.press("r")  # as it was started
        await until(pilot, lambda: "PAUSED before the first batch" in seen(app))


async def test_the_run_before_is_let_go_where_it_is_run_again() -> None:
    app, models = FivestepApp(run()), []
    async with app.run_test(size=(120, 36)) as pilot:
        for _ in range(3):
            await until(pilot, lambda: app.launch is not None and ended(app))
            models.append(weakref.ref(app.launch.session.training.model))
            launch = weakref.ref(app.launch)
            await pilot.press("r")
            await until(pilot, lambda one=launch: app.launch is not one() and ended(app))
        gc.collect()
        assert [model() for model in models[:2]] == [None, None]
        await pilot.press("q")


async def test_what_was_chosen_and_changed_is_there_again_on_coming_back() -> None:
    app = FivestepApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        app.screen.post_message(ChooseScreen.Start("line-linear", {"epochs": 2}))
        await until(pilot, lambda: ended(app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        screen = app.screen
        assert screen.chosen == "line-linear"
        assert screen.resolved.overrides == {"epochs": 2}


async def test_a_run_that_cannot_be_built_says_why_and_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(recipe: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(build, "make_criterion", fail)
    app = FivestepApp(run())
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: ended(app))
        outcome = app.launch.outcome
        assert (outcome.state, outcome.where) == (State.FAILED, "building the run")
        assert outcome.reason == "OSError: the disk is gone"
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))


def test_commands_sent_while_a_run_loads_take_effect_when_it_starts() -> None:
    launch = Launch(run())
    assert launch.latest() is None
    assert launch.now() is None
    assert launch.info.epochs == 3
    launch.send(Pause())
    launch.send(ScaleLR(0.5))
    launch.start()
    while launch.session is None:
        assert launch.outcome is None
    snapshot = launch.session.snapshot(30)
    while snapshot.state is not State.PAUSED:
        snapshot = launch.session.snapshot(30)
    assert (snapshot.batches_done, snapshot.lr_factor) == (0, 0.5)
    assert launch.leave(30)
    assert launch.outcome is not None
    assert launch.outcome.state is State.STOPPED
    assert launch.leave(0)  # there is nothing left to wait for
