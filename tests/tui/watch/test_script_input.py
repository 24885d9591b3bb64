"""A line that is typed for a script: the question as it was asked, the answer as it was given."""

from __future__ import annotations

from types import SimpleNamespace

from pictures import until  # tests is on the path
from textual.app import App

from fivestep.tui.watch.script_input import ScriptInput

from ..conftest import seen


async def test_what_a_script_asks_is_no_markup_and_gets_its_answer() -> None:
    written: list[str] = []
    output = SimpleNamespace(last="remove [bold][/tmp/x]? ")
    script = SimpleNamespace(output=output, hides_input=False, write=written.append)
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(ScriptInput(script))
        await until(pilot, lambda: "remove [bold][/tmp/x]?" in seen(app))
        await pilot.press("y", "enter")
        await until(pilot, lambda: written == ["y\n"])
