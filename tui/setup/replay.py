"""Going back to one batch of an earlier run, which stays as it is."""

from __future__ import annotations

from ...core.storage.run_directory import RunDirectory, RunError
from ...core.storage.run_index import newest, summary
from ...presets.errors import shown
from .builder import ReplayRequest, RunBuilder
from .options import RunOptions
from .resume import plan_again


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
    name = name or newest(options.folder)
    if name is None:
        raise RunError(f"there is no run in {shown(str(options.folder))}; --runs-dir names another")
    directory = RunDirectory.look(options.folder, name)
    plan = plan_again(directory, file, force=force, command=f"replay --at {batch}")
    run = summary(directory.path)
    last = run.batches_done + (run.state == "failed")  # the batch that failed is worth a look
    if not 1 <= batch <= last:
        has = f"has batches 1 to {last:,}" if last else "has not trained a batch"
        raise RunError(f"{directory.name} {has}, no batch {batch:,}")
    return RunBuilder(plan, options, None, replay=ReplayRequest(directory, batch))
