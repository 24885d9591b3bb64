"""A script of a person's own as `fivestep run` starts it: its command, and what it is told."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from ...core.storage.run_directory import RunError, checked_name, is_blank, shown

VARIABLE: Final = "FIVESTEP_RUN"
"""The environment variable that carries `ScriptOptions` to every process of the script."""
BOOT: Final = Path(__file__).parent.parent / "headless" / "boot"
"""What lets them be watched: `sitecustomize.py`."""


class ScriptOptions(msgspec.Struct, frozen=True):
    """What a person asks of a script's run."""

    command: str
    """As a person would type it."""
    folder: str
    """Where runs are kept."""
    keeps: bool = True
    name: str | None = None
    breakpoints: tuple[str, ...] = ()
    lines: bool = False
    """It tells of itself on stderr: there is no screen for it."""
    records: str | None = None
    """A file that gets a record for everything that happens."""
    meet: str | None = None
    """A path that is to lead to the run's socket."""


def script_command(words: Sequence[str]) -> list[str]:
    """The command that runs a script: itself, a module, or a whole command.

    Args:
        words: `train.py its args`, `-m package its args`, or `-- command its args`.

    Raises:
        RunError: there is no such file, or no such command.
    """
    if words[0] == "--":
        command = list(words[1:])
        if not command:
            raise RunError("which command? as in fivestep run -- python -u train.py")
        if shutil.which(command[0]) is None:
            raise RunError(f"there is no command {shown(command[0])}")
        return command
    if words[0] != "-m" and not Path(words[0]).exists():
        raise RunError(f"there is no file {shown(words[0])}")
    return [sys.executable, *words]


def refuse_taken(folder: Path, name: str) -> None:
    """Raises RunError: no run may have that name, or there is one."""
    path = folder / checked_name(name)
    if path.exists() and not is_blank(path):
        raise RunError(f"there is a run {name} in {shown(str(folder))}: give another --name")


def environment(options: ScriptOptions) -> dict[str, str]:
    """The environment of the script: this process's, and what lets it be watched."""
    paths = [str(BOOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    asked = msgspec.json.encode(options).decode()
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), VARIABLE: asked}


def as_typed(words: Sequence[str]) -> str:
    """The command line, for a person."""
    return shlex.join(["fivestep", "run", *words])
