"""F3: the disk has no room for a while: a full file system, a limit on files, a log that takes
nothing.

A trial trains a preset with the real command and takes the room away at a random batch. Lost is
each that does not reach its end, is not warned of in one line, whose last good checkpoint does not
load meanwhile, or which does not save and log all that was to be once there is room again.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import sklearn.datasets  # noqa: F401 - imported once, for every child
from faults.children import ChildError, printed_by
from faults.result import Result

from fivestep.core.protocol.commands import Save
from fivestep.core.session.session import Session
from fivestep.core.storage import persistence
from fivestep.core.storage.checkpoint import CheckpointError, CheckpointStore
from fivestep.core.storage.log_file import read_log
from fivestep.presets import build  # noqa: F401
from fivestep.tui.cli import app as cli
from fivestep.tui.headless import (
    runner,  # noqa: F401
    text_reporter,
)

EPOCHS = 3
BATCHES = 45 * EPOCHS
NAME = "full"
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
KINDS: Final = ("file system", "limit", "log")
libc = ctypes.CDLL(None, use_errno=True)


class Room:
    """The room on the disk, which can be taken away."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def take(self, session: Session) -> None:
        """From now on nothing more can be written."""

    def give(self) -> None:
        """It can again."""


class FileSystem(Room):
    """A small file system that something else has filled."""

    def take(self, _: Session) -> None:
        with (self.run.parent / "filler").open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 8, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def give(self) -> None:
        (self.run.parent / "filler").unlink()


