"""From what a command line says to what is run: a recipe with its overrides, or a Python file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...presets.errors import shown
from ...presets.overrides import ALIASES, SWITCHES, parse_set
from .errors import refusals

if TYPE_CHECKING:
    from ...presets.recipe import Recipe
    from ..setup.plan import Plan


def recipe_of(ctx: Any) -> Recipe:
    """The recipe that the command line speaks of, checked without torch.

    Raises:
        typer.Exit: with 2, if it can't be used; the reason has been told.
    """
    from ...presets import recipe

    said: dict[str, Any] = ctx.params
    with refusals(said["traceback"]):
        if said["preset"].endswith(".py"):
            raise recipe.RecipeError(
                f"{shown(said['preset'])}: a Python file is no recipe, there is nothing to resolve"
            )
        return recipe.load(said["preset"], _overrides(said))


def plan_of(ctx: Any) -> Plan:
    """What the command line wants to run: a recipe, or the Python file that it names.

    Raises:
        typer.Exit: as `recipe_of`.
    """
    from ..setup.plan import FilePlan, RecipePlan

    said: dict[str, Any] = ctx.params
    if not said["preset"].endswith(".py"):
        return RecipePlan(recipe_of(ctx))
    from ...presets.user_file import load_own

    with refusals(said["traceback"]):
        return FilePlan(load_own(said["preset"], _overrides(said)))


def _overrides(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the short options and `--set` change, by key."""
    said = {**said, **{alias[2:]: "true" if said.get(alias[2:]) else None for alias in SWITCHES}}
    short = {key: said.get(alias[2:].replace("-", "_")) for alias, key in ALIASES.items()}
    sets = [f"{key}={value}" for key, value in short.items() if value is not None]
    return dict(parse_set(text) for text in (*sets, *(said["set_"] or ())))
