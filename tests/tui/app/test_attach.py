"""The attached screen: a run elsewhere, watched and steered like one of its own, and left alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pictures import until  # tests is on the path
from served import HERE, Served, runtime

from fivestep.core.protocol.commands import SetLR, Stop
from fivestep.core.protocol.steps import State
from fivestep.core.storage.run_index import RunSummary
from fivestep.presets.build import build
from fivestep.presets.recipe import load
from fivestep.tui.app.attach import AttachApp
from fivestep.tui.render.keymap import why_not
from fivestep.tui.setup.attach import live_runs
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import RunOptions, runs_folder
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.terminal.signals import Signals
from fivestep.tui.watch.dialogs import AskStop
from fivestep.tui.watch.watch import WatchScreen
from fivestep.tui.widgets.messages import MessageLog

from ..conftest import seen


@pytest.fixture
def served() -> Iterator[Served]:
    with runtime():
        run = Served(build(load("line-linear", {"epochs": 100_000})))
        yield run
        run.end()


def screen_of(served: Served) -> AttachApp:
    return AttachApp(Path(), [], served.attach(), MessageLog(), Signals())


def state(app: AttachApp) -> State | None:
    screen = app.screen
    snapshot = screen.snapshot if isinstance(screen, WatchScreen) else None
    return None if snapshot is None else snapshot.state


async def test_a_run_elsewhere_is_steered_and_left_alone(served: Served) -> None:
    app = screen_of(served)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: state(app) is State.PAUSED)
        await pilot.press("minus", "space")
        await until(pilot, lambda: state(app) is State.RUNNING)
        assert "q leave" in seen(app)
        await until(pilot, lambda: app.remote.device() is not None)
        assert app.remote.device().name == served.session.info.device
        await until(pilot, lambda: " MiB of " in seen(app))  # memory of the run's process
        await until(pilot, lambda: "× 0.5 by hand" in seen(app))
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, AskStop))
        await pilot.press("l")
    assert served.session.outcome is None
    assert served.session.snapshot().lr_factor == 0.5


async def test_it_can_be_stopped_from_there_and_shows_how_it_ended(served: Served) -> None:
    app = screen_of(served)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: state(app) is State.PAUSED)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, AskStop))
        await pilot.press("b")
        await until(pilot, lambda: "STOPPED" in seen(app))
        assert "run again" not in seen(app)
        await pilot.press("r")  # the run is not this process's to start again
        assert "not in an attached screen" in why_not("r", app.screen.situation)
        await pilot.press("q")
    assert served.session.outcome.state is State.STOPPED


async def test_what_a_refusal_says_is_no_markup() -> None:
    app = AttachApp(
        Path("[/red]"), [RunSummary("gone", Path("gone"))], None, MessageLog(), Signals()
    )
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        await pilot.press("down", "enter")
        await until(pilot, lambda: 'no run gone in "[/red]"' in seen(app))


async def test_the_second_screen_takes_over_and_the_first_is_told(served: Served) -> None:
    first = served.attach()
    app = screen_of(served)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: state(app) is State.PAUSED and bool(app.remote.steerer))
        await pilot.press("space")
        await until(pilot, lambda: "O take over" in seen(app))
        assert state(app) is State.PAUSED
        await pilot.press("O")
        await until(pilot, lambda: app.remote.steerer == "" and first.steerer != "")
        assert "O takes over" in first.notices[-1]
        await pilot.press("space")
        await until(pilot, lambda: state(app) is State.RUNNING)


async def test_each_change_is_told_once_and_in_order_whoever_steers(served: Served) -> None:
    first, script = served.attach(), served.attach(watches=False)
    for lr in (0.5, 0.25):
        assert script.taken(script.send(SetLR(lr))) == ""
    # The screen comes long after that.
    log = MessageLog(lambda: time.time() + 100)
    app = AttachApp(Path(), [], served.attach(), log, Signals())
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: state(app) is State.PAUSED and bool(app.remote.steerer))
        await pilot.press("O")
        await until(pilot, lambda: app.remote.steerer == "")
        await pilot.press("minus")
        await until(pilot, lambda: "→ 0.125" in seen(app))
        first.take_over()
        await until(pilot, lambda: app.remote.steerer != "")
        assert script.taken(script.send(SetLR(1.0))) == ""
        await until(pilot, lambda: any("→ 1 " in entry.text for entry in log.entries()))
        told = [entry.text for entry in log.entries()]
    changes = [change.text for change in served.session.snapshot().changes]
    shown = [text.rpartition(" · batch ")[0] for text in told if " · batch " in text]
    assert shown == changes
    assert told[0].startswith("run line-linear")
    assert next(i for i, text in enumerate(told) if "steers" in text) > told.index(
        f"{changes[1]} · batch 0"
    )


async def test_a_run_whose_process_is_killed_says_so(served: Served) -> None:
    app = screen_of(served)
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: state(app) is State.PAUSED)
        app.remote._address = "/nowhere"
        served.session._server._drop(next(iter(served.session._server._clients.values())))
        await until(pilot, lambda: "FAILED" in seen(app))
        shown = seen(app)
        assert "the run's process has gone" in shown
        assert "run again" not in shown
        assert "where" not in shown.split("FAILED")[-1].split("kept in")[0]
        assert shown.count(HERE.resume_command) == 1


async def test_of_several_live_runs_one_is_chosen() -> None:
    with runtime():
        sessions = []
        for name in ("one", "two"):
            plan = RecipePlan(load("line-linear", {"epochs": 100_000}))
            builder = RunBuilder.begin(plan, RunOptions(runs_folder(), name))
            sessions.append(builder.session(None, "stop"))
            sessions[-1].start()
        runs = live_runs(runs_folder())
        assert {run.name for run in runs} == {"one", "two"}
        app = AttachApp(runs_folder(), runs, None, MessageLog(), Signals())
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: "attach to which run?" in seen(app))
            await pilot.press("down", "enter")
            await until(pilot, lambda: state(app) is State.RUNNING)
            assert Path(app.remote.location.place).name == runs[1].name
        app.remote.close()
        for session in sessions:
            session.send(Stop())
            assert session.join(60)
