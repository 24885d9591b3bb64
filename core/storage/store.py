"""The checkpoints of one run: a folder, which ones stay in it, and the newest that is good."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from . import checkpoint
from . import files as atomic
from .checkpoint import CheckpointError

DIGITS: Final = {"batch": 9, "epoch": 4}
"""The two series, and how many digits their numbers have at least."""
NAME: Final = re.compile(r"(batch|epoch)-([0-9]{4,18})\.pt")
BEST: Final = "best.pt"


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that can be gone on from."""

    path: Path
    state: dict[str, Any]
    batches_done: int
    """Batches behind it, from its progress; -1 if it doesn't say."""
    skipped: tuple[str, ...]
    """What was wrong with those that were passed over, a line each: to be told loudly."""


class Store:
    """The folder `checkpoints/` of one run, which one process at a time writes to.

    It holds `batch-000001234.pt`, the running series by batches done; `epoch-0010.pt`, for the
    person to keep; and `best.pt`. Anything else in it, symbolic links too, is left alone.

    Args:
        folder: made when the first checkpoint is saved.
        keep: how many of the running series stay.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, not {keep}")
        self.folder = folder
        self.keep = keep

    def save_last(self, state: Mapping[str, Any], batches_done: int) -> Path:
        """Save to the running series, then let the oldest of it go.

        Those with a higher number don't count among the ones that stay: the run has gone back
        behind them.

        Raises:
            CheckpointError: the state holds something that could not be loaded again.
            OSError: whatever the disk refuses; every older one is still there.
        """
        path = self._save(_name("batch", batches_done), state)
        with suppress(OSError):  # saved it is
            older = [number for number in self._numbers("batch") if number <= batches_done]
            for number in older[self.keep :]:
                (self.folder / _name("batch", number)).unlink()
        return path

    def save_epoch(self, state: Mapping[str, Any], epoch: int) -> Path:
        """Save after so many epochs, to stay. Raises like `save_last`."""
        return self._save(_name("epoch", epoch), state)

    def save_best(self, state: Mapping[str, Any]) -> Path:
        """Save in place of the best one so far. Raises like `save_last`."""
        return self._save(BEST, state)

    def newest(self) -> Loaded:
        """The good checkpoint with the most batches behind it.

        Raises:
            CheckpointError: there is none; it says what was wrong with those there are.
        """
        skipped: list[str] = []
        try:
            found = [self._newest_of(series, skipped) for series in DIGITS]
        except OSError as error:
            raise CheckpointError(f"{self.folder.name}: {error.strerror}") from error
        good = [one for one in found if one is not None]
        if not good:
            raise CheckpointError("; ".join(skipped) or "no checkpoint has been saved yet")
        newest = max(good, key=lambda one: one.batches_done)
        return Loaded(newest.path, newest.state, newest.batches_done, tuple(skipped))

    def best(self) -> dict[str, Any]:
        """The best one's state.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        return checkpoint.load(self.folder / BEST)

    def last_batch(self) -> int | None:
        """The highest number in the running series, going by the names alone; None if unknown."""
        with suppress(OSError):
            return next(iter(self._numbers("batch")), None)
        return None

    def rewind(self, batches_done: int) -> tuple[Path, ...]:
        """Remove what lies behind this batch: the run has gone back to it and goes on from there.

        Otherwise a later resume would go on from the line that was given up. The damaged ones on
        the way are removed too. `best.pt` stays.

        Raises:
            OSError: something could not be removed.
        """
        beyond = [_name("batch", n) for n in self._numbers("batch") if n > batches_done]
        for number in self._numbers("epoch"):
            loaded = self._load("epoch", number, [])
            if loaded is not None and loaded.batches_done <= batches_done:
                break
            beyond.append(_name("epoch", number))
        for name in beyond:
            (self.folder / name).unlink(missing_ok=True)
        return tuple(self.folder / name for name in beyond)

    def sweep(self) -> list[Path]:
        """Remove what a save left behind when its process died; for the start of a run."""
        return atomic.sweep(self.folder)

    def _save(self, name: str, state: Mapping[str, Any]) -> Path:
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True)
            atomic.sync_folder(self.folder.parent)
        path = self.folder / name
        checkpoint.save(path, state)
        return path

    def _newest_of(self, series: str, skipped: list[str]) -> Loaded | None:
        found = (self._load(series, number, skipped) for number in self._numbers(series))
        return next(filter(None, found), None)

    def _load(self, series: str, number: int, skipped: list[str]) -> Loaded | None:
        path = self.folder / _name(series, number)
        try:
            state = checkpoint.load(path)
        except CheckpointError as error:
            skipped.append(str(error))
            return None
        progress = state.get("progress")
        done = progress.get("batches_done") if isinstance(progress, dict) else None
        if type(done) is not int:
            done = number if series == "batch" else -1
        return Loaded(path, state, done, ())

    def _numbers(self, series: str) -> list[int]:
        """The numbers that one series has files of, highest first."""
        numbers = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for path in self.folder.iterdir():
                match = NAME.fullmatch(path.name)
                if match and match[1] == series and path.name == _name(series, int(match[2])):
                    numbers += [int(match[2])] if path.is_file() and not path.is_symlink() else []
        return sorted(numbers, reverse=True)


def _name(series: str, number: int) -> str:
    return f"{series}-{number:0{DIGITS[series]}}.pt"
