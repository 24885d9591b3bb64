"""Resuming an earlier run: its recipe or file is compared with the one of now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...core.protocol.rank import restarts, this_rank
from ...core.storage.run_directory import RunDirectory, RunError
from ...core.storage.run_index import list_runs, newest
from ...presets.errors import RecipeError, printable, shown
from ...presets.recipe import load
from ...presets.user_file import load_own
from ..render.format import counted
from .builder import ResumeRequest, RunBuilder
from .metadata import changed, changed_modules, file_digest, recipe_facts, torchrun_process
from .options import RunOptions
from .plan import FilePlan, Plan, RecipePlan
from .resume_refusals import checkpoint_names, no_checkpoint, too_few


class NothingLeftError(RunError):
    """A run is finished: nothing of it is left to train."""


def resume_run(
    name: str | None,
    options: RunOptions,
    *,
    file: str | None = None,
    changes: Mapping[str, Any] | None = None,
    force: bool = False,
    tells_end: bool = False,
) -> RunBuilder:
    """An earlier run, ready to resume; holds its lock. Loads no torch.

    Args:
        name: of a run in the folder, or the path of its directory; None is the last one.
        options: for the run from now on; their folder is where runs are looked for.
        file: the Python file of a run that came from one.
        changes: other epochs than it was to have, or another patience (early_stop), by key.
        force: accept a recipe, a file or a module of it that was changed since.
        tells_end: take a finished run, too: whoever reads records waits for that of its end.

    Raises:
        NothingLeftError: it is finished, and no more is asked for; one line.
        RunError: there is no such run, or another process trains it; one line.
        RecipeError: it can't be resumed; one line.
    """
    if name is None:
        name = newest(options.folder, saved=True)
        if name is None:
            where = shown(str(options.folder))
            raise RunError(f"there is no run in {where} to resume; --runs-dir names another")
    first = not this_rank().number
    directory = (RunDirectory.open if first else RunDirectory.look)(options.folder, name)
    try:
        damage = directory.damage()
        plan = plan_again(directory, file, changes, force=force)
        if not force and first:
            _refuse_hopeless(directory, changes or {})
        if not (force or tells_end):
            _refuse_finished(directory, changes or {})
    except BaseException:
        directory.close()
        raise
    meta = directory.read_meta()[0]
    request = ResumeRequest(meta, force, tuple(damage))
    if not first:
        return RunBuilder(plan, replace(options, keeps=False), None, request)
    return RunBuilder(plan, options, directory, request)


def _refuse_hopeless(directory: RunDirectory, changes: Mapping[str, Any]) -> None:
    """Refuse, before a word of the run is said, what is seen without reading a checkpoint.

    Raises:
        RecipeError: none was saved, or a finished run has trained more than is asked for.
    """
    if not checkpoint_names(directory):
        raise no_checkpoint(directory, "no checkpoint has been saved yet")
    outcome, epochs = directory.read_outcome()[0], changes.get("epochs")
    trained = outcome.get("epochs")
    if outcome.get("state") != "finished" or not isinstance(trained, int):
        return
    if isinstance(epochs, int) and epochs < trained:
        raise too_few(directory, counted(trained, "epoch"), epochs)


def _refuse_finished(directory: RunDirectory, changes: Mapping[str, Any]) -> None:
    """Raises NothingLeftError: all was trained, and the changes ask for no more."""
    outcome = directory.read_outcome()[0]
    trained, batches = {"epochs": outcome.get("epochs")}, outcome.get("batches")
    saved = {file.stem for file in directory.checkpoints.glob("batch-*.pt")}
    # Without the checkpoint of its end some of it would be lost.
    whole = isinstance(batches, int) and f"batch-{batches:09}" in saved
    if outcome.get("state") == "finished" and whole and changes in ({}, trained):
        raise NothingLeftError(
            f"{directory.name} is finished: nothing is left to train; --epochs N trains further"
        )


def resume_restarted(plan: Plan, options: RunOptions) -> RunBuilder | None:
    """The run that this very torchrun has begun before one of its processes was killed; None if
    this is no restart, or nothing of it is there.

    Raises:
        RunError: it can't be opened.
    """
    if not restarts() or this_rank().number or not options.keeps:
        return None
    torchrun = torchrun_process()
    for path in (run.path for run in list_runs(options.folder) if run.path is not None):
        meta = RunDirectory(path).read_meta()[0]
        if torchrun is not None and meta.get("torchrun") == torchrun:
            directory = RunDirectory.open(options.folder, str(path.absolute()))
            return RunBuilder(plan, options, directory, ResumeRequest(meta, force=True))
    return None


def plan_again(
    directory: RunDirectory,
    file: str | None,
    changes: Mapping[str, Any] | None = None,
    *,
    force: bool = False,
    command: str = "resume",
) -> Plan:
    """What an earlier run trained, compared with what it was.

    Args:
        directory: of the run.
        file, changes, force: as `resume_run`.
        command: what a person has to type again with the file's name.

    Raises:
        RunError, RecipeError: it can't be trained again; one line.
    """
    meta = directory.read_meta()[0]
    refuse_loop(directory, meta)
    kept = "recipe" if file is None or directory.recipe.exists() else "file"
    if (meta.get("kind") or kept) == "file":
        return _from_file(directory, meta, file, changes or {}, force, command)
    if file is not None:
        raise RecipeError(f"{directory.name} came from a recipe; no file is needed")
    return _from_recipe(directory, meta, changes or {}, force)


def refuse_loop(directory: RunDirectory, meta: Mapping[str, Any]) -> None:
    """Raises RecipeError: the run is of a person's own loop, of which only numbers are kept."""
    if meta.get("kind") == "loop":
        raise RecipeError(
            f"{directory.name} is a loop of your own, which resumes by itself: fivestep.watch kept "
            "its numbers, and no checkpoint"
        )


