"""Checkpoints: files written atomically, verified, read without executing anything.

The file is what `torch.save` makes, and `torch.load(path, weights_only=True)` reads it anywhere.
The comment that a zip archive may end with holds the SHA-256 digest of all that comes before, so
the file and its digest can't be parted.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import sys
import threading
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import IO, Any, Final, cast

import torch
from torch import Tensor, nn

from . import files
from .files import refusal, replacing, write_all

FORMAT: Final = 1
"""The layout of the state, kept under its key "format". A newer one is refused."""
END: Final = b"PK\x05\x06"
"""Begins the record that ends a zip archive: 22 bytes, the last two its comment's length."""
COMMENT: Final = re.compile(rb"fivestep sha256=([0-9a-f]{64})")
LENGTH: Final = 80
"""Bytes in the comment."""
CHUNK: Final = 1 << 20
PLAIN: Final = frozenset(
    (int, float, str, bytes, bool, NoneType, torch.dtype, torch.device, Tensor, nn.Parameter)
)
HOLDERS: Final = frozenset((list, tuple, torch.Size, set, dict, OrderedDict, Counter))
DIGITS: Final = {"batch": 9, "epoch": 4}
"""The two series of a `CheckpointStore`, and how many digits their numbers have at least."""
NAME: Final = re.compile(r"(batch|epoch)-([0-9]{4,18})\.pt")
BEST: Final = "best.pt"


class CheckpointError(ValueError):
    """What is wrong with a checkpoint: one line, for a person."""


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint that a run can resume from."""

    path: Path
    state: dict[str, Any]
    batches_done: int
    """Batches behind it, from its progress; -1 if it doesn't say."""
    skipped: tuple[str, ...]
    """What was wrong with newer ones, a line each: a person has to see it."""


def save(path: Path, state: Mapping[str, Any], dir_fd: int | None = None) -> str:
    """Write `state` to `path`; the file that was there goes when the new one is verified.

    Args:
        path: where; its folder exists.
        state: tensors on the CPU, int, float, str, bytes, bool and None, in any nesting of list,
            tuple, dict, OrderedDict, Counter and set. Nothing of NumPy: `weights_only` would
            refuse to load it. The key "format" is ours.
        dir_fd: the open folder that a relative path is meant from.

    Returns:
        The SHA-256 digest of the archive, in hex.

    Raises:
        CheckpointError: the state holds something that could not be loaded again.
        OSError: whatever the disk refuses; `path` is as it was.
    """
    assert "format" not in state
    whole = {**state, "format": FORMAT}
    if unfit := _unfit(whole):
        raise CheckpointError(f"state{unfit[0]} is a {unfit[1]}, which a checkpoint can't hold")
    with replacing(path, dir_fd) as fd:
        sink = _Sink(fd)
        torch.save(whole, cast(IO[bytes], sink))
        digest = sink.finish()
        os.fsync(fd)
        if _digest_on_disk(fd) != digest:
            raise OSError(errno.EIO, "what was read back is not what was written")
    return digest


def load(path: Path, dir_fd: int | None = None) -> dict[str, Any]:
    """The state in a checkpoint, its tensors on the CPU.

    The bytes are read once; those whose digest is right are those that are unpickled, under
    `weights_only`, which knows tensors and plain values and calls nothing else.

    Raises:
        CheckpointError: it can't be read, is damaged, or is no checkpoint of this fivestep.
    """
    name = path.name if path.name.isprintable() else ascii(path.name)
    try:
        state = _unpickle(_read(path, dir_fd))
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error.__cause__
    except OSError as error:
        raise CheckpointError(f"{name}: {refusal(error)}") from error
    except MemoryError as error:
        raise CheckpointError(f"{name}: too large for this machine's memory") from error
    del state["format"]
    return state


