"""The folder of one run: where everything about it is, and who may write there."""

from __future__ import annotations

import os
import re
import socket
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal, Self

from ..protocol.record_fields import OUTCOME_KINDS, RUN_FORMAT, RUN_KINDS
from .files import (
    UNFINISHED,
    as_json,
    aside,
    clean,
    files_in,
    is_file,
    keep_aside,
    now_there,
    open_regular,
    read_bounded,
    read_fields,
    refusal,
    sweep,
    sync_folder,
    write_whole,
)
from .log_file import lines_backwards, unseal
from .open_folder import OpenFolder
from .run_lock import RunLock, answers_at, held, holder, host_of, refuses

FILES: Final = ("run.json", "recipe.toml", "metrics.jsonl", "events.jsonl", "outcome.json", "lock")
"""What shows that a folder is a run's."""
ENDINGS: Final = ("finished", "stopped", "failed", "interrupted")
"""What the state in outcome.json may be."""
LONGEST: Final = 80
RENEWED: Final = 20.0
"""Seconds after which a run shows again that it lives."""
FRESH: Final = 120.0
"""Seconds in which one of another machine has to: network file systems show it up to 60 s late."""
EVENTS: Final = 1 << 20
"""Bytes at the end of events.jsonl in which a pause is looked for."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class RunError(ValueError):
    """What is wrong with a run or its name: one line, for a person."""


def saved_at(name: str) -> int | None:
    """Batches done in a checkpoint, by its file's name; None where that does not say it."""
    number = name[6:-3]
    return int(number) if name.startswith("batch-") and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What is known from here of a run on another machine."""

    host: str
    seen: float
    """Seconds since it has shown that it lives, by the clock of the file system."""
    paused: bool
    """Whether it was held last."""
    alive: bool
    """Whether it goes on: its lock is held, or it was seen within `FRESH`."""


class RunDirectory:
    """One run's folder. Make one with `create`, `open` or `look`.

    Texts in what is read from it are clean: nothing there can reach a terminal as a command.

    One that is to be written is held open and locked: it is followed when somebody moves it.
    """

    def __init__(self, path: Path, ours: tuple[OpenFolder, RunLock] | None = None) -> None:
        path = path.absolute()  # wherever a person's own code goes from here
        self._folder: OpenFolder | None
        self._lock: RunLock | None
        self._folder, self._lock = ours or (None, None)
        self._home = path
        """Where it was when it was opened: a new one is made there if it is deleted."""
        self._renewed = time.monotonic()
        self._texts: dict[str, str] = {}
        """What was written for good, to be put back; by file names."""
        self._is_at(path)

    def _is_at(self, path: Path) -> None:
        self.path, self.name = path, clean(path.name)
        self.recipe = path / "recipe.toml"
        self.meta = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.events = path / "events.jsonl"
        self.checkpoints = path / "checkpoints"
        self.outcome = path / "outcome.json"

    @classmethod
    def create(cls, folder: Path, name: str | None, preset: str) -> RunDirectory:
        """Make the folder of a new run, for this process alone.

        What a process has left of that name that was killed before it trained is cleared away.

        Args:
            folder: the runs folder; made if it is not there.
            name: as a person chose it; None makes one from the time and the preset.
            preset: what is trained.

        Raises:
            RunError: the name is not allowed or taken, or the folder can't be made.
        """
        wanted = made_name(preset) if name is None else checked_name(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = _make(folder, wanted, again=name is None)
            ours = _hold(path)
            if name is not None:
                _clear(path)
            sync_folder(folder)
        except BlockingIOError:
            raise _taken(wanted) from None
        except OSError as error:
            raise RunError(f"{shown(str(folder))} takes no run: {refusal(error)}") from error
        return cls(path, ours)

    @classmethod
    def open(cls, folder: Path, name_or_path: str) -> RunDirectory:
        """A run that exists, to go on with, for this process alone.

        Args:
            folder: the runs folder.
            name_or_path: a name in it, or a path to a run's folder anywhere (it has a slash).

        Raises:
            RunError: there is no such run, a newer fivestep kept it, or another process is
                training it.
        """
        path = cls.look(folder, name_or_path).path
        if (far := cls(path).elsewhere) is not None and far.alive:
            run = clean(path.name)
            raise RunError(
                f"run {run} seems to be trained on {far.host}: seen {far.seen:.0f} s ago"
            )
        if (path / "checkpoints").is_symlink():
            raise RunError(f"{shown(path.name)} keeps its checkpoints behind a link: not opened")
        try:
            ours = _hold(path)
        except BlockingIOError as error:
            process = holder(path / "lock")
            by = "another process" if process is None else f"process {process}"
            raise RunError(f"run {clean(path.name)} is being trained by {by}") from error
        except OSError as error:
            raise RunError(f"{shown(path.name)} can't be opened: {refusal(error)}") from error
        sweep(path)
        return cls(path, ours)

    @classmethod
    def look(cls, folder: Path, name_or_path: str) -> RunDirectory:
        """A run that exists, to read only; another process may be training it.

        Raises:
            RunError: there is no such run, or a newer fivestep kept it.
        """
        found = cls(_find(folder, name_or_path))
        found.check_format()
        return found

    @property
    def running(self) -> bool:
        """Whether a process is training it now."""
        return self._lock is not None or held(self.path / "lock")

    @property
    def other_host(self) -> str:
        """The machine that has trained it last, if that is not this one; else ""."""
        host = clean(host_of(self.path / "lock"))
        return "" if host == socket.gethostname() else host

    @property
    def elsewhere(self) -> Elsewhere | None:
        """What is known here of another machine that trains it, or has and never came to an end;
        None if none does. A file is made there for a moment, to know the file system's time.
        """
        host = self.other_host
        if not host or os.path.lexists(self.outcome):
            return None
        last = 0.0
        for file in (self.path / "lock", self.metrics):
            with suppress(OSError):  # nothing may be logged yet
                last = max(last, file.stat().st_mtime)
        seen = max(0.0, now_there(self.path) - last)
        return Elsewhere(host, seen, self.paused, self.running or seen < FRESH)

    @property
    def paused(self) -> bool:
        """Whether it was held last, by its events; a held run that takes single steps stays so."""
        with suppress(OSError), open_regular(self.events) as file:
            for _, _, text in lines_backwards(file, EVENTS):
                kind = (unseal(text) or {}).get("kind")
                if kind in ("pause", "break", "resume", "advance", "resumed"):
                    return kind in ("pause", "break")
        return False

    def renew(self) -> None:
        """Show other machines now and then that this process lives. Any thread may call this."""
        if self._lock is not None and time.monotonic() - self._renewed > RENEWED:
            self._renewed = time.monotonic()
            self._lock.renew()

    @property
    def process(self) -> int | None:
        """The number of the process that trains it; None if none does, or that is not known."""
        return holder(self.path / "lock") if self.running else None

    @property
    def answers_at(self) -> tuple[str, str] | None:
        """On which host the process that trains it answers, and the path of its socket there; None
        if it does not.
        """
        return answers_at(self.path / "lock")

    @property
    def refuses(self) -> str:
        """Why the process that trains it answers nobody; "" if it does, or has not begun to."""
        return refuses(self.path / "lock")

    def announce(self, address: str) -> None:
        """Let others know the socket at which this process answers for the run, or why it does
        not.
        """
        if self._lock is not None:
            self._lock.announce(address)

    def write_recipe(self, text: str) -> None:
        """Keep the resolved recipe. Raises OSError if the disk refuses it."""
        self._write(self.recipe.name, text)

    def read_recipe(self) -> str | None:
        """The recipe as it was written; None for a run of a person's own file.

        Raises:
            RunError: it can't be read, or is gone.
        """
        try:
            text = read_bounded(self.recipe).decode()
        except FileNotFoundError as error:
            if self.read_meta()[0].get("kind") == "file":
                return None
            why = "recipe.toml is missing, which says what it trains"
            if is_blank(self.path):
                why = "it ended before it began; fivestep train --name makes it anew"
            raise RunError(f"{self.name}: {why}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"recipe.toml of run {self.name} can't be read: {error}") from error
        self._texts[self.recipe.name] = text
        return text

    def write_meta(self, meta: Mapping[str, Any]) -> None:
        """Keep what the run is: `record_fields.RUN`; a damaged run.json stays beside it.

        Raises:
            OSError: the disk refuses it.
        """
        if self.read_meta()[1]:
            keep_aside(self.meta)
        self._write(self.meta.name, as_json(meta))

    def read_meta(self) -> tuple[dict[str, Any], str]:
        """What the run is, by fields of the right types, and what is wrong with run.json, in one
        line; "" if nothing is, or it is missing.
        """
        return read_fields(self.meta, RUN_KINDS)

    def check_format(self) -> None:
        """Raises RunError: a newer fivestep has kept the run, in a way that could be misread."""
        found = self.read_meta()[0].get("format") or 0
        if found > RUN_FORMAT:
            raise RunError(
                f"run {self.name} was kept by a newer fivestep (format {str(found)[:20]}, this one "
                f"knows {RUN_FORMAT})"
            )

    def write_outcome(self, outcome: Mapping[str, Any]) -> None:
        """Keep how it ended: `record_fields.OUTCOME`. Raises OSError if the disk refuses it."""
        self._write(self.outcome.name, as_json(outcome))

    def read_outcome(self) -> tuple[dict[str, Any], str]:
        """How it ended, by fields of the right types, and what is wrong with outcome.json, as for
        `read_meta`.
        """
        return read_fields(self.outcome, OUTCOME_KINDS)

    def clear_outcome(self) -> None:
        """The run resumes: it has no outcome until it ends again; a damaged one stays beside it.

        Raises:
            OSError: the disk refuses it.
        """
        if self.read_outcome()[1]:
            keep_aside(self.outcome)
        self.outcome.unlink(missing_ok=True)
        sync_folder(self.path)

    def damage(self) -> list[str]:
        """What is wrong with run.json and outcome.json, a line each, and where they will stay."""
        read = ((self.meta, self.read_meta()[1]), (self.outcome, self.read_outcome()[1]))
        told = [f"{why}; it stays as {aside(path).name}" for path, why in read if why]
        if not os.path.lexists(self.meta):
            told.append("run.json is missing: when and how the run began is not known")
        return told

    # While it is trained, for whatever somebody does to the folder.

    @property
    def fd(self) -> int:
        """The open folder, for what takes a `dir_fd`; the same number until `close`."""
        assert self._folder is not None
        return self._folder.fd

    def follow(self) -> Literal["there", "moved", "deleted", "taken"]:
        """Find the folder where it is now; make a new one if it is no longer this run's.

        That is so if it was deleted, or taken: its lock was deleted, and another process has put
        its own there.

        Raises:
            OSError: no new one can be made.
        """
        assert self._folder is not None
        assert self._lock is not None
        before = self.path
        lost: Literal["", "deleted", "taken"] = "" if self._folder.follow() else "deleted"
        if not lost and not self._lock.in_place:
            try:
                self._take_lock()
            except BlockingIOError:
                lost = "taken"
        if lost:
            self._home.parent.mkdir(parents=True, exist_ok=True)
            self._folder.become(
                _make(self._home.parent, self._home.name[: LONGEST - 5], again=True)
            )
            self._take_lock()
            sync_folder(self._folder.path.parent)
        self._is_at(self._folder.path)
        return lost or ("there" if self.path == before else "moved")

    def put_back(self) -> list[str]:
        """Write again what was written for good and is no longer there; the names of the files.

        Raises:
            OSError: the disk refuses it.
        """
        gone = [name for name in self._texts if not is_file(Path(name), self.fd)]
        for name in gone:
            write_whole(Path(name), self._texts[name], self.fd)
        return gone

    def _take_lock(self) -> None:
        assert self._lock is not None
        lock = RunLock(Path("lock"), self.fd)
        lock.announce(self._lock.address)
        self._lock.release()
        self._lock = lock

    def _write(self, name: str, text: str) -> None:
        self._texts[name] = text
        write_whole(Path(name), text, self.fd)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        if self._folder is not None:
            self._folder.close()

    def discard(self) -> None:
        """Remove the folder of a run that could not begin, and let it go; what holds anything of a
        run stays.
        """
        with suppress(OSError):
            if is_blank(self.path):
                _clear(self.path)
                (self.path / "lock").unlink(missing_ok=True)
                self.path.rmdir()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hold(path: Path) -> tuple[OpenFolder, RunLock]:
    """Open a run's folder, for this process alone. Raises OSError."""
    folder = OpenFolder(path)
    try:
        return folder, RunLock(Path("lock"), folder.fd)
    except OSError:
        folder.close()
        raise