class Limit(Room):
    """A limit on the size of files, as `ulimit -f` sets it."""

    def take(self, _: Session) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))

    def give(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


class Log(Room):
    """The log alone, its file changed for one that is always full."""

    def take(self, session: Session) -> None:
        self.fd = session.saving.log._metrics._fd
        self.kept = os.dup(self.fd)
        full = os.open("/dev/full", os.O_RDWR)
        os.dup2(full, self.fd)
        os.close(full)

    def give(self) -> None:
        os.dup2(self.kept, self.fd)


def small_file_system(folder: Path) -> bool:
    """Mount 2 MB of memory there, for this process alone; whether this machine lets us."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS):
        return False
    maps = {"setgroups": "deny", "uid_map": f"0 {user} 1", "gid_map": f"0 {group} 1"}
    for name, text in maps.items():
        Path(f"/proc/self/{name}").write_text(text)
    return libc.mount(b"none", str(folder).encode(), b"tmpfs", 0, b"size=2m") == 0


def trained(kind: str, folder: Path, taken: int, given: int | None, told: Path) -> int:
    """Train with no room from one batch to another; the exit code. Writes what it finds wrong."""
    runs = folder / "runs"
    runs.mkdir()
    if kind == "file system" and not small_file_system(runs):
        return 77
    room = {"file system": FileSystem, "limit": Limit, "log": Log}[kind](runs / NAME)
    sessions: list[Session] = []
    wrong: list[str] = []
    persistence.COST = 0  # a checkpoint is due as often as is said
    begin = text_reporter.TextReporter.begin

    def begins(self: Any, session: Session) -> None:
        sessions.append(session)
        begin(self, session)

    def batch(_: Any, __: int, ___: int, done: int, *____: Any) -> None:
        """In the training thread."""
        session = sessions[0]
        saver = session.saving._writer  # type: ignore[union-attr]
        if done == taken:
            session.saving.log.flush()  # type: ignore[union-attr]
            saver.flush(10)
            room.take(session)
        if done == (given or BATCHES):
            session.saving.log.flush()  # type: ignore[union-attr]
            saver.flush(10)
            try:
                newest = CheckpointStore(runs / NAME / "checkpoints").newest()
                if kind != "log" and newest.batches_done > taken:
                    wrong.append(f"saved {newest.batches_done} without room")
            except CheckpointError as error:
                wrong.append(f"nothing to go on from: {error}")
            if given:
                room.give()
        if done % 10 == 0 and not taken <= done < (given or BATCHES):
            session.send(Save())

    text_reporter.TextReporter.begin = begins  # type: ignore[method-assign]
    text_reporter.TextReporter.batch = batch  # type: ignore[method-assign]
    options = ["--no-ui", "--epochs", str(EPOCHS), "--name", NAME, "--save-every", "0.001s"]
    code = cli.run(["train", "digits-mlp", *options, "--runs-dir", str(runs)])
    if code == 0 and given:
        wrong += after(runs / NAME)
    if sessions[0].progress.batches_done != BATCHES:
        wrong.append("did not reach its end")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    told.write_text(json.dumps(wrong))
    return code


def after(run: Path) -> list[str]:
    """What is missing at the end although there was room again."""
    wrong = []
    try:
        newest = CheckpointStore(run / "checkpoints").newest()
        if newest.batches_done != BATCHES or newest.skipped:
            wrong.append(f"the last checkpoint is {newest.batches_done}; {newest.skipped}")
    except CheckpointError as error:
        wrong.append(f"no checkpoint: {error}")
    records = list(read_log(run / "metrics.jsonl"))
    batches = [record["batches_done"] for record in records if record["type"] == "batch"]
    if batches != list(range(1, BATCHES + 1)):
        wrong.append(f"the log has {len(batches)} of {BATCHES} batches")
    if [r["epoch"] for r in records if r["type"] == "epoch"] != list(range(1, EPOCHS + 1)):
        wrong.append("the log has not every epoch")
    events = list(read_log(run / "events.jsonl"))
    if not any(record.get("kind") == "warning" for record in events):
        wrong.append("no warning among the events")
    if json.loads((run / "outcome.json").read_text())["state"] != "finished":
        wrong.append("another outcome")
    return wrong


def tried(kind: str, folder: Path, draw: random.Random) -> tuple[list[str], int | None]:
    """One trial: what was wrong, and how many lines it warned in; None where it can't be made."""
    taken = draw.randrange(2, BATCHES - 20)
    given = draw.randrange(taken + 11, BATCHES) if draw.random() < 0.75 else None
    told = folder / "told"
    try:
        code, text = printed_by(lambda: trained(kind, folder, taken, given, told))
    except ChildError as error:
        return [str(error)], 0
    if code == 77:
        return [], None
    warned = [line for line in text.splitlines() if is_warning(line)]
    right = 0 if given else 4
    wrong = [] if code == right else [f"ended with {code}, not {right}: {text[-300:]}"]
    if not told.exists():
        return [*wrong, text[-300:]], len(warned)
    wrong += json.loads(told.read_text())
    if given is None and kind == "file system" and "how the run ended could not be" not in text:
        wrong.append(f"no word of the outcome: {text[-300:]}")
    if not warned:
        wrong.append(f"no warning: {text[-300:]}")
    if len(warned) > 4:
        wrong.append(f"{len(warned)} warnings, such as {warned[-1]}")
    return [f"{kind}, batches {taken} to {given}: {one}" for one in wrong], len(warned)


def is_warning(line: str) -> bool:
    """Whether a line tells a person of the disk."""
    return "could not be saved" in line or "can't be written" in line or "could not be writ" in line


def campaign(trials: int, seed: int) -> Result:
    """So many trainings, the three kinds in turn."""
    draw = random.Random(seed)
    wrong: list[str] = []
    lost = made = lines = 0
    skipped: set[str] = set()
    for number in range(trials):
        kind = KINDS[number % len(KINDS)]
        if kind in skipped:
            continue
        folder = Path(tempfile.mkdtemp())
        found, warned = tried(kind, folder, draw)
        shutil.rmtree(folder, ignore_errors=True)
        if warned is None:
            skipped.add(kind)
            continue
        made += 1
        lines += warned
        lost += bool(found)
        wrong += found
    notes = [f"{lines / max(made, 1):.1f} lines of warning each"]
    notes += [f"no {kind} of its own can be made here: skipped" for kind in skipped]
    return Result("F3", "no room on the disk", made, lost, (*notes, *wrong[:20]))
