"""From parsed command-line arguments to run options, a plan, and the run on the screen or not."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import typer

from ...core.protocol.faults import Fault
from ...core.protocol.rank import PARALLEL, this_rank
from ...presets import registry
from ...presets.errors import nearest, shown
from ...presets.overrides import ALIASES, SWITCHES, parse_set
from ..render.format import clean
from ..setup.options import MOST_RANKS, AsLeft, RunOptions, runs_folder
from ..setup.preferences import preference
from ..terminal.imports import importing
from ..terminal.output import (
    REFUSED,
    complain,
    first_draws,
    let_first_speak,
    on_a_terminal,
    records_only,
    stdout,
    written,
)
from .errors import ARGUMENTS, UsageError, refusals
from .options import RECIPE_OPTIONS

if TYPE_CHECKING:
    from ...presets.recipe import Recipe
    from ..setup.builder import RunBuilder
    from ..setup.plan import Plan

TIME_UNITS: Final = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
TIME_SPAN: Final = re.compile(r"([0-9]*\.?[0-9]+)\s*([a-z]+)")


def refuse_ranks() -> None:
    """Refuse to be one of several processes in what is no training; the first of them says so.

    The others wait: torchrun ends all of them as soon as one ends, the one that speaks, too.

    Raises:
        typer.Exit: with 2.
    """
    rank = this_rank()
    if rank.size == 1:
        return
    if rank.local:
        let_first_speak()
    else:
        complain(
            f"this is one of {rank.size} processes (WORLD_SIZE), as torchrun starts them, and they "
            "only train together: start it once, without torchrun"
        )
    raise typer.Exit(REFUSED)


def ranks_to_start(ctx: Any, before: int = 1) -> int:
    """How many processes this one is to start through torchrun; 1 if it trains by itself.

    Args:
        ctx: the command's context.
        before: how many an earlier run had.

    Raises:
        UsageError: --nproc is no number, or contradicts the torchrun that has started this one, or
            --parallel fsdp has no other processes.
    """
    said, local = ctx.params["nproc"], os.environ.get("LOCAL_WORLD_SIZE")
    if said is not None and not (said.isdecimal() and 1 <= int(said) <= MOST_RANKS):
        raise UsageError(f"--nproc: expected a number of processes from 1 to {MOST_RANKS}", ctx)
    if local is None:
        count = before if said is None else int(said)
        if count == 1 and ctx.params["parallel"] == "fsdp":
            told = "--parallel fsdp shares a model among processes: add --nproc 2, or use torchrun"
            raise UsageError(told, ctx)
        return count
    if said not in (None, local):
        raise UsageError(f"--nproc {said} contradicts torchrun, which has started {local}", ctx)
    return 1


def options_of(ctx: Any) -> RunOptions:
    """The options of a run that the command line gives.

    Raises:
        UsageError: an option has a value that it doesn't take, or contradicts another.
    """
    params: dict[str, Any] = ctx.params
    if params["json"] and params["quiet"]:
        raise UsageError("--json and --quiet contradict each other; leave one out", ctx)
    if params["on_nan"] not in (None, "stop", "rollback"):
        raise UsageError("--on-nan: expected stop or rollback", ctx)
    if params.get("parallel") not in (None, *PARALLEL):
        raise UsageError("--parallel: expected ddp or fsdp", ctx)
    if params.get("no_save") and params.get("name"):
        raise UsageError("--no-save and --name contradict each other; leave one out", ctx)
    if params.get("no_save") and params["on_nan"] == "rollback":
        raise UsageError("--on-nan rollback needs checkpoints; leave --no-save out", ctx)
    if params["hold"] and not this_rank().number and not with_screen(ctx):
        way_out = (
            "leave --no-ui, --json and --quiet out"
            if _asks_for_lines(params)
            else ("there is no terminal; leave --hold out")
        )
        raise UsageError(f"--hold needs the screen, whose keys let the run go on: {way_out}", ctx)
    seconds, epochs = _save_every(params["save_every"], ctx)
    with refusals(params["traceback"]):
        folder, bell = runs_folder(params["runs_dir"]), preference("bell", params["bell"])
        notify = preference("notify", params["notify"])
        if params["tensorboard"] is not None:
            _check_tensorboard(ctx)
        if this_rank().number:  # of several processes the first tells
            bell, notify = False, ""
        if notify:
            from ..setup.notify import words_of

            words_of(notify)
    breakpoints = tuple(params.get("break_") or ())
    if breakpoints:
        check_conditions(breakpoints, ctx)
    return RunOptions(
        folder=folder,
        name=params.get("name"),
        keeps=not params.get("no_save", False),
        seconds=seconds,
        epochs=epochs,
        on_nan=params["on_nan"],
        breakpoints=breakpoints,
        faults=faults_of(ctx),
        hold=params["hold"],
        parallel=params.get("parallel"),
        left=_as_left(params.get("as_left"), ctx),
        bell=bell,
        tensorboard=params["tensorboard"],
        notify=notify,
    )


def _check_tensorboard(ctx: Any) -> None:
    """Raises UsageError or RunError where `--tensorboard` can't be done as it is said."""
    from ...core.storage.event_file import check_installed

    named = ctx.params["tensorboard"]
    if ctx.params.get("no_save"):
        raise UsageError("--tensorboard reads what the run keeps; leave --no-save out", ctx)
    if named.endswith((".py", ".toml")) or registry.find(named) is not None:
        raise UsageError(
            f"--tensorboard {shown(named)}: that is something to train, expected a folder; put "
            "--tensorboard behind it",
            ctx,
        )
    check_installed()


