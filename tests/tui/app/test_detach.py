"""`z` on the screen: the run goes on in the background, from where it is and as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pictures import until  # tests is on the path
from served import runtime
from served import until as reached

from fivestep.core.protocol.commands import Resume, ScaleLR, SetSpeed
from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.presets.build import build
from fivestep.presets.recipe import load
from fivestep.presets.user_file import load_own, write_starter
from fivestep.tui.app.app import FivestepApp
from fivestep.tui.render.keymap import why_not
from fivestep.tui.setup.attach import attach
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import NOTHING, RunOptions, runs_folder
from fivestep.tui.setup.plan import FilePlan, Plan, RecipePlan
from fivestep.tui.watch.dialogs import AskStop
from fivestep.tui.watch.watch import WatchScreen

from ..conftest import Cli, seen

CHANGES = {"epochs": 20, "device": "cpu"}


def held(plan: Plan, options: RunOptions) -> FivestepApp:
    return FivestepApp(RunBuilder.begin(plan, options))


def paused(app: FivestepApp) -> bool:
    screen = app.screen
    return isinstance(screen, WatchScreen) and screen.situation.state is State.PAUSED


async def test_a_run_goes_on_in_the_background_as_if_nobody_had_left(cli: Cli) -> None:
    plan = RecipePlan(load("line-linear", CHANGES))
    options = RunOptions(runs_folder(), "left", breakpoints=("epoch > 1000",), hold=True)
    with runtime():
        app = held(plan, options)
        async with app.run_test(size=(120, 36)) as pilot:
            await until(pilot, lambda: paused(app))
            await pilot.press("minus", "less_than_sign", "b")
            await until(pilot, lambda: paused(app) and app.screen.snapshot.batches_done == 1)
            await pilot.press("s", "s", "q")  # into the second batch
            await until(pilot, lambda: isinstance(app.screen, AskStop))
            await pilot.press("z")
            await until(pilot, lambda: app.launch.outcome is not None)
        assert app.launch.outcome.reason == "goes on in the background"
        told = cli(*app.background).out
        assert "line-linear goes on in the background, process " in told
        assert "fivestep attach left comes back to it, fivestep ctl left stop ends it" in told
        remote = attach(runs_folder(), "left")
        picture = reached(remote, State.PAUSED)
        assert (picture.batches_done, picture.lr_factor, picture.speed) == (2, 0.5, 1000.0)
        assert picture.breakpoints == ("epoch > 1000",)
        for command in (SetSpeed(None), Resume()):
            assert remote.taken(remote.send(command)) == ""
        remote.wait()
        remote.close()
    run = RunDirectory(runs_folder() / "left")
    assert run.read_outcome()[0]["state"] == "finished"
    bare = Session(build(load("line-linear", CHANGES)))
    bare.send(ScaleLR(0.5))
    bare.run()
    weights = CheckpointStore(run.checkpoints).newest().state["model"]
    for name, value in bare.training.model.state_dict().items():
        assert value.equal(weights[name])


async def test_a_run_that_could_not_go_on_exactly_stays_on_the_screen(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    write_starter(str(file))
    app = held(FilePlan(load_own(str(file), {})), RunOptions(runs_folder(), "own", hold=True))
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await until(pilot, lambda: paused(app))
        file.write_text(file.read_text() + "\n# another thought\n")
        await pilot.press("z")
        await until(
            pilot, lambda: "mine.py was changed since it began" in " ".join(seen(app).split())
        )
        assert paused(app)
        assert not app.leaving


async def test_a_run_that_keeps_nothing_says_so() -> None:
    app = held(RecipePlan(load("line-linear", CHANGES)), replace(NOTHING, hold=True))
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: paused(app))
        assert "it can't go on without this screen" in why_not("z", app.screen.situation)
        await pilot.press("z")
        assert paused(app)
