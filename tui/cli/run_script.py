"""`fivestep run`: a script of a person's own, watched without a change in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..setup.options import runs_folder
from ..setup.preferences import PREFERENCES
from ..terminal.imports import importing
from ..terminal.output import on_a_terminal
from .arguments import check_conditions
from .errors import Plain, UsageError, refusals
from .options import BellOption, NameOption, NoSaveOption, NotifyOption, RunsDirOption

WORDS = "fivestep.script"
"""Key in a context's `meta`: the script and its arguments."""


class RunsScript(Plain):
    """Takes its own options as far as the script, and leaves all that follows to that."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        takes_value = {
            name
            for param in self.params
            if not getattr(param, "is_flag", True) and param.name != "records"
            for name in param.opts
        }
        at = 0
        while at < len(args) and args[at].startswith("-") and args[at] not in ("-m", "--"):
            at += 2 if args[at] in takes_value else 1
        ctx.meta[WORDS] = args[at:]
        # It may stand without a value, which click does not know of.
        own = ["--json=" if word == "--json" else word for word in args[:at]]
        return super().parse_args(ctx, own)


def run_script(
    ctx: typer.Context,
    no_ui: Annotated[
        bool, typer.Option("--no-ui", help="Lines on stderr instead of the screen.")
    ] = False,
    records: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="[=FILE]",
            help="Records to FILE, or records.jsonl in the run's folder, instead of the screen.",
        ),
    ] = None,
    break_: Annotated[
        list[str] | None,
        typer.Option(
            "--break",
            metavar="CONDITION",
            help='Pause when it becomes true, as "grad_norm > 10"; without a screen: stop. '
            "May be repeated.",
        ),
    ] = None,
    bell: BellOption = None,
    notify: NotifyOption = None,
    no_save: NoSaveOption = False,
    name: NameOption = None,
    runs_dir: RunsDirOption = None,
) -> None:
    """Run a script of yours that trains with PyTorch, as it is, and watch it.

    fivestep run train.py its args; run -m package its args; run -- torchrun train.py.
    """
    from ..setup.notify import words_of
    from ..setup.script import (
        ScriptOptions,
        as_typed,
        environment,
        refuse_taken,
        script_command,
    )

    words: list[str] = ctx.meta[WORDS]
    if not words or words == ["-m"]:
        raise UsageError("which script? as in fivestep run train.py", ctx)
    if no_save and name:
        raise UsageError("--no-save and --name contradict each other; leave one out", ctx)
    if no_save and records == "":
        raise UsageError("--json has no run's folder with --no-save: name a file, --json=FILE", ctx)
    check_conditions(tuple(break_ or ()), ctx)
    folder = runs_folder(runs_dir).absolute()
    if bell is not None:  # for the script's process
        os.environ[PREFERENCES["bell"].variable] = str(bell)
    with refusals():
        if notify is not None:
            words_of(notify)
            os.environ[PREFERENCES["notify"].variable] = notify
        command = script_command(words)
        if name is not None:
            refuse_taken(folder, name)
    screen = on_a_terminal() and not no_ui and records is None
    options = ScriptOptions(
        command=as_typed(words),
        folder=str(folder),
        keeps=not no_save,
        name=name,
        breakpoints=tuple(break_ or ()),
        lines=not screen,
        records=str(Path(records).absolute()) if records else records,
    )
    if screen:
        with importing():
            from ..app.script import run_on_screen
        raise typer.Exit(run_on_screen(command, options))
    from ..terminal.script_process import become

    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with refusals():
        become(command, environment(options))
