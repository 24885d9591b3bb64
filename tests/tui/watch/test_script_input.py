"""A line that is typed for a script: the question as it was asked, the answer as it was given."""

from __future__ import annotations

from types import SimpleNamespace

from pictures import until  # tests is on the path
from textual.app import App
from textual.events import Key

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
        for key in ("y", "enter", "escape"):  # in one burst: nothing overtakes what was typed
            app.post_message(Key(key, "y" if key == "y" else None))
        await until(pilot, lambda: written == ["y\n"])
        assert written == ["y\n"]
        await app.push_screen(ScriptInput(script))
        await pilot.press("ctrl+d")
        await until(pilot, lambda: written == ["y\n", "\x04"])
