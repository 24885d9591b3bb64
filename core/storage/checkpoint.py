"""One checkpoint, one file: written atomically, verified, read without executing anything.

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
import stat
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import IO, Any, Final, cast

import torch
from torch import Tensor, nn

from .files import replacing

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


class CheckpointError(ValueError):
    """What is wrong with a checkpoint: one line, for a person."""


def save(path: Path, state: Mapping[str, Any]) -> str:
    """Write `state` to `path`; the file that was there goes when the new one is verified.

    Args:
        path: where; its folder exists.
        state: tensors on the CPU, int, float, str, bytes, bool and None, in any nesting of list,
            tuple, dict, OrderedDict, Counter and set. Nothing of NumPy: `weights_only` would
            refuse to load it. The key "format" is ours.

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
    with replacing(path) as fd:
        sink = _Sink(fd)
        torch.save(whole, cast(IO[bytes], sink))
        digest = sink.finish()
        os.fsync(fd)
        if _digest_on_disk(fd) != digest:
            raise OSError(errno.EIO, "what was read back is not what was written")
    return digest


def load(path: Path) -> dict[str, Any]:
    """The state in a checkpoint, its tensors on the CPU.

    The bytes are read once; those whose digest is right are those that are unpickled, under
    `weights_only`, which knows tensors and plain values and calls nothing else.

    Raises:
        CheckpointError: it can't be read, is damaged, or is no checkpoint of this fivestep.
    """
    name = path.name if path.name.isprintable() else ascii(path.name)
    try:
        state = _unpickle(_read(path))
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error.__cause__
    except OSError as error:
        raise CheckpointError(f"{name}: {error.strerror}") from error
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
                _write(self._fd, view)
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
        _write(self._fd, memoryview(LENGTH.to_bytes(2, "little") + comment))
        return digest


def _write(fd: int, view: memoryview) -> None:
    """All of it: the system may take less at a time."""
    while view:
        view = view[os.write(fd, view) :]


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
    told = COMMENT.fullmatch(read(end + 2, LENGTH))
    digest, at = hashlib.sha256(), 0
    while at < end and (piece := read(at, min(CHUNK, end - at))):
        digest.update(piece)
        at += len(piece)
    digest.update(b"\0\0")  # no comment: as torch.save made it
    return digest.hexdigest() if told and told[1].decode() == digest.hexdigest() else None


def _read(path: Path) -> bytes:
    """The bytes of a regular file with the right digest."""
    if path.is_symlink():
        raise CheckpointError("a symbolic link, which is not followed")
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe must not hold us up
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError("not a file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(status.st_size)
    finally:
        os.close(fd)
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
    return state


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
