"""`Recipe`: what a run is made of, read from a file and checked. Needs no torch."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from . import registry
from .catalogue import DATASETS
from .components import STANDARD
from .errors import RecipeError, existing_file, nearest, printable, reason, shown
from .overrides import ALIASES, SWITCHES, apply, flag, parse_set
from .recipe_check import EXPECT, SECTIONS, TOP, Check
from .value_types import Value

if TYPE_CHECKING:
    from ..core.protocol.steps import TaskName

__all__ = ["ALIASES", "Expect", "Recipe", "RecipeError", "Section", "load", "parse_set"]

LARGEST_FILE: Final = 1_000_000
"""Bytes. A recipe has about one thousand."""


@dataclass(frozen=True, slots=True)
class Section:
    """A choice by name, with every option that it has."""

    name: str
    options: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Expect:
    """What to expect of a run of the recipe as it stands."""

    text: str = ""
    """One sentence for people."""
    metric: str | None = None
    """The task's metric: accuracy, r2 or perplexity."""
    value: float | None = None
    """The value that the metric reaches on the validation data."""
    seconds: float | None = None
    """How long it takes on 2 cores."""
    parameters: int | None = None
    """How many trainable parameters the model has."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A checked recipe: every name is known, every value in range, every key explicit."""

    name: str
    description: str
    seed: int
    """Of the initial weights, the order of the batches, and dropout."""
    epochs: int
    batch_size: int
    accumulate: int
    """Batches whose gradients add up before one update."""
    clip_norm: float | Literal["off"]
    device: str
    """auto, cpu, cuda, cuda:N or mps."""
    threads: int | Literal["auto"]
    amp: Literal["off", "bf16", "fp16"]
    """Mixed precision: the number type of the forward pass and the loss."""
    compile: bool
    """Whether torch.compile compiles the model."""
    early_stop: int | Literal["off"]
    """Validations in a row without a better one, after which the run ends."""
    min_delta: float
    """By how much one has to be better to count for that."""
    freeze: tuple[str, ...]
    """Patterns for the names of parameters that are not trained."""
    dataset: Section
    model: Section
    criterion: Section
    optimizer: Section
    scheduler: Section
    expect: Expect | None = None
    """None where overrides made the recipe another one."""
    command: str = field(default="", compare=False)
    """The command that runs it."""
    guess: str = field(default="", compare=False)
    """How a table's target was taken where that was left open, and how to say otherwise."""
    seconds: float | None = field(default=None, compare=False)
    """About how long it takes on 2 cores: what the file expects, in proportion to the epochs and
    whatever else is changed; None where it expects nothing."""

    @property
    def notes(self) -> tuple[str, ...]:
        """How a table of the user's own is read, in words; nothing where it can't be."""
        guess = (self.guess,) if self.guess else ()
        if self.dataset.name != "csv":
            return guess
        from .data.csv_table import TableError, table_columns  # late: only tables need it

        try:
            return guess + table_columns(self.dataset.options).notes
        except TableError:
            return guess  # whoever builds the run will be told

    @property
    def task(self) -> TaskName:
        """What kind of problem the data set poses."""
        return _task(self.dataset)

    @property
    def table(self) -> dict[str, Any]:
        """Every key with its value, as a recipe's file has them."""
        table: dict[str, Any] = {key: getattr(self, key) for key in TOP}
        for key in SECTIONS:
            section: Section = getattr(self, key)
            table[key] = {"name": section.name, **section.options}
        if self.expect is not None:
            values = {key: getattr(self.expect, key) for key in EXPECT}
            table["expect"] = {k: v for k, v in values.items() if v is not None}
        return table

    def to_toml(self) -> str:
        """The recipe as a file that gives this very recipe when it is loaded."""
        import tomlkit  # late, since only `show` and a run's record need it

        comment = "".join(f"# {line}\n" for line in (self.command, *self.notes))
        if self.expect is not None and self.expect.text:
            comment += f"# {self.expect.text}\n"
        return f"{comment}\n{tomlkit.dumps(self.table)}"


