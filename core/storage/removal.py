"""Removes runs that nobody trains."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .files import refusal
from .run_directory import RunDirectory, RunError


def weight(path: Path) -> int:
    """Bytes of everything in a folder; links are not followed."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += (Path(folder) / name).lstat().st_size
            except OSError:  # it went this moment
                continue
    return total


def remove_run(folder: Path, name: str) -> int:
    """Remove a run with everything in its folder; the bytes that this frees.

    Args:
        folder: the runs folder.
        name: of the run, or a path to its folder.

    Raises:
        RunError: there is no such run, it is being trained, or the disk refuses; one line.
    """
    with RunDirectory.open(folder, name) as directory:  # nobody trains it from here on
        freed = weight(directory.path)
        try:
            shutil.rmtree(directory.path)
        except OSError as error:
            raise RunError(
                f"run {directory.name} can't be removed whole: {refusal(error)}"
            ) from error
    return freed
