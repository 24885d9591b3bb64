"""The commands about earlier runs: `resume`, `runs`, `export`."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ...core.storage.run_directory import RunError
from ...presets.overrides import parse_set
from ..render.format import clean
from ..setup.options import RunOptions, runs_folder
from ..terminal.imports import importing
from ..terminal.output import complain, on_a_terminal, stdout, written
from .arguments import (
    options_of,
    own_words,
    ranks_to_start,
    refuse_ranks,
    train_detached,
    watch,
    with_screen,
)
from .control import ACTIONS, check, control, status
from .errors import UsageError, refusals
from .options import (
    RUN_OPTIONS,
    DetachOption,
    EarlyStopOption,
    EpochsOption,
    FileOption,
    ForceOption,
    OverwriteOption,
    RunOption,
    RunsDirOption,
    SaveEveryOption,
    TensorboardOption,
    TracebackOption,
    with_options,
)

if TYPE_CHECKING:
    from ..setup.builder import RunBuilder


@with_options(RUN_OPTIONS, after="save_every", without=("break_it",))
def resume(
    ctx: typer.Context,
    run: RunOption = None,
    file: FileOption = None,
    epochs: EpochsOption = None,
    early_stop: EarlyStopOption = None,
    force: ForceOption = False,
    runs_dir: RunsDirOption = None,
    save_every: SaveEveryOption = "30s",
    detach: DetachOption = False,
    as_left: Annotated[str | None, typer.Option("--as-left", hidden=True)] = None,
    traceback: TracebackOption = False,
) -> None:
    """Train a run on from where it was.

    At the very batch, bit for bit as if never interrupted.
    """
    from ..setup.resume import NothingLeftError, resume_run

    options = options_of(ctx)
    if run is not None and file is None and run.endswith(".py"):
        run, file = None, run
    with refusals(traceback):
        given = {"epochs": _count("--epochs", epochs, ctx), "early_stop": early_stop}
        changes = dict(parse_set(f"{key}={said}") for key, said in given.items() if said)
        try:
            tells_end = ctx.params["json"]
            builder = resume_run(
                run, options, file=file, changes=changes, force=force, tells_end=tells_end
            )
        except NothingLeftError as told:
            complain(str(told))
            raise typer.Exit from told
        if detach:
            raise typer.Exit(_go_on_detached(builder, ctx))
    if (ranks := ranks_to_start(ctx, builder.ranks_before)) > 1:
        from ..setup.torchrun import train_in_ranks

        assert builder.directory is not None
        builder.directory.close()
        raise typer.Exit(train_in_ranks(own_words(ctx, builder.name), ranks))
    raise typer.Exit(watch(builder, ctx))


NOT_IN_REPLAY: Final = (
    *("on_nan", "break_", "break_it", "hold"),
    *("nproc", "parallel", "tensorboard", "bell", "notify"),
)


@with_options(RUN_OPTIONS, after="force", without=NOT_IN_REPLAY)
def replay(
    ctx: typer.Context,
    run: RunOption = None,
    file: FileOption = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="BATCH", help="Of the whole run; 1 is the first.")
    ] = None,
    force: ForceOption = False,
    runs_dir: RunsDirOption = None,
    traceback: TracebackOption = False,
) -> None:
    """Play an earlier run back on the screen, or with --at go back to one batch and look inside.

    The run stays as it is. --at trains its batches again, bit for bit, from the checkpoint before.
    """
    from ..setup.replay import film, replay_batch

    refuse_ranks()
    if run is not None and file is None and run.endswith(".py"):
        run, file = None, run
    batch = _count("--at", at, ctx)
    if batch is None:
        if not with_screen(ctx):
            told = "replay needs the screen, on a terminal; --at BATCH goes back to a batch without"
            raise UsageError(told, ctx)
        with refusals(traceback):
            played = film(runs_folder(runs_dir), run)
        with importing():
            from ..app.attach import open_attached
        raise typer.Exit(open_attached(runs_folder(runs_dir), [], played))
    options = RunOptions(runs_folder(runs_dir), keeps=False, hold=False)
    with refusals(traceback):
        builder = replay_batch(run, batch, options, file=file, force=force)
    raise typer.Exit(watch(builder, ctx))


def _go_on_detached(builder: RunBuilder, ctx: Any) -> int:
    """Let go of a run that is ready to resume, and have it resume in the background."""
    directory = builder.directory
    assert directory is not None
    directory.close()
    options = replace(builder.options, folder=directory.path.parent, name=directory.name)
    return train_detached(ctx, builder.plan, options, resumes=True)


def runs(
    ctx: typer.Context,
    action: Annotated[
        str | None,
        typer.Argument(metavar="show|prune", help="Tell all about one run; remove some."),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME ...", help="Which; show: the last run if left out."),
    ] = None,
    runs_dir: RunsDirOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="For prune: don't ask.")] = False,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="A table instead of the screen.")] = False,
    json: Annotated[bool, typer.Option("--json", help="A list of objects instead.")] = False,
) -> None:
    """List the runs that were kept, newest first; show one, or remove some.

    On a terminal the list is a screen, from where runs are opened, compared, resumed and removed.
    """
    from . import run_tables

    if action not in (None, "show", "prune"):
        raise UsageError(f"expected show NAME or prune NAME, not {clean(str(action))}", ctx)
    folder, output, named = runs_folder(runs_dir), stdout(), names or []
    if action == "show" and len(named) > 1:
        raise UsageError("show tells about one run", ctx)
    if action == "prune" and (not named or not (yes or on_a_terminal())):
        raise UsageError("prune needs names, and --yes where nobody can be asked", ctx)
    if action is None and not (no_ui or json) and on_a_terminal():
        with importing():
            from ..app.runs import open_runs
        raise typer.Exit(open_runs(folder))
    with refusals():
        if action == "show":
            text = run_tables.run_details(folder, next(iter(named), None), as_object=json)
        elif action == "prune":
            text = run_tables.prune(folder, named, asks=not yes)
        else:
            text = run_tables.as_json(folder) if json else run_tables.table(folder, output)
    raise typer.Exit(written(output, text))


def attach(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A run's name or folder; left out: the live one."),
    ] = None,
    runs_dir: RunsDirOption = None,
) -> None:
    """Watch and steer a run that another process trains, or look at any other from its files.

    It goes on whatever becomes of this screen; of several live runs one can be chosen.
    """
    from ..setup.attach import attach_or_read, live_runs

    folder = runs_folder(runs_dir)
    if not on_a_terminal():
        raise UsageError("attach needs a terminal; fivestep ctl NAME status does not", ctx)
    run = None
    with refusals():
        runs = [] if name is not None else live_runs(folder)
        if name is None and not runs:
            raise RunError(
                f"no run in {clean(str(folder))} is being trained now, or none can be "
                "reached from here; fivestep runs lists what there is"
            )
        if len(runs) < 2:
            run = attach_or_read(folder, name or runs[0].name)
    with importing():
        from ..app.attach import open_attached
    raise typer.Exit(open_attached(folder, runs, run))


def ctl(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A run's name or folder.")],
    action: Annotated[
        str, typer.Argument(metavar="ACTION", help=f"What it is to do: {', '.join(ACTIONS)}.")
    ],
    value: Annotated[
        str | None, typer.Argument(metavar="X", help="For lr: 0.001, or ×0.5 (x0.5, /2).")
    ] = None,
    after: Annotated[
        str, typer.Option("--after", metavar="batch|epoch", help="For stop: after which.")
    ] = "batch",
    json: Annotated[bool, typer.Option("--json", help="For status: one object.")] = False,
    runs_dir: RunsDirOption = None,
) -> None:
    """Steer a run that another process trains.

    It answers when the run has done so, in a line.
    """
    from ..setup.attach import attach as attach_to

    if problem := check(action, value):
        raise UsageError(problem, ctx)
    if after not in ("batch", "epoch"):
        raise UsageError(f"--after: expected batch or epoch, not {clean(after)}", ctx)
    if json and action != "status":
        raise UsageError("--json is for status", ctx)
    with refusals():
        remote = attach_to(runs_folder(runs_dir), name, watches=False)
    output = stdout()
    with contextlib.closing(remote):
        if action == "status":
            code = status(remote, output, as_object=json)
        else:
            code = control(remote, action, value, after, output)
    raise typer.Exit(code or written(output))


def export(
    ctx: typer.Context,
    run: RunOption = None,
    csv: Annotated[bool, typer.Option("--csv", hidden=True)] = True,  # once had to be said
    epochs: Annotated[
        bool, typer.Option("--epochs", help="A row an epoch instead of one a batch.")
    ] = False,
    output_file: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of stdout.")
    ] = None,
    tensorboard: TensorboardOption = None,
    parquet: Annotated[
        str | None, typer.Option(metavar="FILE", help="The numbers as a Parquet file.")
    ] = None,
    safetensors: Annotated[
        str | None, typer.Option(metavar="FILE", help="The best weights, as safetensors.")
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="With --safetensors: the newest weights.")
    ] = False,
    overwrite: OverwriteOption = False,
    runs_dir: RunsDirOption = None,
) -> None:
    """Export a run's numbers as CSV, a row a batch, or something else of it.

    Beyond 100,000 batches: a row a window of batches.
    """
    from ...core.storage.run_index import run_named
    from . import exports
    from .predict import refuse_existing

    made = {
        "--output": output_file, "--parquet": parquet, "--safetensors": safetensors
    }  # fmt: skip
    made = {name: file for name, file in made.items() if file is not None}
    if last and safetensors is None:
        raise UsageError("--last goes with --safetensors", ctx)
    if len(made) + (tensorboard is not None) > 1:
        named = ", ".join([*made, *["--tensorboard"] * (tensorboard is not None)])
        raise UsageError(f"one export at a time: {named} contradict each other", ctx)
    if epochs and (safetensors is not None or tensorboard is not None):
        raise UsageError("--epochs is for CSV and --parquet", ctx)
    with refusals():
        directory = run_named(runs_folder(runs_dir), run)
        for file in filter(None, made.values()):
            if not overwrite and Path(file).is_file():  # /dev/stdout is none
                refuse_existing(file)
        if tensorboard is not None:
            code = exports.to_tensorboard(directory, tensorboard)
        elif parquet is not None:
            code = exports.to_parquet(directory, parquet, epochs=epochs)
        elif safetensors is not None:
            code = exports.to_safetensors(directory, safetensors, last=last)
        else:
            code = exports.to_csv(directory, output_file, epochs=epochs)
    raise typer.Exit(code)


def predict(
    run: Annotated[str, typer.Argument(metavar="NAME", help="A run's name or folder.")],
    rows: Annotated[
        str, typer.Argument(metavar="ROWS", help="A CSV file with the run's columns; - is stdin.")
    ],
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="Instead of stdout.")
    ] = None,
    overwrite: OverwriteOption = False,
    last: Annotated[
        bool, typer.Option("--last", help="With the newest weights instead of the best.")
    ] = False,
    runs_dir: RunsDirOption = None,
    traceback: TracebackOption = False,
) -> None:
    """Predict new rows of a table with a run that learned it.

    The rows come back as CSV with the predictions behind.
    """
    from .evaluate import TrainedRun
    from .predict import predict_rows, refuse_existing, write_rows

    with refusals(traceback):
        if out is not None and not overwrite:
            refuse_existing(out)
        trained = TrainedRun(runs_folder(runs_dir), run, last=last)
        found = predict_rows(trained, run, rows)
        code = write_rows(found, out, overwrite=overwrite)
    raise typer.Exit(code)


def _count(option: str, said: str | None, ctx: Any) -> int | None:
    if said is None:
        return None
    if not said.isdecimal() or not 1 <= int(said) <= 10**9:
        raise UsageError(f"{option}: expected a number of at least 1, not {clean(said)}", ctx)
    return int(said)
