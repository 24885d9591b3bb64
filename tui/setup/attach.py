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
    if why := out_of_reach(directory.path):
        raise RunError(f"run {directory.name} {why}")
    answers_at = directory.answers_at
    assert answers_at is not None
    try:
        return RemoteRun(answers_at[1], watches=watches)
    except UnreachableError as error:
        raise RunError(f"run {directory.name} can't be reached: {error}") from error


def out_of_reach(path: Path) -> str:
    """Why a run that is being trained can't be reached from here; "" if it can, as far as is
    known. Said behind its name.
    """
    directory = RunDirectory(path)
    if (answers_at := directory.answers_at) is not None:
        host = answers_at[0]
        here = host == socket.gethostname()
        return "" if here else f"is being trained on {host}: attach to it there"
    if why := directory.refuses:
        return f"can't be attached to: {why}"
    if directory.read_meta()[0].get("kind") == "loop":
        return "can't be attached to: it is a loop of your own"
    return "is starting"
