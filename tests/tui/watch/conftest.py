"""A real run, paused, on a watch screen that is driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fivestep.core.protocol.commands import Pause, Stop
from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.presets.build import build
from fivestep.presets.recipe import load
from fivestep.tui.widgets.panel import Panel

from ..conftest import WatchApp, seen

Make = Callable[..., Any]
LONG = {"epochs": 100_000}


class Run:
    """A session, held, on a watch screen that draws when it is told to."""

    def __init__(self, session: Session, app: Any, pilot: Any) -> None:
        self.session, self.app, self.pilot = session, app, pilot

    @property
    def screen(self) -> Any:
        return self.app.watch_screen

    async def until(self, condition: Callable[[], bool]) -> None:
        """Draw until the condition holds."""
        async with asyncio.timeout(30):
            while not condition():
                self.screen.tick()
                await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        """Press keys of the watch screen, and wait for what they do."""
        for key in keys:
            self.screen.action_press(key)
            await self.pilot.pause()
            self.screen.tick()

    async def advance(self, key: str = "s") -> None:
        """Take one step, or what another key takes, up to the next pause."""
        s = self.screen.snapshot
        before = (s.step, s.batches_done)
        await self.press(key)
        await self.until(
            lambda: (
                (self.screen.snapshot.step, self.screen.snapshot.batches_done) != before
                and self.screen.snapshot.state is State.PAUSED
            )
        )
        await self.pilot.pause()

    async def step(self) -> str:
        """Take one step; the sentence on what it did."""
        await self.advance()
        rows = seen(self.app).splitlines()
        at = next(i for i, row in enumerate(rows) if "inside the model" in row)
        return " ".join(row.split("│")[-2].strip() for row in rows[at + 1 : at + 3]).strip()

    async def through(self) -> dict[str, str]:
        """Walk through the batch under way, or the next one; each step's sentence by its name."""
        said = {}
        done = self.screen.snapshot.batches_done
        while self.screen.snapshot.batches_done == done:
            name = self.screen.snapshot.step.info.name
            said[name] = await self.step()
        return said


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    """Gives an async context: a preset's run, held before its first batch, at a window's size."""
    sessions: list[Session] = []

    class Context:
        def __init__(
            self, name: str, size: tuple[int, int], overrides: Any = LONG, **options: Any
        ) -> None:
            self.session = Session(build(load(name, overrides)), **options)
            self.app = WatchApp(self.session)
            self.test = self.app.run_test(size=size)

        async def __aenter__(self) -> Run:
            sessions.append(self.session)
            self.session.send(Pause())
            self.session.start()
            self.session.snapshot()
            run = Run(self.session, self.app, await self.test.__aenter__())
            await run.until(lambda: run.screen.snapshot.state is State.PAUSED)
            return run

        async def __aexit__(self, *error: Any) -> None:
            assert all(p.failure is None for p in self.app.watch_screen.query(Panel))
            self.session.send(Stop())  # an app takes seconds to end beside a run at full speed
            await self.test.__aexit__(*error)

    yield Context
    for session in sessions:
        session.send(Stop())
        assert session.join(20)