def _as_left(text: str | None, ctx: Any) -> AsLeft | None:
    """How a screen has left the run. Raises UsageError."""
    if text is None:
        return None
    import msgspec

    try:
        return msgspec.json.decode(text, type=AsLeft)
    except msgspec.MsgspecError as error:
        raise UsageError(f"--as-left: {error}", ctx) from error


def faults_of(ctx: Any) -> tuple[Fault, ...]:
    """The faults to inject into the loop. Raises UsageError if there is no such fault."""
    named: list[str] = ctx.params.get("break_it") or []
    for name in named:
        if name not in tuple(Fault):
            guess = nearest(name, Fault)
            way_out = f"did you mean {guess}?" if guess else f"there are {', '.join(Fault)}"
            raise UsageError(f"--break-it: there is no switch {shown(name)}; {way_out}", ctx)
    return tuple(dict.fromkeys(map(Fault, named)))


def check_conditions(conditions: tuple[str, ...], ctx: Any) -> None:
    """Refuse breakpoint conditions that can't be parsed, before anything is loaded."""
    from ...core.protocol.conditions import METRICS, WORDS, ConditionError, parse

    params = ctx.params
    own = any(str(params.get(key)).endswith(".py") for key in ("preset", "run", "file"))
    for text in conditions:
        # A Python file may bring metrics that only it knows: they are looked up once it is run.
        words = set(re.findall(r"[^\W\d]\w*", text)) - set(WORDS) if own else ()
        try:
            parse(text, (*METRICS, *words))
        except ConditionError as error:
            raise UsageError(f"--break {shown(text)}: {error}", ctx) from error


def _save_every(text: str, ctx: Any) -> tuple[float, int | None]:
    """What `--save-every` says: seconds between two checkpoints, epochs between two that stay."""
    match = TIME_SPAN.fullmatch(text.strip().lower())
    number, unit = (float(match[1]), match[2]) if match else (0.0, "")
    if unit in TIME_UNITS and number > 0 and math.isfinite(number):
        return number * TIME_UNITS[unit], None
    if unit in ("epoch", "epochs") and number >= 1 and number == int(number):
        return _save_every("30s", ctx)[0], int(number)
    raise UsageError("--save-every: expected a time such as 30s, 5min or 10epochs", ctx)


def with_screen(ctx: Any) -> bool:
    """Whether the run is shown on a screen: nothing else was asked for, and there is one."""
    params = ctx.params
    return not this_rank().number and not _asks_for_lines(params) and on_a_terminal()


def _asks_for_lines(params: Mapping[str, Any]) -> bool:
    return bool(params["no_ui"] or params["json"] or params["quiet"])


def watch(builder: RunBuilder, ctx: Any) -> int:
    """Run it on the screen, or as lines or JSON if asked for; the exit code."""
    if with_screen(ctx):
        with importing():
            from ..app.open import open_screen
        # What is chosen on the screen afterwards is another run, unnamed and unbroken.
        return open_screen(builder, replace(builder.options, name=None, faults=(), breakpoints=()))
    from ..headless import runner
    from ..headless.json_reporter import JsonReporter
    from ..headless.reporter import Reporter
    from ..headless.text_reporter import TextReporter

    params = ctx.params
    json, quiet = params["json"], params["quiet"]
    if this_rank().number:  # the first one speaks for all
        if not _asks_for_lines(params):
            first_draws()
        json, quiet = False, True
    with records_only() if json else contextlib.nullcontext(stdout()) as output:
        reporter = (
            JsonReporter(output) if json else Reporter(output) if quiet else TextReporter(output)
        )
        return runner.run(builder, reporter, show_traceback=params["traceback"])


