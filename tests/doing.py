"""What tests do to a process and to its disk: run Python in another one, and have calls fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import NoReturn


def python(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """As `forked.python`, but nothing is imported yet."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def failing(number: int) -> Callable[..., NoReturn]:
    """A call that the operating system refuses with this error."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail
