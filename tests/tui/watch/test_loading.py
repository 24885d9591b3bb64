"""While a run is built the screen and the lines say what is being done, and move."""

from __future__ import annotations

import os
import re
from types import SimpleNamespace
from typing import Any

from pictures import until  # tests is on the path
from textual.app import App

from fivestep.presets.recipe import load
from fivestep.tui.headless.text_reporter import TextReporter
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.terminal.output import Output
from fivestep.tui.watch.loading import LoadingScreen
from fivestep.tui.widgets.messages import MessageLog

from ..conftest import seen


async def test_the_screen_says_what_is_done_for_how_long_and_what_was_printed() -> None:
    doing, log = ["reading digits"], MessageLog()
    log.add("of an earlier run")
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(LoadingScreen("mine[/]", lambda: doing[0], log))
        await until(pilot, lambda: "reading digits ... " in seen(app))
        assert "mine[/]" in seen(app)
        before = seen(app)
        await until(pilot, lambda: seen(app) != before)
        doing[0] = "making the model cnn"
        log.add("line 1\n75 % of it\x1b[2J")
        await until(pilot, lambda: "making the model cnn ... " in seen(app))
        assert "75 % of it" in seen(app)
        assert "earlier" not in seen(app)
        await pilot.press("s")
        await until(pilot, lambda: "that key works as soon as it is loaded" in seen(app))


def test_lines_on_a_terminal_say_it_in_one_that_is_rewritten() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "wb", 0) as stream, os.fdopen(ours, "rb", 0) as terminal:
        builder: Any = SimpleNamespace(doing="reading digits")
        with TextReporter(Output(stream)).loading(builder):
            said = _until(terminal, r"\rreading digits \.\.\. [^\r]+")
            builder.doing = "making the model cnn"
            said += _until(terminal, r"\rmaking the model cnn \.\.\. [^\r]+")
        assert "\n" not in said
        assert _until(terminal, r"\r\x1b\[K$")


def _until(terminal: Any, pattern: str) -> str:
    text = ""
    while not re.search(pattern, text):
        text += terminal.read(1000).decode()
    return text


def test_building_tells_each_part_of_its_work() -> None:
    told: list[str] = []
    RecipePlan(load("line-linear")).build(told.append)
    assert told == [
        "reading line",
        "making the model linear",
        "trying the model on a few samples",
        "making the optimizer SGD",
    ]
