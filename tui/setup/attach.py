"""Finds a run that another process trains, and the connection to it. Needs no torch."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.storage.run_directory import RunDirectory, RunError
from ...core.storage.run_index import RunSummary, list_runs, summary

if TYPE_CHECKING:
    from ...core.serving.client import RemoteRun


def live_runs(folder: Path) -> list[RunSummary]:
    """The runs in a folder that can be attached to from here, the newest first."""
    runs = list_runs(folder)
    return [run for run in runs if run.reachable]


def attach(folder: Path, name: str, *, watches: bool = True) -> RemoteRun:
    """Attach to a run.

    Args:
        folder: the runs folder.
        name: its name there, or a path to it.
        watches: see `RemoteRun`.

    Raises:
        RunError: there is no such run, or nobody trains it, or it can't be reached from here.
    """
    from ...core.serving.client import RemoteRun, UnreachableError

    directory = RunDirectory.look(folder, name)
    if not directory.running:
        run = summary(directory.path)
        way_on = f"; fivestep resume {run.name} trains it on" if run.resumable else ""
        raise RunError(f"run {run.name} is not being trained, it is {run.state}{way_on}")
    if why := _out_of_reach(directory.path):
        raise RunError(f"run {directory.name} {why}")
    answers_at = directory.answers_at
    assert answers_at is not None
    try:
        return RemoteRun(answers_at[1], watches=watches)
    except UnreachableError as error:
        raise RunError(f"run {directory.name} can't be reached: {error}") from error


def _out_of_reach(path: Path) -> str:
    """Why a run that is being trained can't be reached from here; "" if it can, as far as is
    known.
    """
    answers_at = RunDirectory(path).answers_at
    if answers_at is None:
        return "is still loading, or its process takes no connections (its folder says why)"
    if answers_at[0] != socket.gethostname():
        return f"is being trained on {answers_at[0]}: attach to it there"
    return ""