def _from_recipe(
    directory: RunDirectory, meta: Mapping[str, Any], overrides: Mapping[str, Any], force: bool
) -> Plan:
    directory.read_recipe()
    plan = RecipePlan(load(str(directory.recipe)))
    changes = changed(meta.get("recipe") or {}, recipe_facts(plan))
    if changes and not force:
        differences = printable(", ".join(changes.values()), 600)
        raise RecipeError(
            f"{directory.name}: its recipe was changed since: {differences}; "
            "--force takes the changed one"
        )
    return RecipePlan(load(str(directory.recipe), overrides)) if overrides else plan


def _from_file(
    directory: RunDirectory,
    meta: Mapping[str, Any],
    file: str | None,
    overrides: Mapping[str, Any],
    force: bool,
    command: str,
) -> Plan:
    origin = meta.get("file") or {}
    called = printable(str(origin.get("path", "a Python file")), 300)
    if file is None:
        raise RecipeError(
            f"{directory.name} came from {called}, which is run again only if you name it: "
            f"fivestep {command} {directory.name} {called}"
        )
    own = load_own(file, {**(meta.get("changes") or {}), **overrides})
    if not origin.get("sha256") and not force:
        raise RecipeError(
            f"{directory.name}: whether it came from {shown(file)} is not known, as run.json does "
            "not say it; --force takes that file"
        )
    if file_digest(own.path) != origin.get("sha256") and not force:
        raise RecipeError(
            f"{shown(file)} is not the file that {directory.name} came from: it was changed "
            "since, or is another one; --force takes it"
        )
    modules = changed_modules(origin, own.path)
    if modules and not force:
        which, were = printable(", ".join(modules), 300), "was" if len(modules) == 1 else "were"
        raise RecipeError(
            f"{which}, which {shown(file)} imports, {were} changed since {directory.name} began; "
            "--force takes what is there now"
        )
    return FilePlan(own)
