"""Starts a run in the background, where no terminal can end it, and waits until it trains."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...core.storage.run_directory import RunDirectory, RunError
from ...presets.errors import reason

LOG: Final = "output.log"
"""In the run's folder: what the run prints."""
GLANCE: Final = 0.05
"""Seconds between two looks whether it runs."""


@dataclass(frozen=True, slots=True)
class Detached:
    """How a run in the background began."""

    process: int
    code: int | None
    """Its exit code, where it has ended already; None while it runs."""
    printed: str
    """What it has printed, where it has ended already."""
    refuses: str
    """Why it can't be attached to; "" if it can, or has ended."""


def start_detached(arguments: Sequence[str], folder: Path, name: str) -> Detached:
    """Start `fivestep` with these arguments in a session of its own; return once its run
    trains, or has ended.

    Args:
        arguments: of a run without a screen.
        folder: the runs folder.
        name: of the run.

    Raises:
        RunError: there is no place for what it prints.
    """
    log = folder / f".{name}.{os.getpid()}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with log.open("xb") as output:
            process = _spawn([*_program(), *arguments], output.fileno())
    except OSError as error:
        raise RunError(f"the run can't be started in the background: {reason(error)}") from error
    directory = RunDirectory(folder / name)
    while (code := _ended(process)) is None:
        told = directory.answers_at is not None or directory.refuses
        if told and directory.process == process:
            break
        time.sleep(GLANCE)
    printed = "" if code is None else log.read_text(encoding="utf-8", errors="replace")
    with suppress(OSError):
        if not code:  # else it may be another run's folder
            log.rename(directory.path / LOG)
        else:
            log.unlink()
    return Detached(process, code, printed, directory.refuses if code is None else "")


def _spawn(words: list[str], output: int) -> int:
    """A process that nobody is going to wait for, in a session of its own; its number."""
    return os.posix_spawn(
        words[0],
        words,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ],
        setsid=True,
    )


def _ended(process: int) -> int | None:
    """Its exit code; None while it runs."""
    number, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if number else None


def _program() -> list[str]:
    """The words that start this program again."""
    if Path(sys.argv[0]).name == "fivestep" and Path(sys.argv[0]).is_file():
        return [sys.executable, sys.argv[0]]
    return [sys.executable, "-m", "fivestep"]