class _Sink:
    """What torch.save writes to: a file and its digest.

    An error of the disk waits in here until torch.save is through: it would raise a RuntimeError
    of its own in its place.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._hash = hashlib.sha256()
        self._end = b""
        self._error: OSError | None = None

    def write(self, piece: bytes | memoryview) -> int:
        view = memoryview(piece).cast("B")
        self._hash.update(view)
        self._end = (self._end + bytes(view[-22:]))[-22:]
        if self._error is None:
            try:
                write_all(self._fd, view)
            except OSError as error:
                self._error = error
        return view.nbytes

    def flush(self) -> None:
        """Nothing waits."""

    def finish(self) -> str:
        """Put the digest into the archive's comment; the digest."""
        if self._error is not None:
            raise self._error
        assert self._end.startswith(END), "torch.save ends its archives without a comment"
        digest = self._hash.hexdigest()
        os.lseek(self._fd, -2, os.SEEK_END)
        comment = b"fivestep sha256=" + digest.encode()
        write_all(self._fd, memoryview(LENGTH.to_bytes(2, "little") + comment))
        return digest


def _digest_on_disk(fd: int) -> str | None:
    """The digest that the file has, if its comment says the same; None otherwise."""
    if sys.platform == "linux":  # read from the disk, not from memory
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    size = os.fstat(fd).st_size
    return _digest(size, lambda start, count: os.pread(fd, count, start))


def _digest(size: int, read: Callable[[int, int], bytes | memoryview]) -> str | None:
    """The SHA-256 of the archive without its comment, if the comment says the same."""
    end = size - LENGTH - 2
    if end < 0 or read(end, 2) != LENGTH.to_bytes(2, "little"):
        return None
    comment = COMMENT.fullmatch(read(end + 2, LENGTH))
    digest, at = hashlib.sha256(), 0
    while at < end and (piece := read(at, min(CHUNK, end - at))):
        digest.update(piece)
        at += len(piece)
    digest.update(b"\0\0")  # no comment: as torch.save made it
    return digest.hexdigest() if comment and comment[1].decode() == digest.hexdigest() else None


def _read(path: Path, dir_fd: int | None) -> bytes:
    """The bytes of a regular file with the right digest."""
    try:
        with files.open_regular(path, dir_fd) as file:
            data = file.read()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise CheckpointError("a symbolic link, which is not followed") from error
        raise
    view = memoryview(data)
    if _digest(len(data), lambda start, count: view[start : start + count]) is None:
        raise CheckpointError("damaged, or not a checkpoint of fivestep: its digest is not right")
    return data


