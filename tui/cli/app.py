"""The command: what it takes, and which face shows the run."""

from __future__ import annotations

import contextlib
from typing import Annotated, Final

import typer

from ... import __version__
from ...presets import registry
from ..render import format as text
from ..terminal.imports import importing
from ..terminal.output import Output, records_only, stdout, written
from . import explain_command as cli_explain
from . import run_commands as cli_runs
from .arguments import options_of, plan_of, recipe_of, watch, with_screen
from .errors import SAID_NOTHING, DefaultsToTrain, Plain, refusals, run_command
from .options import (
    EXIT_CODES,
    Amp,
    BatchSize,
    Break,
    BreakIt,
    Compile,
    DataDir,
    Dataset,
    Device,
    Epochs,
    Json,
    Lr,
    Model,
    Name,
    NoSave,
    NoUi,
    OnNan,
    Optimizer,
    Preset,
    Quiet,
    RunsDir,
    SaveEvery,
    Seed,
    Set,
    Threads,
    Traceback,
)

app: Final = typer.Typer(
    cls=DefaultsToTrain,
    rich_markup_mode=None,  # rich would cost every --help twice its time
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"PyTorch training as five visible steps. Without a command: train {registry.DEFAULT}.",
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
    """What stands before a command."""


@app.command(cls=Plain, epilog=EXIT_CODES)
def train(
    ctx: typer.Context,
    preset: Preset = registry.DEFAULT,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    optimizer: Optimizer = None,
    seed: Seed = None,
    device: Device = None,
    threads: Threads = None,
    amp: Amp = None,
    compile: Compile = False,
    model: Model = None,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    set_: Set = None,
    name: Name = None,
    runs_dir: RunsDir = None,
    no_save: NoSave = False,
    save_every: SaveEvery = "30s",
    on_nan: OnNan = None,
    break_: Break = None,
    break_it: BreakIt = None,
    no_ui: NoUi = False,
    json: Json = False,
    quiet: Quiet = False,
    traceback: Traceback = False,
) -> None:
    """Train a preset, the recipe in a file, or a Python file of your own (see: fivestep new)."""
    options = options_of(ctx)
    if with_screen(ctx) and ctx.meta.get(SAID_NOTHING):
        with importing():
            from ..app.open import open_screen
        raise typer.Exit(open_screen(None, options))  # nothing is started: the screen asks
    plan = plan_of(ctx)
    from ..setup.builder import RunBuilder

    with refusals(traceback):
        builder = RunBuilder.begin(plan, options)
    raise typer.Exit(watch(builder, ctx))


@app.command(cls=Plain)
def presets(
    json: Annotated[bool, typer.Option("--json", help="A list of objects instead.")] = False,
) -> None:
    """List the presets: data, model, parameters, what to expect."""
    from . import presets as listing

    output = stdout()
    _print(output, listing.as_json() if json else listing.as_table(output))


@app.command(cls=Plain)
def show(
    ctx: typer.Context,
    preset: Preset = registry.DEFAULT,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    optimizer: Optimizer = None,
    seed: Seed = None,
    device: Device = None,
    threads: Threads = None,
    amp: Amp = None,
    compile: Compile = False,
    model: Model = None,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    set_: Set = None,
    traceback: Traceback = False,
) -> None:
    """Print the resolved recipe as TOML, which can be run again."""
    recipe = recipe_of(ctx)
    _print(stdout(), recipe.to_toml())


@app.command("eval", cls=Plain)
def evaluate(
    ctx: typer.Context,
    preset: Preset = registry.DEFAULT,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    optimizer: Optimizer = None,
    seed: Seed = None,
    device: Device = None,
    threads: Threads = None,
    amp: Amp = None,
    compile: Compile = False,
    model: Model = None,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    set_: Set = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="With what this run has learned.")
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Its newest weights instead of its best.")
    ] = False,
    runs_dir: RunsDir = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
    traceback: Traceback = False,
) -> None:
    """Judge a model on the validation and the test data: untrained, or as a run left it."""
    from ..setup.options import runs_folder
    from .evaluate import Trained, judge

    with refusals(traceback):
        trained = None if run is None else Trained(runs_folder(runs_dir), run, last=last)
        own = trained is not None and not preset.endswith(".py")
        plan = trained.plan() if trained is not None and own else plan_of(ctx)
    with records_only() if json else contextlib.nullcontext(stdout()) as output:
        with refusals(traceback):
            judge(plan, output, json=json, trained=trained)
        output.flush()
        code = written(output)
    raise typer.Exit(code)


@app.command(cls=Plain)
def new(
    path: Annotated[str, typer.Argument(metavar="FILE", help="Such as my_run.py.")],
) -> None:
    """Write a commented Python file to start a run of your own from."""
    import shlex

    from ...presets.user_file import write_starter

    with refusals():
        file = write_starter(path)
    output = stdout()
    _print(
        output,
        text.clean(f"{file} is there; to run it: fivestep train {shlex.quote(str(file))}") + "\n",
    )


def _print(output: Output, text: str) -> None:
    output.write(text)
    output.flush()
    raise typer.Exit(written(output))


cli_explain.add_to(app)
cli_runs.add_to(app)


def run(arguments: list[str]) -> int:
    """The command in this process: its exit code."""
    return run_command(typer.main.get_command(app), arguments)
