"""Going back in an earlier run, which stays as it is: to one batch, or all of it like a film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...core.storage.run_directory import RunError
from ...core.storage.run_index import run_named, summary
from .builder import ReplayRequest, RunBuilder
from .options import RunOptions
from .resume import plan_again

if TYPE_CHECKING:
    from ...core.storage.replayed_run import ReplayedRun


def replay_batch(
    name: str | None,
    batch: int,
    options: RunOptions,
    *,
    file: str | None = None,
    force: bool = False,
) -> RunBuilder:
    """A run that goes through an earlier one's batches up to this one; nothing of it is kept.

    Args:
        name: of the earlier run in the folder, or the path of its directory; None is the last one.
        batch: of the whole run, counted from 1.
        options: say where runs are.
        file: the Python file of a run that came from one.
        force: accept a recipe, a file or a module of it that was changed since.

    Raises:
        RunError: there is no such run, or no such batch of it; one line.
        RecipeError: it can't be trained again; one line.
    """
    directory = run_named(options.folder, name)
    plan = plan_again(directory, file, force=force, command=f"replay --at {batch}")
    run = summary(directory.path)
    last = run.batches_done + (run.state == "failed")  # the batch that failed is worth a look
    if not 1 <= batch <= last:
        has = f"has batches 1 to {last:,}" if last else "has not trained a batch"
        raise RunError(f"{directory.name} {has}, no batch {batch:,}")
    return RunBuilder(plan, options, None, replay=ReplayRequest(directory, batch))


def film(folder: Path, name: str | None) -> ReplayedRun:
    """An earlier run to be played back, from its files.

    Raises:
        RunError: there is no such run, or no batch of it is in its log; one line.
    """
    from ...core.storage.replayed_run import ReplayedRun

    directory = run_named(folder, name)
    if not summary(directory.path).batches_done:
        raise RunError(f"{directory.name} has not trained a batch")
    return ReplayedRun(directory)
