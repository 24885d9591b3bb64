"""A person's own presets in the list, on the command line, and on the choosing screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fivestep.tui.app.app import FivestepApp
from fivestep.tui.choose.preset_list import PresetList
from fivestep.tui.choose.start import CommandLine

from ..conftest import Cli

RECIPE = """
description = "A line of mine."
dataset = { name = "line" }
model = { name = "linear" }
optimizer = { name = "SGD" }
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "fivestep" / "presets"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(RECIPE)
    (folder / "digits-cnn.toml").write_text(RECIPE)
    (folder / "wrong\x1b[31m.toml").write_text("epochs = 'x\x1b]0;owned\x07'")
    return folder


def test_they_are_listed_as_the_persons_own(own: Path, cli: Cli) -> None:
    rows = [row for row in cli("presets").out.splitlines() if "(yours)" in row]
    assert [row.split()[0] for row in rows] == ["digits-cnn", "mine", "wrong"]
    assert "can't be used: hidden by fivestep's preset of that name; fivestep train " in rows[0]
    assert "linear" in rows[1]
    assert "can't be used: " in rows[2]
    assert "\x1b" not in "".join(rows)


def test_programs_get_whose_they_are_and_what_is_wrong(cli: Cli) -> None:
    presets = json.loads(cli("presets", "--json").out)
    yours = [preset for preset in presets if preset["source"] == "yours"]
    assert [("error" in preset, preset["name"]) for preset in yours][1] == (False, "mine")
    assert [sorted(p) for p in yours if "error" in p] == [["error", "name", "path", "source"]] * 2


def test_one_trains_by_its_name(cli: Cli) -> None:
    assert cli("train", "mine", "--no-ui", "--epochs", "1").out.startswith(
        "mine: linear on line, 1 epoch"
    )


async def test_the_choosing_screen_has_them_beside_ours() -> None:
    app = FivestepApp()
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.pause()
        presets = app.screen.query_one(PresetList)
        texts = [str(option.prompt) for option in presets.options]
        assert sum("digits-cnn" in text for text in texts) == 1
        assert texts[texts.index("yours") + 1].split()[0] == "mine"
        presets.choose("mine")
        await pilot.pause()
        assert app.screen.query_one(CommandLine).command == "fivestep train mine"
        presets.choose(next(name for name in presets.names if name.startswith("wrong")))
        await pilot.pause()
        assert app.screen.query_one(CommandLine).command == ""
