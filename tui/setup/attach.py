"""Finds a run that another process trains, and the connection to it. Needs no torch."""

from __future__ import annotations

import os
import secrets
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...core.storage.files import clean
from ...core.storage.run_directory import Elsewhere, RunDirectory, RunError, made_name
from ...core.storage.run_index import RunSummary, list_runs, summary
from ..render.format import ago
from .options import folder_words

if TYPE_CHECKING:
    from ...core.serving.client import RemoteRun
    from ...core.storage.kept_run import KeptRun

STARTING: Final = "is starting"


def every_run(folder: Path) -> list[RunSummary]:
    """The live runs of which nothing is kept, then those in a folder; the newest first."""
    from ...core.serving.cards import cards

    unkept = [
        RunSummary(
            one.name, None, clean(one.preset), "running", started=one.started, reachable=True
        )
        for one in cards()
    ]
    return [*unkept, *list_runs(folder)]


def live_runs(folder: Path) -> list[RunSummary]:
    """The runs that can be attached to from here: `every_run`'s."""
    return [run for run in every_run(folder) if run.reachable]


def unkept_name(preset: str) -> str:
    """A name for a run of which nothing is kept, that no other one has: no folder sees to that."""
    return made_name(f"{secrets.token_hex(2)}-{preset}")


def unkept(name: str, preset: str) -> Callable[[str], None]:
    """What lets others find a run of this process of which nothing is kept, once it is told the
    path of its socket. Raises OSError where that can't be written down.
    """
    from ...core.serving.cards import Card, put_card

    started = time.time()
    return lambda address: put_card(Card(name, preset, os.getpid(), started, address))


def attach(folder: Path, name: str, *, watches: bool = True) -> RemoteRun:
    """Attach to a run.

    Args:
        folder: the runs folder.
        name: its name there, or a path to it; or that of a run of which nothing is kept.
        watches: see `RemoteRun`.

    Raises:
        RunError: there is no such run, or nobody trains it, or it can't be reached from here.
    """
    from ...core.serving.cards import cards
    from ...core.serving.client import RemoteRun, UnreachableError

    address = next((card.address for card in cards() if card.name == name), None)
    if address is None:
        address = _address(folder, name)
    try:
        return RemoteRun(address, watches=watches)
    except UnreachableError as error:
        raise RunError(f"run {clean(name)} can't be reached: {error}") from error


def _address(folder: Path, name: str) -> str:
    """Where a run answers that is kept. Raises RunError."""
    directory = RunDirectory.look(folder, name)
    run = summary(directory.path)
    if run.state != "running":
        words = ["fivestep", "resume", run.name, *folder_words(directory.path.parent)]
        way_on = f"; {clean(shlex.join(words))} trains it on" if run.resumable else ""
        why = far_away(run) or f"it is not being trained, it is {run.state}"
        raise RunError(f"run {run.name}: {why}{way_on}")
    if why := out_of_reach(directory.path):
        raise RunError(f"run {directory.name} {why}")
    answers_at = directory.answers_at
    assert answers_at is not None
    return answers_at[1]


def attach_or_read(folder: Path, name: str) -> RemoteRun | KeptRun:
    """Attach to a run, or where nobody answers for it read its files.

    Raises:
        RunError: there is no such run, or it is only just starting.
    """
    from ...core.serving.cards import cards
    from ...core.storage.kept_run import KeptRun

    if any(card.name == name for card in cards()):
        return attach(folder, name)
    directory = RunDirectory.look(folder, name)
    if not directory.running:
        return KeptRun(directory)
    why = out_of_reach(directory.path)
    if why == STARTING:
        raise RunError(f"run {directory.name} {why}")
    if not why:
        try:
            return attach(folder, name)
        except RunError as error:
            why = str(error)
    return KeptRun(directory, why)


def out_of_reach(path: Path) -> str:
    """Why a run that is being trained can't be reached from here; "" if it can, as far as is
    known. Said behind its name.
    """
    directory = RunDirectory(path)
    if (far := directory.elsewhere) is not None and far.alive:
        return f"is {said_of(far)}"
    if directory.answers_at is not None:
        return ""
    if why := directory.refuses:
        return f"can't be attached to: {why}"
    return STARTING


def far_away(run: RunSummary) -> str:
    """What is known of a run without an end that another machine has trained; "" of any other."""
    return "" if run.elsewhere is None else said_of(run.elsewhere)


def said_of(far: Elsewhere) -> str:
    """What is known here of a run on another machine."""
    if far.alive:
        does = "paused" if far.paused else "being trained"
        return f"{does} on {far.host}, seen {ago(far.seen)} ago: attach to it there"
    return f"its process is gone, or {far.host} can't be reached: last seen {ago(far.seen)} ago"
