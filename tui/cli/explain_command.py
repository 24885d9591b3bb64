"""The command `explain` and its options."""

from __future__ import annotations

import contextlib
from typing import Annotated, Final

import typer

from ...presets import registry
from ..terminal.output import records_only, stdout, written
from .arguments import faults_of, plan_of
from .errors import UsageError, refusals
from .options import (
    AmpOption,
    BatchSizeOption,
    BreakItOption,
    DataDirOption,
    DatasetOption,
    DeviceOption,
    LrOption,
    ModelOption,
    OptimizerOption,
    PresetOption,
    SeedOption,
    SetOption,
    ThreadsOption,
    TracebackOption,
)

MOST_BATCHES: Final = 1000
"""Batches that are explained at most."""


def explain(
    ctx: typer.Context,
    preset: PresetOption = registry.DEFAULT,
    batches: Annotated[
        str, typer.Option("--batches", "-n", metavar="N", help="Batches to explain.")
    ] = "2",
    break_it: BreakItOption = None,
    batch_size: BatchSizeOption = None,
    lr: LrOption = None,
    optimizer: OptimizerOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    amp: AmpOption = None,
    model: ModelOption = None,
    dataset: DatasetOption = None,
    data_dir: DataDirOption = None,
    set_: SetOption = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead.")] = False,
    traceback: TracebackOption = False,
) -> None:
    """Train a few batches step by step and say what each step did; nothing is kept."""
    if not batches.isdecimal() or not 1 <= int(batches) <= MOST_BATCHES:
        raise UsageError(f"--batches: expected a number from 1 to {MOST_BATCHES:,}", ctx)
    faults, plan = faults_of(ctx), plan_of(ctx)
    from .explain import explain_plan

    with records_only() if json else contextlib.nullcontext(stdout()) as output:
        with refusals(traceback):
            failed = explain_plan(
                plan, output, int(batches), faults, json=json, show_traceback=traceback
            )
        output.flush()
        code = written(output)
    raise typer.Exit(failed or code)
