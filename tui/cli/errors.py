"""Errors of the command line: each gets one line, with the nearest match or a way out."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from ...core.storage.run_directory import RunError
from ...core.training.own_code import first_line, own_line
from ...presets import registry
from ...presets.errors import RecipeError, nearest, shown
from ..render.format import clean
from ..terminal.output import FAILED, REFUSED, complain, print_traceback
from .options import MAY_STAND_ALONE

ARGUMENTS: Final = "fivestep.arguments"
"""Key in a context's `meta`: the words of the command line, the command's own among them."""
NO_ARGUMENTS: Final = "fivestep.no_arguments"
"""Key in a context's `meta`: the command stood alone, without a word behind it."""
_NEGATIVE: Final = re.compile(r"-\.?\d")


class UsageError(typer.BadParameter):
    """A command line that can't be run; its message is shown as it is."""

    def format_message(self) -> str:
        return str(self.message)


class _QuickHelp:
    """Gives the help option a default: to check None typer would load pydantic, which is slow."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None and option.default is None:
            option.default = False
        return option


class Plain(_QuickHelp, TyperCommand):
    """A command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        args = [
            f"{word}=" if word in MAY_STAND_ALONE and after.startswith("-") else word
            for word, after in zip(args, [*args[1:], "-"], strict=False)
        ]
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:  # an option without its value
                error.ctx = ctx  # type: ignore[attr-defined]
            raise


class TakesNumbers(Plain):
    """A command one of whose arguments, the last, may be a number: -1 is no option of it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        numbers = [word for word in args if _NEGATIVE.match(word)]
        if numbers and "--" not in args:
            args = [*(word for word in args if word not in numbers), "--", *numbers]
        return super().parse_args(ctx, args)


class DefaultsToTrain(_QuickHelp, TyperGroup):
    """Commands of which `train` may stay unsaid: `fivestep --no-ui` trains the default preset."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[NO_ARGUMENTS] = not args
        own = [option for param in self.params for option in (*param.opts, "--help", "-h")]
        if not args or (args[0].startswith("-") and args[0] not in own):
            named = next((word for word in args if word in self.commands), None)
            if named is not None:
                args.remove(named)
            args = [named or "train", *args]
        ctx.meta[ARGUMENTS] = tuple(args)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in self.commands:
            return super().resolve_command(ctx, args)
        word = clean(args[0])
        if registry.find(args[0]) is not None:
            way_out = f"to train that preset: fivestep train {word}"
        else:
            guess = nearest(word, self.commands)
            way_out = f"did you mean {guess}?" if guess else f"there are {', '.join(self.commands)}"
        raise UsageError(f"there is no command {shown(args[0])}; {way_out}", ctx)


def in_one_line(error: Any) -> str:
    """The message of one of click's usage errors, with the nearest match or where to look."""
    ctx = error.ctx
    text = str(error.format_message()).rstrip(".")
    option = getattr(error, "option_name", None)
    if option and type(error).__name__ == "NoSuchOption" and ctx is not None:
        known = [name for param in ctx.command.get_params(ctx) for name in param.opts]
        guess = nearest(option, known)
        text = f"there is no option {option}" + (f"; did you mean {guess}?" if guess else "")
        if guess:
            return text
    path = ctx.command_path if ctx is not None else "fivestep"
    if ";" not in text:
        text += f"; see {path} --help"
    return text[:1].lower() + text[1:]


@contextlib.contextmanager
def refusals(show_traceback: bool = False) -> Iterator[None]:
    """Turn a recipe or a run that can't be used into its one line and exit code 2."""
    try:
        yield
    except (RecipeError, RunError) as error:
        print_traceback("".join(traceback.format_exception(error)), show_traceback)
        complain(str(error))
        raise typer.Exit(REFUSED) from error


def run_command(command: Any, arguments: Sequence[str]) -> int:
    """Run a typer command in this process; its exit code."""
    try:
        code = command.main(list(arguments), prog_name="fivestep", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return 130
    except Exception as error:
        if getattr(error, "exit_code", None) == REFUSED:  # a UsageError of the click that typer has
            complain(in_one_line(error))
            return REFUSED
        print_traceback("".join(traceback.format_exception(error)), "--traceback" in arguments)
        told = ": ".join(filter(None, (own_line(error), first_line(error))))
        complain(f"{told}; --traceback shows where")
        return FAILED
    return code if isinstance(code, int) else 0
