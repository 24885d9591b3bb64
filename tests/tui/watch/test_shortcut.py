"""What panels draw past Textual leaves the terminal as Textual would have drawn it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyte
import pytest
from rich.console import RenderableType
from textual._compositor import CompositorUpdate
from textual.screen import Screen
from textual.widgets import Static

from fivestep.core.protocol.snapshot import Outcome
from fivestep.core.protocol.steps import State, Step
from fivestep.tui.render.theme import DARK, LIGHT
from fivestep.tui.watch.frames import Parts, lean
from fivestep.tui.watch.pace import Alarm

from ..conftest import WatchApp

Make = Callable[..., Any]


class Shown(WatchApp):
    """The watch screen on a terminal of its own."""

    CSS = "#over { layer: over; dock: top; width: 30; height: 7; margin: 9 5; }"

    def __init__(self, source: Any, columns: int, rows: int, **options: Any) -> None:
        super().__init__(source, **options)
        self.terminal = pyte.Screen(columns, rows)
        self.straight = 0
        """Updates that have not gone through Textual."""

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        update = lean(renderable)
        if isinstance(update, CompositorUpdate) and not self._batch_count:
            self.straight += isinstance(update, Parts)
            pyte.Stream(self.terminal).feed(update.render_segments(self.console))
        super()._display(screen, renderable)

    def is_right(self) -> bool:
        """Whether the terminal shows what the whole screen would be drawn as."""
        whole = pyte.Screen(self.terminal.columns, self.terminal.lines)
        update = self.screen._compositor.render_full_update()
        pyte.Stream(whole).feed(update.render_segments(self.console))
        assert self.terminal.display == whole.display
        return all(
            self.terminal.buffer[y][x] == whole.buffer[y][x]
            for y in range(whole.lines)
            for x in range(whole.columns)
        )


@pytest.mark.parametrize(
    ("size", "options"),
    [((120, 36), {}), ((80, 24), {"ascii": True}), ((200, 50), {}), ((120, 36), {"no_color": "1"})],
)
async def test_the_terminal_shows_the_screen_whatever_happens(
    size: tuple[int, int],
    options: dict[str, Any],
    make_source: Make,
    make_picture: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if options.pop("no_color", None):
        monkeypatch.setenv("NO_COLOR", "1")
    generator = random.Random(sum(size))
    source = make_source(make_picture(300))
    app = Shown(source, *size, **options)
    done = 300
    now = [0.0]
    keys = ("v", "i", "question_mark", "escape", "m", "g", "l", "slash", "k", "down", "p", "x")
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        assert app.is_right()
        screen = app.watch_screen
        screen._clock = lambda: now[0]
        for _ in range(16):
            now[0] += 10.0
            done += generator.randint(0, 40)
            source.step = generator.choice([*Step])
            source.snapshot = make_picture(
                done,
                state=generator.choice([State.RUNNING, State.PAUSED, State.VALIDATING]),
                step=source.step,
                loss=generator.choice([1.0, 0.01, float("nan")]),
            )
            what = generator.randrange(10)
            if what == 0:
                await pilot.press(generator.choice(keys))
            elif what == 1:
                app.theme = LIGHT.name if app.theme == DARK.name else DARK.name
            elif what == 2:
                screen.messages.add("雪 and é " * generator.randint(1, 30), "warning")
            elif what == 3:
                app.notify("over the panels", timeout=3600)
            if app.screen is not screen and generator.random() < 0.7:
                await pilot.press("escape")
            screen.tick()
            await pilot.pause()
            assert app.screen is not screen or app.is_right()
        while app.screen is not screen:
            app.pop_screen()
        source.snapshot = make_picture(done, state=State.FINISHED)
        source.outcome = Outcome(State.FINISHED, "done")
        screen.tick()
        await pilot.pause()
        assert app.is_right()
        assert app.straight > 4


async def test_what_lies_over_a_panel_stays(make_source: Make, make_picture: Make) -> None:
    source = make_source(make_picture(300))
    app = Shown(source, 120, 36)
    async with app.run_test(size=(120, 36)) as pilot:
        screen = app.watch_screen
        screen.styles.layers = ("default", "over")
        await screen.mount(Static("over " * 60, id="over"))
        await pilot.pause()
        before = app.straight
        for step in Step:
            source.step = step
            source.snapshot = make_picture(300 + int(step))
            screen.tick()
            await pilot.pause()
            assert "over over over" in "\n".join(app.terminal.display)
            assert app.is_right()
        assert app.straight > before  # the others are drawn on


async def test_nothing_is_drawn_under_another_screen(make_source: Make, make_picture: Make) -> None:
    source = make_source(make_picture(300))
    app = Shown(source, 120, 36)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.pause()
        await app.push_screen(Screen())
        await pilot.pause()
        before = app.straight
        source.snapshot = replace(make_picture(400), state=State.PAUSED)
        app.watch_screen.tick()
        await pilot.pause()
        assert app.straight == before
        assert app.is_right()
        app.pop_screen()
        await pilot.pause()
        assert "PAUSED" in app.terminal.display[0]
        assert app.is_right()


async def test_an_alarm_rings_once_and_tells_what_goes_wrong() -> None:
    rung: list[str] = []
    failures: list[Exception] = []

    def ring() -> None:
        rung.append("rung")
        raise ValueError("too loud")

    alarm = Alarm(ring, failures.append)
    alarm.set(3600)
    alarm.set(0)
    while not failures:
        await asyncio.sleep(0)
    alarm.set(0)
    alarm.stop()
    alarm.stop()
    later = asyncio.Event()
    Alarm(later.set, failures.append).set(0)  # behind where the stopped one would have rung
    await later.wait()
    assert rung == ["rung"]
    assert str(failures[0]) == "too loud"
