"""Recipes as data: the presets themselves, overrides, and the resolved TOML."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from offline import OFFLINE

from fivestep.core.protocol.steps import Task
from fivestep.presets import registry
from fivestep.presets.build import build
from fivestep.presets.recipe import ALIASES, Recipe, load, parse_set

CHANGES: list[dict[str, Any]] = [
    {},
    {"seed": 7, "device": "cpu", "threads": 1},
    {"epochs": 3, "optimizer.lr": 1e-7, "clip_norm": 1},
    {"optimizer.name": "adafactor", "scheduler.name": "step"},
    {"criterion.name": "huberloss", "criterion.delta": 3},
    {"freeze": ["0.*", "*norm*"], "amp": "fp16", "compile": True},
    {"name": "other", "description": 'quote " backslash \\ ünï\x7f\n'},
]


@pytest.fixture(params=registry.names())
def preset(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_default_is_a_preset() -> None:
    assert registry.DEFAULT in registry.names()
    assert registry.find("../recipe") is None


def text_of(preset: str) -> str:
    """What the file of a preset says."""
    found = registry.find(preset)
    assert found is not None
    return found.path.read_text(encoding="utf-8")


def test_a_preset_opens_with_its_command_and_what_to_expect(preset: str) -> None:
    recipe = load(preset)
    command, text, *_ = text_of(preset).splitlines()
    assert command == f"# fivestep train {preset}" == f"# {recipe.command}"
    assert recipe.expect is not None
    assert text == f"# {recipe.expect.text}"
    assert recipe.description
    if preset in OFFLINE:
        assert recipe.expect.metric == Task(recipe.task).metric_name
        assert recipe.expect.value
        assert recipe.expect.seconds
    else:
        assert "not run" in recipe.expect.text
        assert recipe.expect.value is None


def test_a_preset_tells_how_many_parameters_its_model_has(preset: str, published: Path) -> None:
    recipe = load(preset)
    assert recipe.expect is not None
    elsewhere = {} if preset in OFFLINE else {"dataset.data_dir": str(published)}
    assert recipe.expect.parameters == build(load(preset, elsewhere)).parameters


@pytest.mark.parametrize("changes", CHANGES)
def test_the_resolved_recipe_loads_as_the_same_recipe(
    preset: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    recipe = load(preset, changes)
    text = recipe.to_toml()
    assert all(
        f"\n{key} = " in text for key in ("seed", "epochs", "clip_norm", "device", "threads")
    )
    assert '"auto"' not in text.partition("[criterion]")[2]
    file = tmp_path / "resolved.toml"
    file.write_text(text, encoding="utf-8")
    again = load(str(file))
    assert again == recipe
    assert again.to_toml().partition("\n")[2] == text.partition("\n")[2]
    assert again.command == f"fivestep train {file}"


def test_the_command_repeats_the_overrides() -> None:
    changes = {"epochs": 3, "optimizer.lr": 0.5, "model.widths": [8, 8], "name": "a"}
    recipe = load("digits-mlp", changes)
    expected = "fivestep train digits-mlp --epochs 3 --lr 0.5 --set 'model.widths=[8, 8]'"
    assert recipe.command.startswith(expected)
    assert recipe.to_toml().startswith(f"# {expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs=3", ("epochs", 3)),
        (" optimizer.lr = 1e-3 ", ("optimizer.lr", 1e-3)),
        ("model.widths=[1, 2]", ("model.widths", [1, 2])),
        ("optimizer.nesterov=true", ("optimizer.nesterov", True)),
        ("optimizer.name=adam", ("optimizer.name", "adam")),
        ("optimizer.name='adam'", ("optimizer.name", "adam")),
        ("description=a = b", ("description", "a = b")),
        ("epochs=1\nseed = 2", ("epochs", "1\nseed = 2")),
        ("epochs=" + "[" * 100_000, ("epochs", "[" * 100_000)),
        ("name=", ("name", "")),
        ("data.path=my.csv", ("dataset.path", "my.csv")),
    ],
)
def test_set_reads_values_as_toml_or_as_they_stand(text: str, expected: tuple[str, Any]) -> None:
    assert parse_set(text) == expected


def test_every_alias_sets_a_key() -> None:
    values = {
        "epochs": 2,
        "batch_size": 16,
        "optimizer.lr": 0.25,
        "optimizer.name": "sgd",
        "seed": 5,
        "device": "cpu",
        "threads": 1,
        "amp": "bf16",
        "compile": True,
        "early_stop": 5,
        "model.name": "mlp",
        "dataset.name": "mnist",
        "dataset.data_dir": "here",
    }
    assert set(ALIASES.values()) == set(values)
    table = load("digits-cnn", values).table
    for key, value in values.items():
        section, dot, rest = key.partition(".")
        found = table[section][rest] if dot else table[key]
        assert str(found).lower() == str(value).lower()


def test_mixed_precision_and_compiling_are_off_unless_asked_for() -> None:
    recipe = load("iris-mlp")
    assert (recipe.amp, recipe.compile) == ("off", False)
    asked = load("iris-mlp", {"amp": "BF16", "compile": True})
    assert (asked.amp, asked.compile) == ("bf16", True)
    assert asked.command == "fivestep train iris-mlp --amp BF16 --compile"
    assert load("iris-mlp", {"compile": False}).command.endswith("--set compile=false")


def options(recipe: Recipe, section: str) -> dict[str, Any]:
    return dict(getattr(recipe, section).options)


def test_another_optimizer_starts_from_its_own_defaults() -> None:
    recipe = load("docs-gpt", {"optimizer.name": "sgd", "optimizer.momentum": 0.9})
    assert recipe.optimizer.name == "SGD"
    assert options(recipe, "optimizer")["lr"] == 1e-3
    assert options(recipe, "optimizer")["momentum"] == 0.9
    assert "betas" not in recipe.optimizer.options
    assert load("docs-gpt", {"optimizer.name": "adamw"}).optimizer == load("docs-gpt").optimizer


def test_another_data_set_brings_its_own_loss_and_task() -> None:
    recipe = load("line-linear", {"dataset.name": "spirals"})  # line-linear names MSELoss
    assert recipe.task == "classification"
    assert recipe.criterion.name == "CrossEntropyLoss"
    assert options(recipe, "dataset")["arms"] == 3


def test_a_loss_that_is_asked_for_stays() -> None:
    changes = {"dataset.name": "line", "criterion.name": "huberloss", "criterion.delta": 2}
    recipe = load("spirals-mlp", changes)
    assert recipe.criterion.name == "HuberLoss"
    assert options(recipe, "criterion") == {"delta": 2.0}


def test_a_loss_stays_where_the_task_does(write: Any) -> None:
    file = write(text_of("digits-mlp") + '\n[criterion]\nname = "NLLLoss"\n')
    assert load(file, {"dataset.name": "spirals"}).criterion.name == "NLLLoss"


def test_a_promise_holds_only_for_the_recipe_as_it_stands() -> None:
    assert load("digits-cnn", {"seed": 3, "device": "cpu", "threads": 2}).expect is not None
    assert load("digits-cnn", {"epochs": 1}).expect is None
    assert load("digits-cnn", {"epochs": 1}).description
    assert not load("digits-cnn", {"model.name": "mlp"}).description


def test_a_file_without_a_name_is_called_after_itself(tmp_path: Path) -> None:
    file = tmp_path / "..my run!.toml"
    file.write_text(text_of("line-linear"), encoding="utf-8")
    assert load(str(file)).name == "my-run-"


def test_a_byte_order_mark_and_windows_line_ends_are_no_obstacle(write: Any) -> None:
    text = text_of("line-linear")
    file = write(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert load(file, {"name": "line-linear"}).optimizer == load("line-linear").optimizer


def test_what_cannot_be_printed_is_left_out_of_texts(write: Any) -> None:
    text = text_of("line-linear")
    text = text.replace("A straight", "\\u001b]0;evil\\u0007\\u202eA straight")
    assert load(write(text)).description.startswith("]0;evilA straight")


def test_choosing_needs_no_torch() -> None:
    code = (
        "import sys; from fivestep.presets import registry; from fivestep.presets.recipe import *\n"
        "[load(name).to_toml() for name in registry.names()]\n"
        "print({'torch', 'numpy', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