def load(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A preset by its name, or a recipe by its path, with dotted keys set: checked.

    Raises:
        RecipeError: it can't be found, read or used; the text is one line.
    """
    overrides = overrides or {}
    file = _find(name_or_path)
    called = printable(name_or_path)
    check = Check(called, frozenset(overrides))
    raw = _read(file, called)
    check.keys(raw, overrides)
    table = apply(raw, overrides)
    table.setdefault("name", re.sub(r"[^A-Za-z0-9._-]", "-", file.stem).lstrip("._-")[:64] or "run")
    values: dict[str, Any] = check.options(table, "", TOP)
    guess = ""
    for key in SECTIONS:
        if key == "criterion":
            dataset, guess = _with_task(values["dataset"], check)
            values["dataset"] = dataset
            check.fit(dataset.name, values["model"].name)
            criterion = table.setdefault("criterion", {})
            if criterion.setdefault("name", "auto") == "auto":
                criterion["name"] = STANDARD[_task(dataset)]
        values[key] = Section(*check.section(table, key))
    check.metric(values["scheduler"].options.get("metric"), _task(values["dataset"]))
    expect = Expect(**check.given(raw.get("expect", {}), "expect.", EXPECT))  # type: ignore[arg-type]
    if "expect" in table:
        values["expect"] = expect
    seconds, epochs = expect.seconds, raw.get("epochs", TOP["epochs"].default)
    if seconds is not None and isinstance(epochs, int):
        seconds *= values["epochs"] / max(1, epochs)
    command = _command(name_or_path, overrides)
    return Recipe(**values, command=command, guess=guess, seconds=seconds)


def _find(name_or_path: str) -> Path:
    """The file behind a preset's name or a path.

    Raises:
        RecipeError: there is neither.
    """
    file = Path(name_or_path)
    if "/" not in name_or_path and file.suffix != ".toml":
        preset = registry.find(name_or_path)
        if preset is not None:
            return preset.path
    found = existing_file(name_or_path, "recipe")
    if found is not None:
        return found
    if file.suffix == ".toml" or len(file.parts) > 1:
        raise RecipeError(f"{shown(name_or_path)}: there is no such file")
    known = [preset.name for preset in registry.everything() if not preset.hidden]
    guess = nearest(name_or_path, known)
    hint = f"did you mean {printable(guess)}?" if guess else f"there are {', '.join(known)}"
    raise RecipeError(f"no preset is called {shown(name_or_path)}; {hint}")


def _read(file: Path, called: str) -> dict[str, Any]:
    """The table in a recipe's file; errors speak of it as `called`.

    Raises:
        RecipeError: it can't be read, is too large, no text, or no TOML.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise RecipeError(f"{called}: can't be read: {reason(error)}") from error
    if len(data) > LARGEST_FILE:
        raise RecipeError(f"{called}: expected at most {LARGEST_FILE:,} bytes; this is no recipe")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{called}: expected a text file in UTF-8") from error
    except RecursionError as error:
        raise RecipeError(f"{called}: nested too deeply for a recipe") from error
    except ValueError as error:
        raise RecipeError(f"{called}: this is no TOML: {reason(error)}") from error


def _with_task(dataset: Section, check: Check) -> tuple[Section, str]:
    """The data set's section with "auto" replaced by the task that the table's target poses, and
    what is to be asked about it.
    """
    options = dataset.options
    if options.get("task") != "auto":
        return dataset, ""
    from .data.csv_table import TableError, target_of, task_of  # late: only tables need it

    try:
        task, guess = task_of(target_of(options))
    except TableError as error:
        check.fail(f"dataset.{error.option}", str(error))
    return Section(dataset.name, {**options, "task": task}), guess


def _task(dataset: Section) -> TaskName:
    """The task that a data set poses; a table of the user's own has it as an option."""
    return DATASETS[dataset.name].task or cast("TaskName", dataset.options["task"])


def _command(name_or_path: str, overrides: Mapping[str, Any]) -> str:
    """The command that runs a recipe with these overrides."""
    words = ["fivestep", "train", name_or_path]
    for key, value in overrides.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        alias = flag(key)
        if alias in SWITCHES and value is True:
            words.append(alias)
        elif alias in SWITCHES or alias.startswith("--set"):
            words += ["--set", f"{key}={text}"]
        else:
            words += [alias, text]
    return printable(shlex.join(words), 1000)
