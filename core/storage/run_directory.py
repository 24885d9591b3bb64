"""The folder of one run: where everything about it is, and who may write there."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

from .files import clean, read_bounded, read_json, sweep, sync_folder, write_json, write_whole
from .run_lock import RunLock, held, holder

FILES: Final = ("run.json", "recipe.toml", "metrics.jsonl", "events.jsonl", "outcome.json", "lock")
"""What shows that a folder is a run's."""
ENDINGS: Final = ("finished", "stopped", "failed", "interrupted")
"""What the state in outcome.json may be."""
LONGEST: Final = 80
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class RunError(ValueError):
    """What is wrong with a run or its name: one line, for a person."""


class RunDirectory:
    """One run's folder. Make one with `create`, `open` or `look`.

    Texts in what is read from it are clean: nothing there can reach a terminal as a command.
    """

    def __init__(self, path: Path, lock: RunLock | None) -> None:
        path = path.absolute()  # wherever a person's own code goes from here
        self.path, self.name = path, clean(path.name)
        self._lock = lock
        self.recipe = path / "recipe.toml"
        self.meta = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.events = path / "events.jsonl"
        self.checkpoints = path / "checkpoints"
        self.outcome = path / "outcome.json"

    @classmethod
    def create(cls, folder: Path, name: str | None, preset: str) -> RunDirectory:
        """Make the folder of a new run, for this process alone.

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
            lock = RunLock(path / "lock")
            sync_folder(folder)
        except OSError as error:
            raise RunError(
                f"{shown(str(folder))} takes no run: {error.strerror or error}"
            ) from error
        return cls(path, lock)

    @classmethod
    def open(cls, folder: Path, name_or_path: str) -> RunDirectory:
        """A run that exists, to go on with, for this process alone.

        Args:
            folder: the runs folder.
            name_or_path: a name in it, or a path to a run's folder anywhere (it has a slash).

        Raises:
            RunError: there is no such run, or another process is training it.
        """
        path = _find(folder, name_or_path)
        if (path / "checkpoints").is_symlink():
            raise RunError(f"{shown(path.name)} keeps its checkpoints behind a link: not opened")
        try:
            lock = RunLock(path / "lock")
        except BlockingIOError as error:
            process = holder(path / "lock")
            by = "another process" if process is None else f"process {process}"
            raise RunError(f"run {clean(path.name)} is being trained by {by}") from error
        except OSError as error:
            raise RunError(f"{shown(path.name)} can't be opened: {error.strerror}") from error
        sweep(path)
        return cls(path, lock)

    @classmethod
    def look(cls, folder: Path, name_or_path: str) -> RunDirectory:
        """A run that exists, to read only; another process may be training it.

        Raises:
            RunError: there is no such run.
        """
        return cls(_find(folder, name_or_path), None)

    @property
    def running(self) -> bool:
        """Whether a process is training it now."""
        return self._lock is not None or held(self.path / "lock")

    def write_recipe(self, text: str) -> None:
        """Keep the resolved recipe. Raises OSError if the disk refuses it."""
        write_whole(self.recipe, text)

    def read_recipe(self) -> str | None:
        """The recipe as it was written; None for a run of a person's own file.

        Raises:
            RunError: it is there and can't be read.
        """
        try:
            return read_bounded(self.recipe).decode()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"recipe.toml of run {self.name} can't be read: {error}") from error

    def write_meta(self, meta: Mapping[str, Any]) -> None:
        """Keep what the run is: `record_fields.RUN`. Raises OSError if the disk refuses it."""
        write_json(self.meta, meta)

    def read_meta(self) -> dict[str, Any] | None:
        """What the run is; None if that is missing or damaged. Its types are not checked."""
        return read_json(self.meta)

    def write_outcome(self, outcome: Mapping[str, Any]) -> None:
        """Keep how it ended: `record_fields.OUTCOME`. Raises OSError if the disk refuses it."""
        write_json(self.outcome, outcome)

    def read_outcome(self) -> dict[str, Any] | None:
        """How it ended; None if that is missing or damaged. Its types are not checked."""
        return read_json(self.outcome)

    def clear_outcome(self) -> None:
        """The run resumes: it has no outcome until it ends again. Raises OSError."""
        self.outcome.unlink(missing_ok=True)
        sync_folder(self.path)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _make(folder: Path, wanted: str, *, again: bool) -> Path:
    for number in count(1):
        path = folder / (wanted if number == 1 else f"{wanted}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            if not again:
                raise RunError(
                    f"there is a run of that name; fivestep resume {wanted} goes on with it"
                ) from None
        else:
            break
    return path


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
        raise RunError(f"there is no run {name_or_path} in {shown(str(folder))}") from None
    if stat.S_ISLNK(mode):
        raise RunError(f"{name_or_path} is a link: give the path that it leads to")
    if not stat.S_ISDIR(mode) or not is_run(path):
        raise RunError(f"{name_or_path} in {shown(str(folder))} is not the folder of a run")
    return path


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
