"""A person's own settings: which hold, where they come from, what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fivestep.core.protocol.steps import State
from fivestep.tui.app.app import FivestepApp
from fivestep.tui.render.keymap import COMMANDS, KEYS, Situation, for_key, keyed
from fivestep.tui.render.rebinding import rebind
from fivestep.tui.widgets.theme import LIGHT

from ..conftest import Cli, FakeSource, picture, seen, watching

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes the settings file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def write(text: str) -> Path:
        file = tmp_path / "fivestep/config.toml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    yield write
    rebind({})


def test_config_shows_what_holds_and_where_it_comes_from(
    cli: Cli, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write('theme = "light"\nbell = true\nfps = 5\nruns_dir = "elsewhere"\nkeys.pause = "P"')
    monkeypatch.setenv("FIVESTEP_BELL", "no")
    said = json.loads(cli("config", "--notify", "true", "--json").out)
    assert said["file"] == str(file)
    found = {name: (one["value"], one["source"]) for name, one in said["settings"].items()}
    assert found["theme"] == ("light", str(file))
    assert found["notify"] == ("true", "--notify")
    assert found["bell"] == (False, "FIVESTEP_BELL")
    assert found["runs_dir"] == (os.environ["FIVESTEP_RUNS"], "FIVESTEP_RUNS")
    assert found["keys.resume"] == (["P"], str(file))  # as pause, whose key it shares
    assert found["keys.step"] == (["s"], "default")
    table = cli("config").out.splitlines()
    assert table[0] == str(file)
    assert ["fps", "5", str(file)] in [row.split() for row in table]


def test_a_settings_file_moves_the_runs_and_picks_the_theme(
    cli: Cli, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIVESTEP_RUNS")
    write(f'theme = "light"\nruns_dir = "{tmp_path}/kept"')
    assert f"no runs in {tmp_path}/kept" in cli("runs").out
    assert FivestepApp().theme == LIGHT.name


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('tehme = "dark"', 'there is no setting "tehme"; did you mean theme?'),
        ('theme = "blue"', 'theme: expected dark or light, not "blue"'),
        ("fps = 1000", "fps: expected a number from 0.5 to 30, not 1000"),
        ("bell = 3", "bell: expected true or false, not 3"),
        ('bell = "no"', 'bell: expected true or false, not "no"'),
        ('fps = "5"', 'fps: expected a number from 0.5 to 30, not "5"'),
        ('runs_dir = ""', 'runs_dir: expected a folder, not ""'),
        ("fps =", "Invalid value (at end of document)"),
        ("keys = 1", "keys: expected a section, [keys], not 1"),
        ('keys.pose = "P"', 'keys: there is no command "pose"; did you mean pause?'),
        ('keys.pause = "spaec"', 'keys.pause: there is no key "spaec"; did you mean space?'),
        ('keys.pause = "ctrl+c"', "keys.pause: ctrl+c always asks to stop"),
        ('keys.pause = "p"', "keys: p would be both pause and picture; give one another key"),
        ("keys.pause = []", "keys.pause: expected a key, not an empty list"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    cli: Cli, write: Write, monkeypatch: pytest.MonkeyPatch, text: str, line: str
) -> None:
    monkeypatch.delenv("FIVESTEP_RUNS")
    file = write(text)
    assert cli.refused("presets") == f"{file}: {line}"


def test_a_variable_that_makes_no_sense_is_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIVESTEP_FPS", "fast")
    assert cli.refused("config").startswith("FIVESTEP_FPS: expected a number from 0.5 to 30")


async def test_another_key_does_it_and_is_told_wherever_keys_are_told() -> None:
    usual = list(COMMANDS)
    rebind({"pause": ["P", "f2"], "picture": "space", "stop": "Q", "inside": "<", "slower": "i"})
    try:
        running, paused = Situation(State.RUNNING), Situation(State.PAUSED)
        assert for_key("P", running).id == for_key("f2", running).id == "pause"
        assert for_key("P", paused).id == "resume"
        assert for_key("space", running).id == "picture"
        assert for_key("less_than_sign", running).id == "inside"
        assert for_key("Q", running).id == for_key("ctrl+c", running).id == "stop"
        assert for_key("Q", Situation(State.FINISHED)).id == "quit"
        assert {"P", "f2", "Q"} < set(KEYS)
        assert keyed("{resume} goes on") == "P goes on"
        async with watching(FakeSource(picture())) as (app, pilot):
            app.watch_screen.tick()
            await pilot.pause()
            assert " P pause " in seen(app)
    finally:
        rebind({})
    assert usual == COMMANDS
