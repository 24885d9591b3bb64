"""The run directory of a loop of a person's own, under `fivestep.watch`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from ...core.session.external_loop import Watched
from ...core.storage.kept_log import KeptLog
from ...core.storage.run_directory import RunDirectory, RunError, shown
from .metadata import file_digest, info_facts, machine_facts, start_facts


def keep_loop(watched: Watched, folder: Path, name: str | None) -> KeptLog:
    """Make a run directory, and keep in it from now on what is recorded of a loop.

    Args:
        watched: the loop, about to begin.
        folder: where runs are kept.
        name: of the run; None makes one from the time and the script.

    Raises:
        RunError: the name is not fit for a run, or taken.
        OSError: the disk refuses it.
    """
    script = _script()
    preset = "loop" if script is None else script.stem
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
        facts = {"name": directory.name} | start_facts(preset) | _loop_facts(script)
        directory.write_meta(facts | _watched_facts(watched))
        kept = KeptLog(directory)
    except BaseException:
        directory.discard()
        raise
    watched.keep(kept.log)
    return kept


def loop_ended(watched: Watched, kept: KeptLog) -> None:
    """Write down what is known of a loop in the end, and how it ended. Raises OSError."""
    directory = kept.directory
    try:
        directory.write_meta(directory.read_meta()[0] | _watched_facts(watched))
    finally:
        kept.ended(watched.info, watched.latest())


def _watched_facts(watched: Watched) -> dict[str, Any]:
    info = watched.info
    return info_facts(info) | machine_facts(watched.device, info.threads)


def _loop_facts(script: Path | None) -> dict[str, Any]:
    file = None
    if script is not None:
        file = {"path": str(script), "sha256": file_digest(script)}
    command = None if script is None else shlex.join(["python", *sys.argv])
    return {"kind": "loop", "file": file, "command": command}


def _script() -> Path | None:
    """The Python file that runs; None in a notebook, say."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(path).absolute() if path and Path(path).is_file() else None