def _make(folder: Path, wanted: str, *, again: bool) -> Path:
    for number in count(1):
        path = folder / (wanted if number == 1 else f"{wanted}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            if again:
                continue
            if not is_blank(path):
                raise _taken(wanted) from None
        return path
    raise AssertionError


def _taken(name: str) -> RunError:
    return RunError(f"there is a run of that name; fivestep resume {name} trains it on")


def is_blank(path: Path) -> bool:
    """Whether a folder has nothing in it but what a run has before its first batch."""
    try:
        with os.scandir(path) as entries:
            return not path.is_symlink() and all(map(_says_nothing, entries))
    except OSError:
        return False


def _says_nothing(entry: os.DirEntry[str]) -> bool:
    if not entry.is_file(follow_symlinks=False):
        return False
    if entry.name in ("lock", "recipe.toml", "run.json") or UNFINISHED.fullmatch(entry.name):
        return True
    return entry.name in FILES and not entry.stat(follow_symlinks=False).st_size


def _clear(path: Path) -> None:
    """Remove what is in a blank folder, for a run that begins. Raises OSError."""
    for file in files_in(path):
        if file.name != "lock":
            file.unlink()


def is_run(path: Path) -> bool:
    """Whether a folder has anything of a run in it."""
    return any((path / file).is_file() for file in FILES)


def _find(folder: Path, name_or_path: str) -> Path:
    """The folder of a run that exists."""
    if os.sep in name_or_path and "\0" not in name_or_path:
        try:
            path = Path(name_or_path).resolve()
            found = path.is_dir() and is_run(path)
        except (OSError, RuntimeError, ValueError):  # too long, a loop of links, no path at all
            found = False
        if not found:
            raise RunError(f"{shown(name_or_path)} is not the folder of a run")
        return path
    path = folder / checked_name(name_or_path)
    try:
        mode = path.lstat().st_mode
    except OSError:
        close = get_close_matches(path.name, _names(folder), n=1)
        guess = f"; did you mean {close[0]}?" if close else ""
        raise RunError(f"there is no run {name_or_path} in {shown(str(folder))}{guess}") from None
    if stat.S_ISLNK(mode):
        raise RunError(f"{name_or_path} is a link: give the path that it leads to")
    if not stat.S_ISDIR(mode) or not is_run(path):
        raise RunError(f"{name_or_path} in {shown(str(folder))} is not the folder of a run")
    return path


def _names(folder: Path) -> list[str]:
    """The names of the runs in a folder; none where it can't be read."""
    try:
        return [path.name for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return []


def shown(text: str) -> str:
    """A name or path as a message quotes it: short, on one line, nothing a terminal obeys."""
    text = clean(text)
    return f'"{text if len(text) <= 60 else text[:57] + "..."}"'


def checked_name(text: str) -> str:
    """`text`, if a run may be called so.

    Raises:
        RunError: it may not.
    """
    if not text:
        raise RunError("a run needs a name")
    if len(text) > LONGEST:
        raise RunError(f"a run's name has at most {LONGEST} characters, not {len(text):,}")
    if not _NAME.fullmatch(text) or text.endswith("."):
        raise RunError(
            f"{shown(text)} is no name for a run: "
            "letters, digits and . _ - only, a letter or digit first, no dot at the end"
        )
    return text


def made_name(preset: str, now: time.struct_time | None = None) -> str:
    """A name from the time and the preset, such as "2026-11-23-014742-digits-cnn".

    What a name may not have becomes a hyphen.
    """
    moment = time.strftime("%Y-%m-%d-%H%M%S", now or time.localtime())
    tail = re.sub(r"[^A-Za-z0-9._-]+", "-", preset)[: LONGEST - len(moment) - 6].strip(".-")
    return f"{moment}-{tail or 'run'}"
