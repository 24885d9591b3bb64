"""The command that explains a run's first batches."""

from __future__ import annotations

import contextlib
from typing import Annotated, Final

import typer

from ...presets import registry
from ..terminal.output import records_only, stdout, written
from .arguments import faults_of, plan_of
from .errors import Plain, UsageError, refusals
from .options import (
    Amp,
    BatchSize,
    BreakIt,
    DataDir,
    Dataset,
    Device,
    Lr,
    Model,
    Optimizer,
    Preset,
    Seed,
    Set,
    Threads,
    Traceback,
)

MOST: Final = 1000
"""Batches that are explained at most."""


def add_to(app: typer.Typer) -> None:
    """Make it a command of the program."""
    app.command(cls=Plain)(explain)


def explain(
    ctx: typer.Context,
    preset: Preset = registry.DEFAULT,
    batches: Annotated[
        str, typer.Option("--batches", "-n", metavar="N", help="Batches to explain.")
    ] = "2",
    break_it: BreakIt = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    optimizer: Optimizer = None,
    seed: Seed = None,
    device: Device = None,
    threads: Threads = None,
    amp: Amp = None,
    model: Model = None,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    set_: Set = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
    traceback: Traceback = False,
) -> None:
    """Train a few batches step by step and say what each step did; nothing is kept."""
    if not batches.isdecimal() or not 1 <= int(batches) <= MOST:
        raise UsageError(f"--batches: expected a number from 1 to {MOST:,}", ctx)
    faults, plan = faults_of(ctx), plan_of(ctx)
    from .explain import tell

    with records_only() if json else contextlib.nullcontext(stdout()) as output:
        with refusals(traceback):
            failed = tell(plan, output, int(batches), faults, json=json, show_traceback=traceback)
        output.flush()
        code = written(output)
    raise typer.Exit(failed or code)