def _unpickle(data: bytes) -> dict[str, Any]:
    """The state in bytes whose digest is right; that alone does not make them harmless."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            packed = [one for one in archive.infolist() if one.compress_type]
        # torch.save compresses nothing, and what is not compressed can't grow without bounds
        state = None if packed else torch.load(io.BytesIO(data), "cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # of many kinds, their texts partly the file's own
        raise CheckpointError("holds more than tensors and plain values: not loaded") from error
    found = state.get("format") if type(state) is dict else None
    if type(found) is not int or found < 1:
        raise CheckpointError("not a checkpoint of fivestep")
    if found > FORMAT:
        raise CheckpointError(
            f"saved by a newer fivestep (format {found}, this one knows {FORMAT})"
        )
    assert isinstance(state, dict)
    if not _whole(state):
        raise CheckpointError("damaged: a tensor in it has less data than its shape says")
    return state


def _whole(value: object) -> bool:
    """Whether every tensor has its own numbers, in memory: none that is copied grows."""
    if isinstance(value, Tensor):
        return (
            value.device.type == "cpu"
            and value.layout is torch.strided
            and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
        )
    if isinstance(value, dict):
        return all(map(_whole, value.values()))
    return not isinstance(value, (list, tuple, set)) or all(map(_whole, value))


def _unfit(value: object) -> tuple[str, str] | None:
    """Where in `value` something is that `weights_only` would not load, and what; None if nowhere.

    Types are compared, not subclasses: a namedtuple or a NumPy float pickles as what it is.
    """
    kind = type(value)
    if kind in PLAIN:
        return None
    if kind not in HOLDERS:
        return "", f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, dict):
        for key, one in value.items():
            if found := _unfit(one) or _unfit(key):
                return f"[{key!r}]{found[0]}", found[1]
        return None
    assert isinstance(value, (list, tuple, set))
    for number, one in enumerate(value):
        if found := _unfit(one):
            return f"[{number}]{found[0]}", found[1]
    return None


class CheckpointStore:
    """The folder `checkpoints/` of one run, which one process at a time writes to.

    It holds `batch-000001234.pt`, the running series by batches done; `epoch-0010.pt`, for the
    person to keep; and `best.pt`. Anything else in it, symbolic links too, is left alone.

    Args:
        folder: made when the first checkpoint is saved.
        keep: how many of the running series stay.
        dir_fd: the open folder that a relative path is meant from.
    """

    def __init__(self, folder: Path, *, keep: int = 2, dir_fd: int | None = None) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, not {keep}")
        self.folder = folder
        self.keep = keep
        self._dir_fd = dir_fd
        self._held: dict[str, int] = {}
        """The best one and the last ones, open: they can be read though somebody removes them."""
        self._holding = threading.Lock()

    def save_last(self, state: Mapping[str, Any], batches_done: int) -> Path:
        """Save to the running series, then let the oldest of it go.

        Those with a higher number don't count among the ones that stay: the run has gone back to
        before them.

        Raises:
            CheckpointError: the state holds something that could not be loaded again.
            OSError: whatever the disk refuses; every older one is still there.
        """
        path = self._save(_name("batch", batches_done), state)
        with suppress(OSError):  # saved it is
            older = [number for number in self._numbers("batch") if number <= batches_done]
            for number in older[self.keep :]:
                self._remove(_name("batch", number))
        return path

    def save_epoch(self, state: Mapping[str, Any], epoch: int) -> Path:
        """Save after so many epochs, to stay. Raises like `save_last`."""
        return self._save(_name("epoch", epoch), state)

    def save_best(self, state: Mapping[str, Any]) -> Path:
        """Save in place of the best one so far. Raises like `save_last`."""
        return self._save(BEST, state)

    def newest(self, misfit: Callable[[dict[str, Any]], str] = lambda _: "") -> LoadedCheckpoint:
        """The good checkpoint with the most batches behind it.

        Args:
            misfit: says why a state can't be gone on from; it is passed over then. "" if it can.

        Raises:
            CheckpointError: there is none; it says what was wrong with those there are.
        """
        skipped: list[str] = []
        try:
            found = [self._newest_of(series, skipped, misfit) for series in DIGITS]
        except OSError as error:
            raise CheckpointError(f"{self.folder.name}: {refusal(error)}") from error
        good = [one for one in found if one is not None]
        if not good:
            raise CheckpointError("; ".join(skipped) or "no checkpoint has been saved yet")
        newest = max(good, key=lambda one: one.batches_done)
        return LoadedCheckpoint(newest.path, newest.state, newest.batches_done, tuple(skipped))

    def best(self) -> dict[str, Any]:
        """The best one's state. Raises CheckpointError if there is none, or it is damaged."""
        return load(self.folder / BEST, self._dir_fd)

    def last_batch(self) -> int | None:
        """The highest number in the running series, going by the names alone; None if unknown."""
        with suppress(OSError):
            return next(iter(self._numbers("batch")), None)
        return None

    def last_good(self, otherwise: str) -> str:
        """Where the newest checkpoint is, for a message; `otherwise` if there is none."""
        number = self.last_batch()
        return otherwise if number is None else f"the last good one is batch {number:,}"

    def rewind(self, batches_done: int) -> tuple[Path, ...]:
        """Remove all checkpoints after this batch: the run has gone back to it.

        Otherwise a later resume would find one that was given up. Damaged ones on the way are
        removed too. `best.pt` stays.

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
            with suppress(FileNotFoundError):
                self._remove(name)
        return tuple(self.folder / name for name in beyond)

    def sweep(self) -> list[Path]:
        """Remove what a save left behind when its process died; for the start of a run."""
        return files.sweep(self.folder, self._dir_fd)

    def hold(self) -> None:
        """From now on keep the best one and the last ones open, for `put_back`."""
        for name in [BEST, *(_name("batch", number) for number in self._numbers("batch"))]:
            with suppress(FileNotFoundError):
                self._hold(name)

    def put_back(self) -> bool:
        """If all that are held have gone, copy them to where they belong; whether it had to.

        One that was removed alone stays so: somebody may need the room.

        Raises:
            OSError: whatever the disk refuses.
        """
        with self._holding:
            there = (files.is_file(self.folder / name, self._dir_fd) for name in self._held)
            if not self._held or any(there):
                return False
            self._make_folder()
            for name, fd in self._held.items():
                files.put_copy(fd, self.folder / name, self._dir_fd)
        return True

    def let_go(self) -> None:
        """Close what is held."""
        with self._holding:
            while self._held:
                os.close(self._held.popitem()[1])

    def _hold(self, name: str) -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(self.folder / name, flags, dir_fd=self._dir_fd)
        with self._holding:
            before, self._held[name] = self._held.get(name), fd
        if before is not None:
            os.close(before)

    def _remove(self, name: str) -> None:
        os.unlink(self.folder / name, dir_fd=self._dir_fd)
        with self._holding:
            fd = self._held.pop(name, None)
        if fd is not None:
            os.close(fd)

    def _make_folder(self) -> None:
        if self._dir_fd is None:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(self.folder, dir_fd=self._dir_fd)
            files.sync_folder(self.folder.parent, self._dir_fd)

    def _save(self, name: str, state: Mapping[str, Any]) -> Path:
        self._make_folder()
        path = self.folder / name
        save(path, state, self._dir_fd)
        if self._dir_fd is not None and not name.startswith("epoch"):
            self._hold(name)  # and so it is where it belongs
        return path

    def _newest_of(
        self, series: str, skipped: list[str], misfit: Callable[[dict[str, Any]], str]
    ) -> LoadedCheckpoint | None:
        """Names say where to look first; what is in the files decides."""
        newest: LoadedCheckpoint | None = None
        renamed: dict[Path, str] = {}
        key = {"batch": "batches_done", "epoch": "epoch"}[series]
        for number in self._numbers(series):
            loaded = self._load(series, number, skipped)
            if loaded is None:
                continue
            if why := misfit(loaded.state):
                skipped.append(f"{loaded.path.name}: {why}")
                continue
            progress = loaded.state.get("progress")
            held = progress.get(key, number) if isinstance(progress, dict) else number
            if newest is None or loaded.batches_done > newest.batches_done:
                newest = loaded
            if held == number:  # so those below it have less behind them
                break
            renamed[loaded.path] = f"{loaded.path.name}: what it holds is of {series} {held}"
        skipped += [why for path, why in renamed.items() if newest is None or path != newest.path]
        return newest

    def _load(self, series: str, number: int, skipped: list[str]) -> LoadedCheckpoint | None:
        path = self.folder / _name(series, number)
        try:
            state = load(path, self._dir_fd)
        except CheckpointError as error:
            skipped.append(str(error))
            return None
        progress = state.get("progress")
        done = progress.get("batches_done") if isinstance(progress, dict) else None
        if type(done) is not int:
            done = number if series == "batch" else -1
        return LoadedCheckpoint(path, state, done, ())

    def _numbers(self, series: str) -> list[int]:
        """The numbers that one series has files of, highest first."""
        numbers = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for path in files.files_in(self.folder, self._dir_fd):
                match = NAME.fullmatch(path.name)
                if match and match[1] == series and path.name == _name(series, int(match[2])):
                    numbers.append(int(match[2]))
        return sorted(numbers, reverse=True)


def _name(series: str, number: int) -> str:
    return f"{series}-{number:0{DIGITS[series]}}.pt"
