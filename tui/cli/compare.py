"""`fivestep compare`: runs of ours, and files of other trainers, next to each other."""

from __future__ import annotations

from typing import Annotated

import typer

from ..setup.options import runs_folder
from ..terminal.imports import importing
from ..terminal.output import BROKE, on_a_terminal, stdout, written
from .errors import refusals
from .options import OneObjectOption, RunsDirOption


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="A B ...",
            help="Runs by name or folder, or files of other trainers: metrics.csv, "
            "trainer_state.json, event files.",
        ),
    ],
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            metavar="CONDITION",
            help='End with 3 where it is true of a run but the first, as "val_loss > 1.02 * A". '
            "May be repeated.",
        ),
    ] = None,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Lines instead of the screen.")] = False,
    json: OneObjectOption = False,
    runs_dir: RunsDirOption = None,
) -> None:
    """Compare runs: curves, best and last values, settings, where they part."""
    from ..browse.reading import read_all
    from . import compare_tables as tables

    with refusals():
        comparison = read_all(runs_folder(runs_dir), runs)
        failing = {text: tables.checked(text, comparison) for text in fail_if or ()}
    if not (json or no_ui or fail_if) and on_a_terminal():
        with importing():
            from ..app.runs import open_comparison
        raise typer.Exit(open_comparison(comparison))
    output = stdout()
    if json:
        text = tables.as_json(comparison, failing)
    else:
        width = output.columns if output.is_terminal else None
        text = tables.as_text(comparison, failing, width)
    raise typer.Exit(written(output, text) or (BROKE if any(failing.values()) else 0))
