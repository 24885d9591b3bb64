"""What a command line changes in a recipe. Standard library only."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, Final

from .catalogue import DATASETS
from .errors import RecipeError, shown

ALIASES: Final = {
    "--epochs": "epochs",
    "--batch-size": "batch_size",
    "--lr": "optimizer.lr",
    "--optimizer": "optimizer.name",
    "--seed": "seed",
    "--device": "device",
    "--threads": "threads",
    "--amp": "amp",
    "--compile": "compile",
    "--early-stop": "early_stop",
    "--model": "model.name",
    "--dataset": "dataset.name",
    "--data-dir": "dataset.data_dir",
}
"""Short options of the command, each with the key that it sets."""

SWITCHES: Final = frozenset({"--compile"})
"""Those without a value: they set their key to true."""

HARMLESS: Final = frozenset({"seed", "device", "threads"})
"""Keys whose change leaves a recipe's `expect` valid."""


def flag(key: str) -> str:
    """How a command line sets this key: "--lr", or "--set dataset.noise"."""
    return next((alias for alias, to in ALIASES.items() if to == key), f"--set {key}")


def parse_set(text: str) -> tuple[str, Any]:
    """Key and value of "key=value" after `--set`; the value is read as TOML, or else as text.

    `data.` may stand for `dataset.`.

    Raises:
        RecipeError: no key, or no "=".
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not key or not equals:
        raise RecipeError(f"--set: expected key=value, not {shown(text)}")
    if key.startswith("data."):  # short for the section that is named most
        key = f"dataset.{key.removeprefix('data.')}"
    return key, _value(value)


def _value(text: str) -> Any:
    """The text read as a TOML value, or else the text itself."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if table.keys() == {"value"} else text


def apply(raw: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's table with dotted keys set.

    A section that gets another name loses the options of the old one. Where the task changes,
    the criterion goes too; where any key besides `HARMLESS` changes, so does `expect`.
    """
    table = {k: dict(v) if isinstance(v, dict) else v for k, v in raw.items()}
    if _task(table) != _task({"dataset": {"name": overrides.get("dataset.name")}}, table):
        table.pop("criterion", None)
    for key in overrides:
        section, _, rest = key.partition(".")
        if rest == "name" and _differs(table.get(section), overrides[key]):
            table[section] = {}
            if section in ("dataset", "model"):
                table.pop("description", None)
    if not overrides.keys() <= HARMLESS:
        table.pop("expect", None)
    for key, value in overrides.items():
        section, dot, rest = key.partition(".")
        if dot:
            table.setdefault(section, {})[rest] = value
        else:
            table[section] = value
    return table


def _differs(section: Any, name: Any) -> bool:
    """Whether this section has another name so far."""
    old = section.get("name") if isinstance(section, dict) else None
    return str(old).lower() != str(name).lower()


def _task(*tables: dict[str, Any]) -> str | None:
    """The task of the first of these tables that names a known data set."""
    for table in tables:
        section = table.get("dataset")
        name = section.get("name") if isinstance(section, dict) else None
        if isinstance(name, str) and name.lower() in DATASETS:
            return DATASETS[name.lower()].task
    return None