def train_detached(ctx: Any, plan: Plan, options: RunOptions, *, resumes: bool = False) -> int:
    """Train in the background; the exit code of the beginning.

    Args:
        ctx: the command's context.
        plan: what is trained.
        options: what the command line asks for.
        resumes: the run of the options' name and folder is there already.

    Raises:
        UsageError: nothing would be kept, so that nobody could come back to it.
        RunError: it can't be started.
    """
    from ...core.storage.run_directory import made_name
    from ..setup.detach import start_detached

    if not options.keeps:
        raise UsageError("--detach and --no-save contradict each other; leave one out", ctx)
    name = options.name or made_name(plan.name)
    words = [word for word in own_words(ctx, name if resumes else "") if word != "--detach"]
    words += ["--no-ui"] * (not ctx.params["no_ui"]) + ["--name", name] * (options.name is None)
    output = stdout()
    if output.is_terminal:
        output.write("starting in the background ...\r")
        output.flush()
    begun = start_detached(words, options.folder, name, resumes=resumes)
    if begun.code is not None:
        sys.stderr.write(clean(begun.printed, lines=True))
        return begun.code
    where = ["--runs-dir", ctx.params["runs_dir"]] if ctx.params["runs_dir"] else []
    name = shlex.join([name, *where])
    told = (
        f"{plan.name} {'goes on' if resumes else 'trains'} in the background, process "
        f"{begun.process}; fivestep attach {name} comes back to it, fivestep ctl {name} stop "
        "ends it"
    )
    if begun.refuses:
        told = (
            f"process {begun.process} trains {plan.name} in the background; it can't be attached "
            f"to ({begun.refuses}); kill {begun.process} stops it"
        )
    return written(output, clean(told) + "\n")


def own_words(ctx: Any, run: str = "") -> list[str]:
    """The words of the command line, for another process that is to do the same.

    Args:
        ctx: the command's context.
        run: the name of the run that is resumed, which they may leave open.
    """
    words = list(ctx.meta[ARGUMENTS])
    if run and (ctx.params["run"] is None or ctx.params["run"].endswith(".py")):
        words.insert(1, run)
    return words


def recipe_of(ctx: Any) -> Recipe:
    """The recipe that the command line names, with its options; checked without torch.

    Raises:
        typer.Exit: with 2, if it can't be used; the reason is on stderr.
    """
    from ...presets import recipe

    params: dict[str, Any] = ctx.params
    with refusals(params["traceback"]):
        name = params["preset"]
        if name.endswith(".py"):
            raise recipe.RecipeError(
                f"{shown(name)}: a Python file is no recipe, there is nothing to resolve"
            )
        return recipe.load(name, _overrides(params))


def plan_of(ctx: Any, before: Mapping[str, Any] | None = None) -> Plan:
    """What the command line asks to run: a recipe, or a Python file.

    Args:
        ctx: the command's context.
        before: what an earlier run of the file changed, unless the command line does.

    Raises:
        typer.Exit: as `recipe_of`.
    """
    from ..setup.plan import FilePlan, RecipePlan

    params: dict[str, Any] = ctx.params
    if not params["preset"].endswith(".py"):
        return RecipePlan(recipe_of(ctx))
    from ...presets.user_file import load_own

    with refusals(params["traceback"]):
        return FilePlan(load_own(params["preset"], {**(before or {}), **_overrides(params)}))


def refuse_changes(ctx: Any, plan: Plan) -> None:
    """Refuse a command line that contradicts the recipe of the run that it names.

    Raises:
        UsageError: it names another preset, or changes a recipe.
    """
    params: dict[str, Any] = ctx.params
    preset = params["preset"]
    named = ctx.get_parameter_source("preset").name != "DEFAULT" and preset != plan.name
    words = [clean(preset)] * named
    words += [f"--{key.strip('_').replace('_', '-')}" for key in RECIPE_OPTIONS if params.get(key)]
    if words:
        raise UsageError(
            f"--run {clean(params['run'])} brings its own recipe: leave out {', '.join(words)}", ctx
        )


def _overrides(params: Mapping[str, Any]) -> dict[str, Any]:
    """What the short options and `--set` change: values by the recipe's keys."""
    params = {
        **params,
        **{alias[2:]: "true" if params.get(alias[2:]) else None for alias in SWITCHES},
    }
    short = {key: params.get(alias[2:].replace("-", "_")) for alias, key in ALIASES.items()}
    sets = [f"{key}={value}" for key, value in short.items() if value is not None]
    return dict(parse_set(text) for text in (*sets, *(params["set_"] or ())))
