"""How a command ends: exit codes, and the one line that says why. Needs nothing of typer."""

from __future__ import annotations

import contextlib
import errno
import sys
from typing import Final

from ..render.format import clean
from .output import Output

FAILED: Final = 1
REFUSED: Final = 2
"""Exit code for wrong usage and for a recipe that can't be used."""
BROKE: Final = 3
"""A breakpoint of the command line ended the run."""
NOBODY_READS: Final = 141
"""As for any other command whose reader goes away (128 + SIGPIPE): `fivestep ... | head -1`."""


def complain(text: str) -> None:
    """One line on stderr."""
    with contextlib.suppress(OSError):
        print(f"fivestep: {clean(text)}", file=sys.stderr, flush=True)


def tell_traceback(text: str, wanted: bool) -> None:
    """A traceback on stderr, if somebody asked for it."""
    if wanted:
        with contextlib.suppress(OSError):
            print(clean(text, lines=True), file=sys.stderr, flush=True)


def written(output: Output) -> int:
    """The exit code that a command's output leaves: 0 unless something of it was lost."""
    if output.gone:
        return NOBODY_READS
    if output.error is None or output.error.errno == errno.EIO:  # EIO: the terminal is gone
        return 0
    complain(f"some lines could not be written: {output.error.strerror}")
    return FAILED
