"""README's pictures, taken from the running program: `make pictures`."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from served import Served, runtime
from textual.pilot import Pilot

from fivestep.core.protocol.commands import Pause, Resume, ScaleLR
from fivestep.presets.build import build
from fivestep.presets.recipe import load
from fivestep.tui.app.app import FivestepApp
from fivestep.tui.app.attach import AttachApp
from fivestep.tui.choose.screen import ChooseScreen
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import NOTHING
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.terminal.signals import Signals
from fivestep.tui.watch.watch import WatchScreen
from fivestep.tui.widgets.messages import MessageLog

HERE = Path(__file__).parents[1] / ".github" / "pictures"
PATIENCE = 60.0


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Let the app run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await pilot.pause(0.02)


async def choosing() -> None:
    app = FivestepApp()
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        screen = app.screen
        await until(pilot, lambda: screen.settled and screen.preview is not None)
        await pilot.pause()
        save(app, "choose")


def paused(screen: WatchScreen) -> bool:
    return screen.snapshot is not None and screen.snapshot.state == "paused"


async def step(pilot: Pilot[None], screen: WatchScreen) -> None:
    """Take one step."""
    before = screen.snapshot.step if screen.snapshot else None
    screen.action_press("s")
    await until(pilot, lambda: bool(screen.snapshot and screen.snapshot.step != before))


async def watching() -> None:
    # Paused: an app under test takes seconds to settle beside a run at full speed.
    options = replace(NOTHING, hold=True)
    app = FivestepApp(RunBuilder(RecipePlan(load("digits-cnn")), options, None))
    async with app.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WatchScreen))
        screen = app.screen
        await until(pilot, lambda: paused(screen))
        # Keys go to the screen itself: the pilot's own wait for a moment of rest.
        screen.action_press("space")
        await until(pilot, lambda: bool(screen.snapshot and screen.snapshot.batches_done > 900))
        screen.action_press("space")
        await until(pilot, lambda: paused(screen))
        screen.action_press("minus")
        while screen.snapshot is None or screen.snapshot.step.info.name != "backward":
            await step(pilot, screen)
        await pilot.pause(0.6)
        save(app, "paused")
        screen.action_press("i")
        await pilot.pause(0.6)
        await step(pilot, screen)  # backward
        await step(pilot, screen)  # the update
        await pilot.pause(0.6)
        save(app, "inside")
        screen.action_press("i")
        await pilot.pause(0.3)
        screen.action_press("space")
        await until(pilot, lambda: screen.source.outcome is not None)
        screen.action_press("d")
        await pilot.pause(0.6)
        save(app, "finished")


async def attached() -> None:
    with runtime():
        run = Served(build(load("digits-cnn")))
        script, steers = run.attach(watches=False), run.attach()
        app = AttachApp(Path(), [], run.attach(), MessageLog(), Signals())
        async with app.run_test(size=(120, 36)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, WatchScreen))
            screen = app.screen
            assert isinstance(screen, WatchScreen)
            await until(pilot, lambda: paused(screen))
            steers.send(Resume())
            await until(pilot, lambda: bool(screen.snapshot and screen.snapshot.batches_done > 300))
            script.send(ScaleLR(0.5))
            await until(pilot, lambda: bool(screen.snapshot and screen.snapshot.lr_factor == 0.5))
            steers.send(Pause())
            await until(pilot, lambda: paused(screen))
            app.clear_notifications()
            await pilot.pause(1.5)
            save(app, "attached")
        run.end()


def save(app: FivestepApp, name: str) -> None:
    """Write the screen as it stands."""
    picture = app.export_screenshot(title="fivestep")
    # A picture must not fetch a font from elsewhere: any monospaced one will do.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    picture = picture.replace("Fira Code", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono")
    HERE.mkdir(parents=True, exist_ok=True)
    (HERE / f"{name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(choosing())
    asyncio.run(watching())
    asyncio.run(attached())
    sys.stdout.write(f"written to {HERE}\n")
