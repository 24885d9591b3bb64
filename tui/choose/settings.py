"""The settings that can be edited before a start: what they come to, and what is wrong with them.

Needs no torch. All checking is `presets.recipe.load`'s own, so the screen refuses exactly what the
command would, in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from ...presets.catalogue import DATASETS, MODELS, SCHEDULERS
from ...presets.components import OPTIMIZERS
from ...presets.file_settings import FileSetting, read_settings, said
from ...presets.overrides import flag
from ...presets.recipe import Recipe, RecipeError, load, parse_set
from ...presets.user_file import CHANGEABLE, ENDING, load_own

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to run: a preset's name, or the path of a recipe or a Python file, and the keys that
    differ from it.
    """

    name: str
    overrides: Mapping[str, Any]

    @property
    def command(self) -> str:
        return command_line(self.name, self.overrides)


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of the form."""

    key: str
    """Of the recipe, dotted."""
    label: str
    choices: tuple[str, ...] = ()
    """The names it takes; empty for a number."""
    factor: int = 1
    """How the arrow keys change a number: by this factor, or by one if it is 1."""
    whole: bool = True
    """The number has no fraction."""
    hint: str = ""
    """What it takes, in words."""


DATASET: Final = "dataset.name"
MODEL: Final = "model.name"
SETTINGS: Final = (
    Setting(DATASET, "dataset", tuple(DATASETS)),
    Setting(MODEL, "model", tuple(MODELS)),
    Setting("epochs", "epochs"),
    Setting("batch_size", "batch size", factor=2),
    Setting("optimizer.lr", "lr", factor=2, whole=False),
    Setting("optimizer.name", "optimizer", tuple(OPTIMIZERS)),
    Setting("scheduler.name", "schedule", tuple(SCHEDULERS)),
    Setting("seed", "seed"),
    Setting("device", "device", ("auto", "cpu", "cuda", "mps")),
    Setting("early_stop", "early stop"),
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a preset and a person's edits come to."""

    name: str
    recipe: Recipe | None = None
    """With every edit that is right; None where the recipe itself can't be used."""
    shown: Recipe | None = None
    """The one whose data can be pictured; None while a name is half typed."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """What is wrong, by key."""
    problem: str = ""
    """What the command would say; empty if nothing is wrong."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the recipe, in canonical form; meaningful without `problem` only."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What each field holds, or would hold without the edit that is wrong."""
    file: bool = False
    """It is a Python file: no recipe."""

    def complaint(self, key: str) -> str:
        """What the command would say: about this key, if that is wrong, else the first thing."""
        return f"{flag(key)}: {self.errors[key]}" if key in self.errors else self.problem

    @property
    def fits(self) -> bool:
        """Model and data set go together."""
        return MODEL not in self.errors and DATASET not in self.errors


def command_line(name: str, overrides: Mapping[str, Any]) -> str:
    """The command that runs a recipe or a file with these overrides, quoted for a shell.

    Raises:
        RecipeError: it would be refused.
    """
    if name.endswith(ENDING):
        return load_own(name, overrides).command
    return load(name, overrides).command


def file_fields(name: str) -> tuple[Setting, ...]:
    """The fields of a Python file: the parameters of its `training()`, and what any file has."""
    known = read_settings(Path(name)).known
    others = (Setting(key, key, hint="as in the file") for key in CHANGEABLE if key not in known)
    return (*map(_field, known.values()), *others)


def _field(setting: FileSetting) -> Setting:
    choices = ("true", "false") if setting.kind == "bool" else tuple(map(str, setting.choices))
    real = setting.kind == "float"
    hint = setting.expected if setting.default is not None else f"{setting.expected}: to be said"
    return Setting(setting.name, setting.name, choices, 2 if real else 1, not real, hint)


def _resolve_file(name: str, edits: Mapping[str, str]) -> Resolved:
    """The same for a Python file, of which nothing is run."""
    known = read_settings(Path(name)).known
    held = {key: one.default or "" for key, one in known.items()}
    right: dict[str, Any] = {
        key: parse_set(f"{key}={text}")[1]
        for key, text in edits.items()
        if text.strip() and text.strip() != held.get(key)
    }
    own, errors, problem = _load_what_is_right(partial(load_own, name), right)
    if own is not None:
        right = dict(own.changes)
    values = held | {key: said(value) for key, value in right.items()}
    return Resolved(name, None, None, errors, problem, right, values, file=True)


def resolve(name: str, edits: Mapping[str, str]) -> Resolved:
    """Check a person's edits, given as typed by key; a blank one leaves the recipe's own value."""
    if name.endswith(ENDING):
        return _resolve_file(name, edits)
    wanted: dict[str, Any] = {
        key: parse_set(f"{key}={text}")[1] for key, text in edits.items() if text.strip()
    }
    right = dict(wanted)
    recipe, errors, problem = _load_what_is_right(partial(load, name), right)
    if recipe is None:
        return Resolved(name, errors=errors, problem=problem)
    return Resolved(
        name,
        recipe,
        recipe if not {DATASET, MODEL} & errors.keys() else _picturable(name, wanted, right),
        errors,
        problem,
        _differing(name, right, recipe),
        {setting.key: _text(_value(recipe, setting.key)) for setting in SETTINGS},
    )


def _load_what_is_right(
    load: Callable[[dict[str, Any]], T], right: dict[str, Any]
) -> tuple[T | None, dict[str, str], str]:
    """Take out of `right` what can't be loaded, until the rest can.

    Returns:
        What was loaded; None where it is no edit that is wrong.
        What is wrong, by key.
        What the command would say; "" if nothing is wrong.
    """
    errors: dict[str, str] = {}
    problem = ""
    while True:
        try:
            return load(right), errors, problem
        except RecipeError as error:
            text = str(error)
            problem = problem or text
            key = next((k for k in right if text.startswith(f"{flag(k)}: ")), None)
            if key is None:
                return None, errors, problem
            errors[key] = text.removeprefix(f"{flag(key)}: ")
            # A model and a data set that don't fit are one mistake, not two.
            for wrong in (DATASET, MODEL) if key in (DATASET, MODEL) else (key,):
                right.pop(wrong, None)


def nudged(setting: Setting, text: str, by: int) -> str:
    """A field's text one step further (`by` 1) or back (-1); as it was where there is no step."""
    if setting.choices:
        names = [choice.lower() for choice in setting.choices]
        at = names.index(text.strip().lower()) if text.strip().lower() in names else -1
        start = at if at >= 0 or by > 0 else 0
        return setting.choices[(start + by) % len(setting.choices)]
    value = parse_set(f"x={text or '?'}")[1]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return text
    if setting.factor == 1:
        return _text(max(0, value + by))
    changed = value * setting.factor if by > 0 else value / setting.factor
    return _text(max(1, int(changed)) if setting.whole else float(changed))


def _picturable(name: str, wanted: Mapping[str, Any], right: Mapping[str, Any]) -> Recipe | None:
    """The wanted data set with a model that takes it; None if there is no such data set."""
    try:
        data = wanted.get(DATASET) or load(name).dataset.name
        entry = DATASETS.get(str(data).lower())
        if entry is None:
            return None
        model = next(key for key, one in MODELS.items() if entry.kind in one.takes)
        return load(name, {**right, DATASET: data, MODEL: model})
    except (RecipeError, StopIteration):
        return None


def _differing(name: str, overrides: Mapping[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The overrides without which the recipe would be another one, in canonical form."""
    kept = {}
    for key in overrides:
        value = _value(recipe, key)
        try:
            without = load(name, {k: v for k, v in overrides.items() if k != key})
        except RecipeError:
            kept[key] = value
        else:
            if _value(without, key) != value:
                kept[key] = value
    return kept


def _value(recipe: Recipe, key: str) -> Any:
    first, dot, rest = key.partition(".")
    value = getattr(recipe, first)
    if not dot:
        return value
    return value.name if rest == "name" else value.options[rest]


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
