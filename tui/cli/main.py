"""The command as a process: from its first instruction to its exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import NoReturn

from ...core.protocol.rank import this_rank
from ...presets.errors import RecipeError
from ..terminal.imports import claim_process, under_way
from ..terminal.output import (
    REFUSED,
    complain,
    leave_it_to_first,
    on_a_terminal,
    open_missing_streams,
)
from ..terminal.torchrun_parent import mind_parent


def main() -> None:
    """Run the command that the process was started with."""
    claim_process()
    open_missing_streams()
    arguments = sys.argv[1:]
    if "TORCHELASTIC_RUN_ID" in os.environ:
        mind_parent()
    if (rank := this_rank()).number:
        leave_it_to_first(rank.name)
    try:
        Path.cwd()
    except FileNotFoundError:  # nor would torch load here
        complain("the working folder was deleted; change to another one")
        _leave(REFUSED)
    if not arguments and on_a_terminal() and "WORLD_SIZE" not in os.environ:
        # What `cli` would do, without the time that it takes to read a command line.
        from ..app.open import open_screen
        from ..setup.options import preferred_options
        from ..setup.preferences import take_preferences

        try:
            take_preferences()
            options = preferred_options()
        except RecipeError as error:
            complain(str(error))
            _leave(REFUSED)
        code = open_screen(None, options)  # under way with its first picture
    else:
        from .app import run

        under_way()
        code = run(arguments)
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End the process at once: torch takes a third of a second to be taken apart."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    if "multiprocessing" in sys.modules:  # Python would end them, too, on its way out
        for child in sys.modules["multiprocessing"].active_children():
            if child.daemon:
                child.kill()
    measured = sys.gettrace() or sys.getprofile() or "coverage" in sys.modules
    if "torch" not in sys.modules or measured:  # a profiler has yet to write what it saw
        sys.exit(code)
    os._exit(code)
