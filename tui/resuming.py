"""Taking up an earlier run: what it was is compared with what it would be now."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, Final

from ..core.rundir import RunDirectory
from ..core.runname import RunError
from ..core.runs import newest
from ..presets.errors import RecipeError, printable, shown
from ..presets.own import load_own
from ..presets.recipe import load
from .keeping import Keeping, Resume
from .plan import FilePlan, Plan, RecipePlan
from .run_facts import file_digest, flat, recipe_text
from .wishes import Wishes

DATA: Final = ("dataset", "batch_size", "accumulate")
"""Where these are others, the epoch's batches are others too."""
UNIMPORTANT: Final = ("name", "description", "expect")


def take_up(
    name: str | None,
    wishes: Wishes,
    *,
    file: str | None = None,
    epochs: int | None = None,
    force: bool = False,
) -> Keeping:
    """An earlier run, ready to go on; holds its lock. Loads no torch.

    Args:
        name: of a run in the folder, or the path of its directory; None takes the last one.
        wishes: what to keep from now on; its folder is where runs are looked for.
        file: the Python file of a run that came from one.
        epochs: train to this many, instead of as many as it was to have.
        force: accept a recipe or a file that was changed since.

    Raises:
        RunError: there is no such run, or another process trains it; one line.
        RecipeError: it can't be gone on with; one line.
    """
    if name is None:
        name = newest(wishes.folder)
        if name is None:
            where = shown(str(wishes.folder))
            raise RunError(f"there is no run in {where} to go on with; --runs-dir names another")
    directory = RunDirectory.open(wishes.folder, name)
    try:
        meta = directory.read_meta() or {}
        if meta.get("kind") == "file":
            plan, resume = _from_file(directory, meta, file, epochs, force)
        else:
            if file is not None:
                raise RecipeError(f"{directory.name} came from a recipe; no file is needed")
            plan, resume = _from_recipe(directory, meta, epochs, force)
    except BaseException:
        directory.close()
        raise
    return Keeping(plan, wishes, directory, resume)


def _from_recipe(
    directory: RunDirectory, meta: Mapping[str, Any], epochs: int | None, force: bool
) -> tuple[Plan, Resume]:
    recorded, found = meta.get("recipe"), directory.read_recipe()
    if found is None:
        raise RecipeError(f"{directory.name}: its recipe.toml is missing")
    changes = _changes(recorded if isinstance(recorded, dict) else {}, found)
    if changes and not force:
        told = printable(", ".join(changes.values()), 600)
        raise RecipeError(
            f"{directory.name}: its recipe was changed since: {told}; --force goes on with the "
            "changed one"
        )
    overrides = {} if epochs is None else {"epochs": epochs}
    recipe = load(str(directory.recipe), overrides)
    before = _epochs(meta, recipe.epochs)
    notes = [f"recipe changed: {change}" for change in changes.values()]
    if recipe.epochs != before:
        notes.append(_longer(before, recipe.epochs, recipe.scheduler.name))
    plan = RecipePlan(recipe)
    if notes:
        _rewrite(directory, plan, meta)
    return plan, Resume(
        meta,
        reschedule=bool(notes),
        restart_epoch=any(key.split(".")[0] in DATA for key in changes),
        force=force,
        notes=tuple(notes),
    )


def _from_file(
    directory: RunDirectory,
    meta: Mapping[str, Any],
    file: str | None,
    epochs: int | None,
    force: bool,
) -> tuple[Plan, Resume]:
    origin = meta.get("file")
    origin = origin if isinstance(origin, dict) else {}
    called = printable(str(origin.get("path", "a Python file")), 300)
    if file is None:
        raise RecipeError(
            f"{directory.name} came from {called}, which is run again only if you name it: "
            f"fivestep resume {directory.name} {called}"
        )
    changes = meta.get("changes")
    overrides = dict(changes) if isinstance(changes, dict) else {}
    if epochs is not None:
        overrides["epochs"] = epochs
    own = load_own(file, overrides)
    notes = []
    if file_digest(own.path) != origin.get("sha256"):
        if not force:
            raise RecipeError(
                f"{shown(file)} is not the file that {directory.name} came from: it was changed "
                "since, or is another one; --force goes on with it"
            )
        notes.append(f"{printable(file)} was changed since the run began")
    before = _epochs(meta, epochs or 0)
    if epochs is not None and before and epochs != before:
        notes.append(_longer(before, epochs, "its own"))
    return FilePlan(own), Resume(meta, force=force, notes=tuple(notes))


def _epochs(meta: Mapping[str, Any], otherwise: int) -> int:
    """How many epochs the run was to have."""
    epochs = meta.get("epochs")
    return epochs if isinstance(epochs, int) and epochs > 0 else otherwise


def _longer(before: int, now: int, schedule: str) -> str:
    """What another number of epochs means for the learning rate."""
    told = f"epochs {before} → {now}"
    if schedule in ("cosine", "onecycle", "warmup-cosine"):
        return (
            f"{told}; {schedule} now reaches its end in epoch {now}: the lr is what a run of "
            f"{now} epochs would have here"
        )
    if schedule == "its own":
        return f"{told}; the file's own schedule, if there is one, goes on from where it was"
    return told


def _changes(old: Mapping[str, Any], text: str) -> dict[str, str]:
    """What differs between the recipe as it was and its file, by key, each as "key old → new"."""
    try:
        new = flat(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return {}  # loading the recipe will say what is wrong with it
    return {
        key: f"{key} {old.get(key, 'unset')} → {new.get(key, 'unset')}"
        for key in sorted(old.keys() | new.keys() if old else ())
        if old.get(key) != new.get(key) and key.split(".")[0] not in UNIMPORTANT
    }


def _rewrite(directory: RunDirectory, plan: RecipePlan, meta: Mapping[str, Any]) -> None:
    """From now on this is the run's recipe."""
    text = recipe_text(plan)
    directory.write_recipe(text)
    table = flat(tomllib.loads(text))
    directory.write_meta({**meta, "recipe": table, "epochs": plan.recipe.epochs})
