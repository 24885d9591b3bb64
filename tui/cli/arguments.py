"""What the commands that run something share: the wishes they are given, and the face."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ...core.protocol.faults import Fault
from ...presets.errors import shown
from ...presets.overrides import ALIASES, SWITCHES, parse_set
from ...presets.registry import nearest
from ..setup.options import RunOptions, runs_folder
from ..terminal.imports import importing
from ..terminal.output import on_a_terminal, records_only, stdout
from .errors import UsageError, refusals

if TYPE_CHECKING:
    from ...presets.recipe import Recipe
    from ..setup.builder import RunBuilder
    from ..setup.plan import Plan

UNITS: Final = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
SPAN: Final = re.compile(r"([0-9]*\.?[0-9]+)\s*([a-z]+)")


def options_of(ctx: Any) -> RunOptions:
    """What the command line wants kept.

    Raises:
        UsageError: an option says something that is none of its answers.
    """
    said: dict[str, Any] = ctx.params
    if said["json"] and said["quiet"]:
        raise UsageError("--json and --quiet contradict each other; leave one out", ctx)
    if said["on_nan"] not in (None, "stop", "rollback"):
        raise UsageError("--on-nan: expected stop or rollback", ctx)
    if said.get("no_save") and said.get("name"):
        raise UsageError("--no-save and --name contradict each other; leave one out", ctx)
    if said.get("no_save") and said["on_nan"] == "rollback":
        raise UsageError("--on-nan rollback needs checkpoints; leave --no-save out", ctx)
    seconds, epochs = _span(said["save_every"], ctx)
    breakpoints = tuple(said.get("break_") or ())
    if breakpoints:
        _check(breakpoints, ctx)
    return RunOptions(
        folder=runs_folder(said["runs_dir"]),
        name=said.get("name"),
        keeps=not said.get("no_save", False),
        seconds=seconds,
        epochs=epochs,
        on_nan=said["on_nan"],
        breakpoints=breakpoints,
        faults=faults_of(ctx),
    )


def faults_of(ctx: Any) -> tuple[Fault, ...]:
    """What the command line wants to be wrong with the loop.

    Raises:
        UsageError: there is no such switch.
    """
    named: list[str] = ctx.params.get("break_it") or []
    for name in named:
        if name not in tuple(Fault):
            guess = nearest(name, Fault)
            way_out = f"did you mean {guess}?" if guess else f"there are {', '.join(Fault)}"
            raise UsageError(f"--break-it: there is no switch {shown(name)}; {way_out}", ctx)
    return tuple(dict.fromkeys(map(Fault, named)))


def _check(conditions: tuple[str, ...], ctx: Any) -> None:
    """Refuse what can't be understood, before anything is loaded."""
    from ...core.protocol.conditions import METRICS, WORDS, ConditionError, parse

    said = ctx.params
    own = any(str(said.get(key)).endswith(".py") for key in ("preset", "run", "file"))
    for text in conditions:
        # A Python file may bring metrics that only it knows: they are looked up once it is run.
        words = set(re.findall(r"[^\W\d]\w*", text)) - set(WORDS) if own else ()
        try:
            parse(text, (*METRICS, *words))
        except ConditionError as error:
            raise UsageError(f"--break {shown(text)}: {error}", ctx) from error


def _span(text: str, ctx: Any) -> tuple[float, int | None]:
    """Seconds between two checkpoints, and epochs between two that stay."""
    match = SPAN.fullmatch(text.strip().lower())
    number, unit = (float(match[1]), match[2]) if match else (0.0, "")
    if unit in UNITS and number > 0 and math.isfinite(number):
        return number * UNITS[unit], None
    if unit in ("epoch", "epochs") and number >= 1 and number == int(number):
        return _span("30s", ctx)[0], int(number)
    raise UsageError("--save-every: expected a time such as 30s, 5min or 10epochs", ctx)


def with_screen(ctx: Any) -> bool:
    """Whether the run is shown on a screen: nothing else was asked for, and there is one."""
    said = ctx.params
    return not (said["no_ui"] or said["json"] or said["quiet"]) and on_a_terminal()


def watch(builder: RunBuilder, ctx: Any) -> int:
    """Run it under the face that was asked for; the exit code."""
    if with_screen(ctx):
        with importing():
            from ..app.open import open_screen
        # What is chosen on the screen afterwards is another run, and begins unbroken.
        return open_screen(builder, replace(builder.options, faults=(), breakpoints=()))
    from ..headless import runner
    from ..headless.json_reporter import JsonReporter
    from ..headless.reporter import Reporter
    from ..headless.text_reporter import TextReporter

    said = ctx.params
    json, quiet = said["json"], said["quiet"]
    with records_only() if json else contextlib.nullcontext(stdout()) as output:
        reporter = (
            JsonReporter(output) if json else Reporter(output) if quiet else TextReporter(output)
        )
        return runner.run(builder, reporter, show_traceback=said["traceback"])


def recipe_of(ctx: Any) -> Recipe:
    """The recipe that the command line speaks of, checked without torch.

    Raises:
        typer.Exit: with 2, if it can't be used; the reason has been told.
    """
    from ...presets import recipe

    said: dict[str, Any] = ctx.params
    with refusals(said["traceback"]):
        if said["preset"].endswith(".py"):
            raise recipe.RecipeError(
                f"{shown(said['preset'])}: a Python file is no recipe, there is nothing to resolve"
            )
        return recipe.load(said["preset"], _overrides(said))


def plan_of(ctx: Any) -> Plan:
    """What the command line wants to run: a recipe, or the Python file that it names.

    Raises:
        typer.Exit: as `recipe_of`.
    """
    from ..setup.plan import FilePlan, RecipePlan

    said: dict[str, Any] = ctx.params
    if not said["preset"].endswith(".py"):
        return RecipePlan(recipe_of(ctx))
    from ...presets.user_file import load_own

    with refusals(said["traceback"]):
        return FilePlan(load_own(said["preset"], _overrides(said)))


def _overrides(said: Mapping[str, Any]) -> dict[str, Any]:
    """What the short options and `--set` change, by key."""
    said = {**said, **{alias[2:]: "true" if said.get(alias[2:]) else None for alias in SWITCHES}}
    short = {key: said.get(alias[2:].replace("-", "_")) for alias, key in ALIASES.items()}
    sets = [f"{key}={value}" for key, value in short.items() if value is not None]
    return dict(parse_set(text) for text in (*sets, *(said["set_"] or ())))
