"""Where a loop that is not ours is kept, and how others reach it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...core.foreign.loop import ForeignLoop
from ...core.protocol.snapshot import RunLocation
from ...core.storage.kept_log import KeptLog
from ...core.storage.run_directory import RunDirectory, RunError, shown
from ...presets.errors import printable, reason
from .attach import unkept, unkept_name
from .metadata import file_digest, info_facts, machine_facts, start_facts


def keep_loop(
    watched: ForeignLoop, folder: Path, name: str | None, command: str | None = None
) -> KeptLog:
    """Make a run directory, and keep in it from now on what is recorded of a loop.

    Args:
        watched: the loop, about to begin.
        folder: where runs are kept.
        name: of the run; None makes one from the time and the script.
        command: that has started it; None is the script's own.

    Raises:
        RunError: the name is not fit for a run, or taken.
        OSError: the disk refuses it.
    """
    script, preset = _script(), loop_name()
    try:
        directory = RunDirectory.create(folder, name, preset)
    except RunError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        if name is not None and (folder / name).exists():
            raise RunError(
                f"there is a run {name} in {shown(str(folder))}: save= another name, or save=True "
                "for one by the time"
            ) from error
        raise
    try:
        facts = {"name": directory.name} | start_facts(preset) | _loop_facts(script, command)
        directory.write_meta(facts | _watched_facts(watched))
        kept = KeptLog(directory)
    except BaseException:
        directory.discard()
        raise
    watched.keep(kept.log)
    return kept


def serve_loop(
    loop: ForeignLoop, kept: KeptLog | None, told: Callable[[str], object] = bool
) -> None:
    """Let others look at a loop and steer it; where that can't be, its lock says why.

    Args:
        kept: where it is kept; None if it is not.
        told: gets the path of the socket too.
    """
    if kept is None:
        name = unkept_name(loop_name())
        location, announce = RunLocation(name=name), unkept(name, loop_name())
    else:
        directory = kept.directory
        location, announce = RunLocation(printable(str(directory.path), 1000)), directory.announce

    def answers_at(address: str) -> None:
        announce(address)
        told(address)

    try:
        loop.serve(answers_at, location)
    except OSError as error:
        if kept is not None:
            announce(reason(error))


def loop_known(loop: ForeignLoop, kept: KeptLog | None) -> None:
    """Write down what is known of a loop by now. Raises OSError."""
    if kept is not None:
        directory = kept.directory
        directory.write_meta(directory.read_meta()[0] | _watched_facts(loop))


def loop_ended(watched: ForeignLoop, kept: KeptLog) -> None:
    """Write down what is known of a loop in the end, and how it ended. Raises OSError."""
    try:
        loop_known(watched, kept)
    finally:
        kept.ended(watched.info, watched.latest())


def _watched_facts(watched: ForeignLoop) -> dict[str, Any]:
    info = watched.info
    return info_facts(info) | machine_facts(watched.device, info.threads)


def _loop_facts(script: Path | None, command: str | None) -> dict[str, Any]:
    file = None
    if script is not None:
        file = {"path": str(script), "sha256": file_digest(script)}
    if command is None and script is not None:
        command = shlex.join(["python", *sys.argv])
    return {"kind": "loop", "file": file, "command": command}


def _script() -> Path | None:
    """The Python file that runs; None in a notebook, say."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(path).absolute() if path and Path(path).is_file() else None


def loop_name() -> str:
    """What stands in the place of a preset's name: the script's."""
    script = _script()
    return "loop" if script is None else script.stem
