"""Which runs a screen starts paused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fivestep.presets.recipe import load
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import NOTHING
from fivestep.tui.setup.plan import RecipePlan


def starts_paused(name: str, overrides: dict[str, Any], hold: bool | None = None) -> bool:
    plan = RecipePlan(load(name, overrides))
    return RunBuilder(plan, replace(NOTHING, hold=hold), None).starts_paused


@pytest.mark.parametrize(
    ("name", "overrides", "paused"),
    [
        ("line-linear", {}, True),
        ("digits-cnn", {}, True),
        ("docs-gpt", {}, False),
        ("line-linear", {"optimizer.lr": 0.2}, True),
        ("line-linear", {"epochs": 100_000}, False),  # that takes its time
        ("docs-gpt", {"epochs": 1}, True),
    ],
)
def test_those_that_would_be_over_before_anybody_sees_them(
    name: str, overrides: dict[str, Any], *, paused: bool
) -> None:
    assert starts_paused(name, overrides) is paused


def test_it_is_as_was_asked_for() -> None:
    assert starts_paused("docs-gpt", {}, hold=True)
    assert not starts_paused("line-linear", {}, hold=False)


def test_of_a_recipe_that_tells_no_time_nothing_is_assumed(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    parts = {"dataset": "line", "model": "linear", "optimizer": "SGD"}
    file.write_text("".join(f'[{key}]\nname = "{name}"\n' for key, name in parts.items()))
    assert not starts_paused(str(file), {})
