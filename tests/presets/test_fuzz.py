"""Hostile recipes: whatever the file or the command line says, a Recipe or a RecipeError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fivestep.presets import registry
from fivestep.presets.catalogue import DATASETS, MODELS
from fivestep.presets.recipe import Recipe, RecipeError, load
from fivestep.presets.recipe_check import SECTIONS, TOP
from fivestep.presets.value_types import Flag, Option, Pair, Real, Several, Text, Whole, Word

EVERY_NAME = [name for _, choices in SECTIONS.values() for name in choices]
EVERY_KEY = sorted({key for _, c in SECTIONS.values() for options in c.values() for key in options})

scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-2, 300),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([*EVERY_NAME, "auto", "off", "cpu", "__import__('os')", "os.system"]),
    st.dates(),
)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=4), max_leaves=6)
keys = st.one_of(st.sampled_from([*EVERY_KEY, "name", "__class__"]), st.text(max_size=8))
sections = st.dictionaries(keys, values, max_size=5)
files = st.dictionaries(
    st.one_of(st.sampled_from([*TOP, *SECTIONS, "expect"]), st.text(max_size=8)),
    st.one_of(values, sections),
    max_size=8,
)
many = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fuzz.toml"


def outcome(name: str, overrides: dict[str, Any] | None = None) -> Recipe | None:
    """What loading gives: a recipe, or None after one clean line."""
    recipe, text = None, ""
    try:
        recipe = load(name, overrides)
    except RecipeError as error:
        text = str(error)
    assert recipe is not None or text
    assert len(text) < 1000
    assert text.isprintable()
    return recipe


def acceptable(option: Option) -> st.SearchStrategy[Any]:
    """Values that an option says it accepts."""
    match option:
        case Whole():
            return st.integers(option.low, option.high) | st.sampled_from([option.default])
        case Real():
            inside = {"exclude_min": option.above, "exclude_max": option.below}
            numbers = st.floats(option.low, option.high, **inside)
            return numbers | st.sampled_from([option.default])
        case Flag():
            return st.booleans()
        case Word():
            return st.sampled_from(option.choices)
        case Several():
            return st.lists(acceptable(option.item), min_size=option.least, max_size=option.most)
        case Pair():
            return st.just(list(option.default))
        case Text():
            return st.text(max_size=50)
    return st.just(option.default)


def section(choices: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(sorted(choices)).flatmap(
        lambda chosen: st.fixed_dictionaries(
            {"name": st.just(chosen)},
            optional={key: acceptable(option) for key, option in choices[chosen].items()},
        )
    )


right_files = st.fixed_dictionaries(
    {name: section(dict(choices)) for name, (_, choices) in SECTIONS.items()},
    optional={key: acceptable(option) for key, option in TOP.items() if option.default is not None},
)


@many
@given(right_files)
def test_whatever_an_option_says_it_accepts(file: Path, table: dict[str, Any]) -> None:
    """Values in range are taken, and the resolved recipe is the same recipe."""
    file.write_text(tomlkit.dumps(table), encoding="utf-8")
    kinds = MODELS[table["model"]["name"]].takes
    dataset = table["dataset"]
    no_file = dataset["name"] == "csv" and dataset.get("task", "auto") == "auto"
    other_metric = table["scheduler"].get("metric", "val_loss") != "val_loss"  # the task has others
    if no_file or other_metric or DATASETS[dataset["name"]].kind not in kinds:
        assert outcome(str(file)) is None
        return
    recipe = load(str(file))
    file.write_text(recipe.to_toml(), encoding="utf-8")
    assert load(str(file)) == recipe


@many
@given(files)
def test_any_table(file: Path, table: dict[str, Any]) -> None:
    file.write_text(tomlkit.dumps(table), encoding="utf-8", errors="replace")
    assert outcome(str(file)) is None


@many
@given(
    st.sampled_from(registry.names()),
    st.dictionaries(
        st.one_of(
            st.sampled_from([*TOP, *(f"{s}.name" for s in SECTIONS)]),
            st.builds("{}.{}".format, st.sampled_from([*SECTIONS]), keys),
            st.text(max_size=8),
        ),
        values,
        max_size=4,
    ),
)
def test_any_override(name: str, overrides: dict[str, Any]) -> None:
    outcome(name, overrides)
