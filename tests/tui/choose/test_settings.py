"""What edits come to: checked by the recipe's own rules, shown as a command that would do it."""

from __future__ import annotations

import shlex

import pytest

from fivestep.presets.recipe import load
from fivestep.tui.choose.settings import SETTINGS, Choice, command_line, nudged, resolve
from fivestep.tui.cli import app as cli

PRESET = "digits-cnn"
BY_KEY = {setting.key: setting for setting in SETTINGS}


def test_without_edits_the_recipe_is_as_it_is() -> None:
    resolved = resolve(PRESET, {})
    assert resolved.recipe == load(PRESET)
    assert not resolved.overrides
    assert not resolved.problem
    assert command_line(PRESET, resolved.overrides) == f"fivestep train {PRESET}"
    assert resolved.values.keys() == BY_KEY.keys()


def test_only_what_differs_is_overridden() -> None:
    own = load(PRESET)
    edits = {"epochs": f" {own.epochs} ", "seed": "7", "optimizer.lr": "1e-2", "device": ""}
    resolved = resolve(PRESET, edits)
    assert resolved.overrides == {"seed": 7, "optimizer.lr": 0.01}
    assert command_line(PRESET, resolved.overrides) == f"fivestep train {PRESET} --seed 7 --lr 0.01"


def test_names_are_taken_in_any_case_and_told_in_theirs() -> None:
    assert resolve(PRESET, {"optimizer.name": "sgd"}).overrides == {"optimizer.name": "SGD"}


def test_a_schedule_is_chosen_by_its_name() -> None:
    resolved = resolve(PRESET, {"scheduler.name": "plateau"})
    assert resolved.recipe is not None
    assert resolved.recipe.scheduler.options["metric"] == "val_loss"
    command = command_line(PRESET, resolved.overrides)
    assert command == f"fivestep train {PRESET} --set scheduler.name=plateau"
    wrong = resolve(PRESET, {"scheduler.name": "platau"})
    assert "did you mean plateau?" in wrong.errors["scheduler.name"]


def test_another_optimizer_brings_its_own_learning_rate() -> None:
    own = f"{load(PRESET).optimizer.options['lr']}"
    resolved = resolve(PRESET, {"optimizer.name": "SGD"})
    assert resolved.values["optimizer.lr"] == "0.001"
    kept = resolve(PRESET, {"optimizer.name": "SGD", "optimizer.lr": own})
    assert kept.overrides["optimizer.lr"] == float(own)


def test_every_wrong_field_is_told_at_once_and_the_right_ones_still_count() -> None:
    resolved = resolve(PRESET, {"epochs": "many", "batch_size": "0", "seed": "3"})
    assert resolved.errors.keys() == {"epochs", "batch_size"}
    assert "whole number" in resolved.errors["epochs"]
    assert resolved.complaint("batch_size").startswith("--batch-size: ")
    assert resolved.problem == resolved.complaint("epochs")
    assert resolved.overrides == {"seed": 3}
    assert resolved.values["seed"] == "3"


@pytest.mark.parametrize(
    ("edits", "wrong"),
    [
        ({"dataset.name": "docs"}, "dataset.name"),
        ({"model.name": "gpt"}, "model.name"),
        ({"dataset.name": "line", "model.name": "gpt"}, "model.name"),
    ],
)
def test_a_model_that_does_not_fit_is_one_mistake(edits: dict[str, str], wrong: str) -> None:
    resolved = resolve(PRESET, edits)
    assert list(resolved.errors) == [wrong]
    assert "would fit" in resolved.errors[wrong]
    assert not resolved.fits
    assert resolved.shown is not None  # the data can be pictured all the same
    assert resolved.shown.dataset.name == edits.get("dataset.name", "digits")


def test_a_half_typed_name_keeps_the_picture_as_it_is() -> None:
    resolved = resolve(PRESET, {"dataset.name": "spir"})
    assert resolved.shown is None
    assert "did you mean spirals?" in resolved.errors["dataset.name"]


def test_a_recipe_that_cannot_be_used_is_a_problem_without_a_field() -> None:
    resolved = resolve("nowhere", {"epochs": "2"})
    assert resolved.recipe is None
    assert "nowhere" in resolved.problem


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"epochs": "3", "optimizer.lr": "3e-7", "batch_size": "64", "seed": "12", "device": "cpu"},
        {"dataset.name": "spirals", "model.name": "mlp", "optimizer.name": "RMSprop"},
    ],
)
def test_the_command_line_is_one_that_the_command_takes(
    edits: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = resolve(PRESET, edits)
    seen = []
    monkeypatch.setattr(cli, "watch", lambda run, _: seen.append(run.plan.recipe) or 0)
    program, *arguments = shlex.split(Choice(PRESET, resolved.overrides).command)
    assert program == "fivestep"
    assert cli.run([*arguments, "--no-ui"]) == 0
    assert seen == [resolved.recipe]


@pytest.mark.parametrize(
    ("key", "text", "by", "after"),
    [
        ("epochs", "20", 1, "21"),
        ("epochs", "0", -1, "0"),
        ("batch_size", "32", 1, "64"),
        ("batch_size", "1", -1, "1"),
        ("optimizer.lr", "0.005", -1, "0.0025"),
        ("optimizer.lr", "1", 1, "2"),
        ("epochs", "many", 1, "many"),
        ("device", "auto", 1, "cpu"),
        ("device", "nonsense", 1, "auto"),
        ("device", "auto", -1, "mps"),
    ],
)
def test_arrow_keys_go_on_to_the_next_value(key: str, text: str, by: int, after: str) -> None:
    assert nudged(BY_KEY[key], text, by) == after
