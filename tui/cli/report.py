"""`fivestep report`: a run as one HTML file."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ... import __version__
from ..render.format import clean
from ..setup.options import runs_folder
from ..terminal.output import stdout, written
from .errors import refusals
from .options import OverwriteOption, RunOption, RunsDirOption

if TYPE_CHECKING:
    from ...core.comparison.comparison import Comparison
    from ...core.comparison.numbers import Numbers
    from ...core.storage.run_directory import RunDirectory
    from ..render.report_page import Plot, ReportPage

ELSEWHERE: Final = ("run", "state", "settings", "on", "commit", "verdicts", "to stop", "to look at")
"""Facts that have a place of their own on the page, or do not last."""
LOG: Final = 100.0
"""By so much values, all above 0, have to differ to be drawn on a log scale."""


def report(
    run: RunOption = None,
    output_file: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Instead of NAME.html, here."),
    ] = None,
    overwrite: OverwriteOption = False,
    runs_dir: RunsDirOption = None,
) -> None:
    """Write all about a run into one HTML file, readable without network."""
    from ...core.storage.files import refusal, write_whole
    from ...core.storage.run_directory import RunError, shown
    from ...core.storage.run_index import run_named
    from .predict import refuse_existing

    folder = runs_folder(runs_dir)
    with refusals():
        directory = run_named(folder, run)
        file = output_file or f"{directory.name}.html"
        if not overwrite:
            refuse_existing(file)
        page = page_of(directory).html()
        try:
            write_whole(Path(file), page)
        except OSError as error:
            raise RunError(f"{shown(file)} can't be written: {refusal(error)}") from error
    told = f"{file} is there: {len(page) // 1024 + 1:,} KiB, any browser opens it"
    raise typer.Exit(written(stdout(), clean(told) + "\n"))


def page_of(directory: RunDirectory) -> ReportPage:
    """All that is kept of a run, as it goes onto the page.

    Raises:
        RunError: its log can't be read.
    """
    from ...core.comparison.comparison import Comparison
    from ...core.comparison.kept_run import read_run
    from ...core.storage.run_index import summary
    from ..browse.rows import when
    from ..render.charts import MARKED, Mark
    from ..render.report_page import ReportPage
    from .run_tables import events_of, run_facts

    run, numbers = summary(directory.path), read_run(directory)
    events = list(events_of(directory))
    environment = {
        key: value
        for key, value in numbers.settings.items()
        if key.startswith("versions.") or key in ("device", "threads", "amp", "compile", "commit")
    }
    return ReportPage(
        name=run.name,
        state=run.state,
        reason=run.reason,
        facts=[fact for fact in run_facts(directory, run) if fact[0] not in ELSEWHERE],
        plots=list(_plots(numbers)),
        span=(0.0, float(run.batches_done)) if run.batches_done else None,
        marks=[
            Mark(float(event["batches_done"]), str(event.get("text", "")))
            for event in events
            if event.get("kind") in MARKED and isinstance(event.get("batches_done"), int)
        ],
        verdicts=directory.read_outcome()[0].get("verdicts"),
        values=list(_values(Comparison([numbers]))),
        settings=_said(numbers.settings, without=environment),
        environment=_said(environment),
        events=[
            (
                when(event.get("time")),
                str(event.get("batches_done", "")),
                str(event.get("kind", event.get("type", ""))),
                str(event.get("text", "")),
                _by(event.get("by")),
            )
            for event in events
        ],
        made=f"made by fivestep {__version__} on {when(time.time())}",
    )


def _by(by: Any) -> str:
    return f"{by.get('user', '?')} on {by.get('host', '?')}" if isinstance(by, dict) else ""


def _said(found: Mapping[str, Any], without: Container[str] = ()) -> list[tuple[str, str]]:
    return [
        (key.removeprefix("versions."), value if isinstance(value, str) else repr(value))
        for key, value in found.items()
        if value is not None and key not in without
    ]


def _values(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    from ..render.comparison import value
    from ..render.format import NOTHING, count

    (run,) = comparison.runs
    last = comparison.values(run)
    for name in comparison.metrics:
        best = run.best(name)
        told = (NOTHING, "") if best is None else (value(name, best.value), count(best.batches))
        yield name, *told, value(name, last[name])


def _plots(numbers: Numbers) -> Iterator[Plot]:
    """The losses in one chart, every other metric in its own, all learning rates in one."""
    from ...core.comparison.numbers import FIRST, in_order
    from ..render.report_page import COLOURS, Plot
    from ..render.svg import SvgLine

    curves = {name: points.curve("batches") for name, points in numbers.points.items()}
    losses: list[str] = [name for name in FIRST if name in curves]
    rates = [name for name in curves if name.startswith("lr")]
    groups = [losses] if losses else []
    groups += [
        [name]
        for name in in_order(curves, numbers.higher)
        if name not in (*losses, *rates, "majority_share")
    ]
    groups += [rates] if rates else []
    for names in groups:
        lines = tuple(
            SvgLine(name, curves[name], i % COLOURS, points=name == "train_loss")
            for i, name in enumerate(names)
        )
        title = "loss" if names is losses else "learning rate" if names is rates else names[0]
        lows = [v for one in lines for v in one.curve.low if v is not None]
        highs = [v for one in lines for v in one.curve.high if v is not None]
        log = title == "loss" and 0 < min(lows, default=0.0) * LOG < max(highs, default=0.0)
        yield Plot(title, lines, log)
