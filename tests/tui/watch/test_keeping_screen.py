"""What the screen tells of a run that is kept: saved, in trouble, gone back, taken up again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pictures import until  # tests is on the path

from fivestep.core.protocol.commands import GoBack, Save, Stop
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.snapshot import Change, Outcome, RunLocation, SavedCheckpoint
from fivestep.core.protocol.steps import State, Step
from fivestep.presets.recipe import load
from fivestep.tui.app.app import FivestepApp
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import RunOptions
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.setup.resume import resume_run
from fivestep.tui.watch.dialogs import FailureScreen
from fivestep.tui.watch.loading import LoadingScreen
from fivestep.tui.watch.watch import WatchScreen
from fivestep.tui.widgets.messages import MessageLog

from ..conftest import FakeSource, picture, seen, watching

KEPT = RunLocation("runs/one", "fivestep resume one")
NAN = Outcome(State.FAILED, "the loss is nan, noticed", "epoch 7, layer 2", "try less", "Trace")


async def test_c_saves_where_the_run_is_kept_and_nowhere_else() -> None:
    source = FakeSource(picture(state=State.PAUSED, step=Step.LOSS))
    async with watching(source) as (_, pilot):
        await pilot.press("c")
        assert source.sent == []
    async with watching(source, kept=lambda: KEPT) as (app, pilot):
        assert "c save" in seen(app)
        assert "kept in runs/one" in seen(app)
        await pilot.press("c")
        assert source.sent == [Save()]
        assert "a checkpoint is saved at the end of" in seen(app)
        source.snapshot = picture(
            changes=(Change(0.0, 7, 301, "checkpoint saved at batch 301", "save"),)
        )
        app.watch_screen.tick()
        await pilot.pause()
        assert "checkpoint saved at batch 301" in seen(app)
        assert "301 ·" not in seen(app)  # it says where by itself


@pytest.mark.parametrize(("size", "words"), [((120, 36), "batch 288"), ((80, 24), "saved")])
async def test_how_old_the_checkpoint_is_is_told_in_a_pause_too(
    size: tuple[int, int], words: str
) -> None:
    clock = [1000.0]
    source = FakeSource(picture(state=State.PAUSED))
    async with watching(source, size, kept=lambda: KEPT, log=MessageLog(lambda: clock[0])) as (
        app,
        pilot,
    ):
        assert "not yet" in seen(app)
        source.snapshot = picture(state=State.PAUSED, saved=SavedCheckpoint(288, 988.0))
        for now, told in ((1000.0, "12 s ago"), (1049.0, "1 min ago"), (9000.0, "2 h ago")):
            clock[0] = now
            app.watch_screen.tick()
            await pilot.pause()
            assert words in seen(app)
            assert told in seen(app)


async def test_a_warning_is_seen_where_messages_are_behind_a_key() -> None:
    source = FakeSource(picture())
    async with watching(
        source, (80, 24), kept=lambda: RunLocation(problem="nothing is kept: no room [/b]")
    ) as (app, pilot):
        assert "v ! warning" in seen(app)
        await pilot.press("v")
        await pilot.pause()
        assert "! nothing is kept: no room [/b]" in seen(app)
        await pilot.press("v")
        await pilot.pause()
        assert "warning" not in seen(app)


async def test_how_a_table_was_read_is_among_the_messages() -> None:
    place = RunLocation(notes=("price read as numbers (in $)",))
    async with watching(FakeSource(picture()), kept=lambda: place) as (app, _):
        assert "price read as numbers (in $)" in seen(app)


async def test_trouble_asks_and_is_answered() -> None:
    held = picture(state=State.PAUSED, trouble=NAN, saved=SavedCheckpoint(288, 0.0))
    source = FakeSource(held)
    async with watching(source, kept=lambda: KEPT) as (app, pilot):
        for part in ("PAUSED: the loss is nan", "epoch 7, layer 2", "try less", "batch 288"):
            assert part in seen(app)
        await pilot.press("space", "s", "b", "e", "c", "x", "plus", "minus", "less_than_sign")
        assert source.sent == []
        await pilot.press("T")
        await pilot.pause()
        assert isinstance(app.screen, FailureScreen)
        await pilot.press("escape", "g")
        assert source.sent == [GoBack()]
        text = "went back from batch 301 to 288, lr ÷2 → 5e-4"
        source.snapshot = picture(changes=(Change(0.0, 7, 288, text, "rewind"),))
        app.watch_screen.tick()
        await pilot.pause()
        assert "PAUSED" not in seen(app)
        assert "go back to" not in seen(app)
        assert "! went back from batch 301" in seen(app)
        assert "went back ▲" in seen(app)  # on the chart
        source.snapshot = held
        app.watch_screen.tick()
        await pilot.press("q")
        assert source.sent == [GoBack(), Stop()]
        assert app.screen is app.watch_screen  # there is nothing to be asked


async def test_trouble_that_comes_again_is_told_again() -> None:
    held = picture(state=State.PAUSED, trouble=NAN)
    source = FakeSource(held)
    async with watching(source) as (app, pilot):
        await pilot.press("i")
        for done in (288, 290):
            source.snapshot = picture(done)
            app.watch_screen.tick()
            await pilot.pause()
            assert "go back to" not in seen(app)
        source.snapshot = replace(held, trouble=replace(NAN, reason="the loss is inf"))
        app.watch_screen.tick()
        await pilot.pause()
        for part in ("PAUSED  the loss is inf", "epoch 7, layer 2", "try less", "go back to"):
            assert part in seen(app)


async def test_at_its_end_the_run_tells_where_it_is_and_how_to_go_on() -> None:
    source = FakeSource(picture(state=State.STOPPED))
    source.outcome = Outcome(State.STOPPED, "stopped by hand")
    async with watching(source, kept=lambda: KEPT) as (app, _):
        assert "kept in runs/one" in seen(app)
        assert "to resume: fivestep resume one" in seen(app)


async def test_at_its_end_the_run_offers_no_way_back() -> None:
    source = FakeSource(picture(faults=(Fault.NO_ZERO_GRAD,), undo=True))
    async with watching(source) as (app, pilot):
        assert "BROKEN ON PURPOSE: zero_grad left out  —  u undoes" in seen(app)
        source.snapshot = replace(source.snapshot, state=State.FINISHED)
        source.outcome = Outcome(State.FINISHED, "20 epochs trained")
        app.watch_screen.tick()
        await pilot.pause()
        assert "BROKEN ON PURPOSE: zero_grad left out" in seen(app)
        assert "u undoes" not in seen(app)


async def test_a_run_that_is_taken_up_shows_what_it_was(tmp_path: Path) -> None:
    plan = RecipePlan(load("line-linear", {"epochs": 3, "device": "cpu"}))
    options = RunOptions(tmp_path, name="one")
    first = RunBuilder.begin(plan, options)
    session = first.session(None, "stop")
    session.run()
    app = FivestepApp(resume_run("one", replace(options, hold=True), changes={"epochs": 9}))
    async with app.run_test(size=(120, 60)) as pilot:
        assert isinstance(app.screen, LoadingScreen)
        assert "going on with one" in seen(app)
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        screen = app.screen
        await until(pilot, lambda: "resumed at the start of epoch 4" in seen(app))
        assert (screen.snapshot.state, screen.snapshot.batches_done) == (State.PAUSED, 75)
        assert (
            screen.panels.curves.curves["loss"].x[-1] == 75.0
        )  # the chart goes back to the beginning
        assert screen.panels.curves.curves["loss"].x[0] == 1.0
        await until(pilot, lambda: "batch 75" in seen(app))
        screen.action_press("c")
        await until(pilot, lambda: "checkpoint saved at batch 75" in seen(app))
        said = [entry.text for entry in app.messages.entries()]
        assert len(said) == len(set(said))  # each once
        await pilot.press("q")
        await until(pilot, lambda: "leave fivestep" in seen(app))
        await pilot.press("l")
        await until(pilot, lambda: app.launch.outcome is not None)
        assert app.launch.outcome.state is State.STOPPED


async def test_y_names_what_has_failed_and_what_is_broken_on_purpose() -> None:
    source = FakeSource(
        picture(state=State.PAUSED, trouble=NAN, faults_so_far=(Fault.NO_ZERO_GRAD,))
    )
    async with watching(source) as (app, pilot):
        await pilot.press("y")
        await pilot.pause()
        assert "danger: the loss is nan" in seen(app)
        assert "broken on purpose: leave out optimizer.zero_grad()" in seen(app)
        assert "Nothing is wrong" not in seen(app)
