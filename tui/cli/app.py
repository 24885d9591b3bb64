"""The commands of `fivestep`, each with its arguments and options."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Final

import typer

from ... import __version__
from ...core.protocol.rank import this_rank
from ...presets import registry
from ...presets.errors import RecipeError
from ..render.format import clean
from ..setup.preferences import take_preferences
from ..terminal.imports import importing
from ..terminal.output import REFUSED, Output, complain, records_only, stdout, tell_left, written
from ..terminal.signals import Signals
from . import run_commands, run_script
from .arguments import (
    faults_of,
    options_of,
    own_words,
    plan_of,
    ranks_to_start,
    recipe_of,
    refuse_changes,
    refuse_ranks,
    train_detached,
    watch,
    with_screen,
)
from .compare import compare
from .config import config
from .errors import (
    NO_ARGUMENTS,
    DefaultsToTrain,
    Plain,
    TakesNumbers,
    UsageError,
    refusals,
    run_command,
)
from .options import (
    EXIT_CODES,
    RECIPE_OPTIONS,
    RUN_OPTIONS,
    BreakItOption,
    DetachOption,
    NameOption,
    NoSaveOption,
    OneObjectOption,
    PresetOption,
    RunsDirOption,
    SaveEveryOption,
    TracebackOption,
    with_options,
)
from .report import report
from .serve import serve

MOST_BATCHES: Final = 1000
"""Batches that are explained at most."""

app: Final = typer.Typer(
    cls=DefaultsToTrain,
    rich_markup_mode=None,  # rich would cost every --help twice its time
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="PyTorch training as five visible steps. Alone, in a terminal, it opens the choosing "
    "screen, without one it trains nothing; with options but no command it trains "
    f"{registry.DEFAULT}.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fivestep {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """The options that stand before a command."""


@app.command(cls=Plain, epilog=EXIT_CODES)
@with_options(RUN_OPTIONS, after="save_every")
@with_options(RECIPE_OPTIONS, after="preset")
def train(
    ctx: typer.Context,
    preset: PresetOption = registry.DEFAULT,
    name: NameOption = None,
    runs_dir: RunsDirOption = None,
    no_save: NoSaveOption = False,
    save_every: SaveEveryOption = "30s",
    detach: DetachOption = False,
    traceback: TracebackOption = False,
) -> None:
    """Train a preset, a recipe in a file, or a Python file of your own.

    `fivestep new` writes such a Python file.
    """
    options = options_of(ctx)
    if detach:
        plan = plan_of(ctx)  # what makes no sense is refused here
        with refusals(traceback):
            raise typer.Exit(train_detached(ctx, plan, options))
    if ctx.meta.get(NO_ARGUMENTS) and this_rank().size == 1:
        if not with_screen(ctx):
            told = (
                f"alone it needs a terminal; fivestep train trains {registry.DEFAULT} without one"
            )
            raise UsageError(told, ctx)
        with importing():
            from ..app.open import open_screen
        raise typer.Exit(open_screen(None, options))  # nothing is started: the screen asks
    plan = plan_of(ctx)
    if (ranks := ranks_to_start(ctx)) > 1:
        from ..setup.torchrun import train_in_ranks

        raise typer.Exit(train_in_ranks(own_words(ctx), ranks))
    from ..setup.builder import RunBuilder
    from ..setup.resume import resume_restarted

    with refusals(traceback):
        builder = resume_restarted(plan, options) or RunBuilder.begin(plan, options)
    raise typer.Exit(watch(builder, ctx))


app.command(
    "run", cls=run_script.RunsScript, short_help="Run a script of yours as it is, and watch it."
)(run_script.run_script)


@app.command(cls=Plain)
def presets(
    json: Annotated[bool, typer.Option("--json", help="A list of objects instead.")] = False,
) -> None:
    """List the presets: data, model, parameters, what to expect."""
    from .presets import as_json, as_table

    output = stdout()
    raise typer.Exit(written(output, as_json() if json else as_table(output)))


@app.command(cls=Plain)
@with_options(RECIPE_OPTIONS, after="preset")
def show(
    ctx: typer.Context, preset: PresetOption = registry.DEFAULT, traceback: TracebackOption = False
) -> None:
    """Print the resolved recipe as TOML, which can be run again."""
    raise typer.Exit(written(stdout(), recipe_of(ctx).to_toml()))


@contextlib.contextmanager
def _nothing_kept(json: bool, traceback: bool) -> Iterator[Output]:
    """Where a command writes that keeps nothing, and that ends here: at a signal a line says so."""
    signals = Signals(partial(tell_left, "nothing kept", ""), running=False)
    with signals, records_only() if json else contextlib.nullcontext(stdout()) as output:
        with refusals(traceback):
            yield output
        code = written(output)
    raise typer.Exit(code)


@app.command("lr", cls=Plain)
@with_options(RECIPE_OPTIONS, after="preset", without=("epochs", "early_stop", "lr", "compile"))
def lr(
    ctx: typer.Context,
    preset: PresetOption = registry.DEFAULT,
    json: OneObjectOption = False,
    traceback: TracebackOption = False,
) -> None:
    """Find a learning rate: train shortly with ever larger ones.

    Nothing is kept. It ends when the loss diverges, draws the loss over the learning rate, and
    suggests one.
    """
    refuse_ranks()
    plan = plan_of(ctx)
    from .lr import sweep_learning_rates

    with _nothing_kept(json, traceback) as output:
        sweep_learning_rates(plan, own_words(ctx)[1:], output, json=json)


@app.command("eval", cls=Plain)
@with_options(RECIPE_OPTIONS, after="preset", without=("epochs", "early_stop"))
def evaluate(
    ctx: typer.Context,
    preset: PresetOption = registry.DEFAULT,
    run: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="With what this run has learned.")
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Its newest weights instead of its best.")
    ] = False,
    runs_dir: RunsDirOption = None,
    json: OneObjectOption = False,
    traceback: TracebackOption = False,
) -> None:
    """Judge a model on validation and test data.

    It is freshly initialised, or with --run as that run left it.
    """
    refuse_ranks()
    if last and run is None:
        raise UsageError("--last goes with --run", ctx)
    from ..setup.options import runs_folder
    from .evaluate import TrainedRun, evaluate_plan

    with refusals(traceback):
        trained = None if run is None else TrainedRun(runs_folder(runs_dir), run, last=last)
        if trained is None or preset.endswith(".py"):
            plan = plan_of(ctx, None if trained is None else trained.changes())
        else:
            plan = trained.plan()
            refuse_changes(ctx, plan)
    with _nothing_kept(json, traceback) as output:
        evaluate_plan(plan, output, json=json, trained=trained)


@app.command(cls=Plain)
def new(path: Annotated[str, typer.Argument(metavar="FILE", help="Such as my_run.py.")]) -> None:
    """Write a commented Python file to start a run of your own."""
    import shlex

    from ...presets.user_file import write_starter

    with refusals():
        file = write_starter(path)
    told = f"{file} is there; to run it: fivestep train {shlex.quote(str(file))}"
    raise typer.Exit(written(stdout(), clean(told) + "\n"))


@app.command(cls=Plain)
@with_options(RECIPE_OPTIONS, after="break_it", without=("epochs", "early_stop", "compile"))
def explain(
    ctx: typer.Context,
    preset: PresetOption = registry.DEFAULT,
    batches: Annotated[
        str, typer.Option("--batches", "-n", metavar="N", help="Batches to explain.")
    ] = "2",
    break_it: BreakItOption = None,
    json: OneObjectOption = False,
    traceback: TracebackOption = False,
) -> None:
    """Train a few batches and say what each step did.

    Nothing is kept.
    """
    refuse_ranks()
    if not batches.isdecimal() or not 1 <= int(batches) <= MOST_BATCHES:
        raise UsageError(f"--batches: expected a number from 1 to {MOST_BATCHES:,}", ctx)
    faults, plan = faults_of(ctx), plan_of(ctx)
    from .explain import explain_plan

    with records_only() if json else contextlib.nullcontext(stdout()) as output:
        with refusals(traceback):
            failed = explain_plan(
                plan, output, int(batches), faults, json=json, show_traceback=traceback
            )
        code = written(output)
    raise typer.Exit(failed or code)


app.command(cls=Plain, epilog=EXIT_CODES)(run_commands.resume)
app.command(cls=Plain, short_help="Play a run back, or go back to one of its batches.")(
    run_commands.replay
)
app.command(cls=Plain, short_help="List, show and remove the runs that were kept.")(
    run_commands.runs
)
app.command(cls=Plain, short_help="Watch and steer a run that another process trains.")(
    run_commands.attach
)
app.command(cls=TakesNumbers)(run_commands.ctl)
app.command(cls=Plain, short_help="Compare runs: curves, values, settings.")(compare)
app.command(cls=Plain, short_help="Write all about a run into one HTML file.")(report)
app.command(cls=Plain, short_help="Export a run's numbers or weights.")(run_commands.export)
app.command(cls=Plain)(run_commands.predict)
app.command(cls=Plain)(config)
app.command(cls=Plain, context_settings={"allow_interspersed_args": False})(serve)


def run(arguments: list[str]) -> int:
    """The command in this process: its exit code."""
    if not {"-h", "--help", "--version"} & set(arguments):
        try:
            take_preferences()
        except RecipeError as error:
            complain(str(error))
            return REFUSED
    return run_command(typer.main.get_command(app), arguments)
