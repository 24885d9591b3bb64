"""A file that is either the old one or the new one, whenever the process or the machine stops.

Where a function takes `dir_fd`, a relative path is meant from that open folder, as with `os.open`:
it stays the same folder when somebody renames or moves it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from numbers import Integral, Real
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

UNFINISHED: Final = re.compile(r"\..+\.([0-9]{1,10})-[0-9a-f]{8}\.tmp")
"""Names of files that are being written; the group is the writer's process."""


@contextmanager
def replacing(path: Path, dir_fd: int | None = None) -> Iterator[int]:
    """A new file beside `path`, open for reading and writing, that takes its place at the end.

    The file descriptor is the block's to write to, not to close. If the block raises, the new
    file is removed and `path` is as before. After it, the new content is on the disk: the file
    is synchronised before its name changes, the folder after.

    Raises:
        OSError: whatever the disk refuses.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    fd = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=dir_fd)
    try:
        _lock(fd)  # until the very end: a locked file has a living writer
        try:
            yield fd
            os.fsync(fd)
            os.replace(unfinished, path, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished, dir_fd=dir_fd)
            raise
    finally:
        os.close(fd)
    sync_folder(path.parent, dir_fd)


def sync_folder(folder: Path, dir_fd: int | None = None) -> None:
    """Bring the names in a folder to the disk, where its file system can do that at all."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(fd)


def files_in(folder: Path, dir_fd: int | None = None) -> list[Path]:
    """The regular files in a folder, no links, sorted. Raises OSError if it can't be listed."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=dir_fd)
    try:
        with os.scandir(fd) as entries:
            names = sorted(one.name for one in entries if one.is_file(follow_symlinks=False))
    finally:
        os.close(fd)
    return [folder / name for name in names]


def is_file(path: Path, dir_fd: int | None = None) -> bool:
    """Whether there is a regular file, and no link."""
    try:
        return stat.S_ISREG(os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode)
    except OSError:
        return False


def leads_to(path: Path, fd: int, dir_fd: int | None = None) -> bool:
    """Whether this is the path of an open file or folder."""
    try:
        return os.path.samestat(os.stat(path, dir_fd=dir_fd), os.fstat(fd))
    except OSError:
        return False


def move_aside(path: Path, dir_fd: int | None = None) -> None:
    """Give what stands there, if anything does, the first free name of NAME.1, NAME.2, ..."""
    with suppress(FileNotFoundError):
        for number in count(1):
            aside = path.with_name(f"{path.name}.{number}")
            try:
                os.lstat(aside, dir_fd=dir_fd)
            except FileNotFoundError:
                os.rename(path, aside, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
                break


def put_copy(fd: int, path: Path, dir_fd: int | None = None) -> None:
    """Copy an open file, though it may have lost its name, to `path`; whole, or not at all.

    Raises:
        OSError: whatever the disk refuses.
    """
    at = 0
    with replacing(path, dir_fd) as made:
        while piece := os.pread(fd, MOST, at):
            write_all(made, memoryview(piece))
            at += len(piece)


def write_all(fd: int, view: memoryview) -> None:
    """All of it: the system may take less at a time."""
    while view:
        view = view[os.write(fd, view) :]


def sweep(folder: Path, dir_fd: int | None = None) -> list[Path]:
    """Remove what writers that died left in `folder`; what was removed."""
    removed = []
    with suppress(FileNotFoundError):
        for path in files_in(folder, dir_fd):
            match = UNFINISHED.fullmatch(path.name)
            if match and not _has_writer(path, int(match[1]), dir_fd):
                with suppress(OSError):
                    os.unlink(path, dir_fd=dir_fd)
                    removed.append(path)
    return removed


def refusal(error: Exception) -> str:
    """Why the disk refused something, in its own words, on one line."""
    text = getattr(error, "strerror", None) or str(error)
    return clean(text.split("\n", 1)[0]) or type(error).__name__


def _lock(fd: int) -> bool:
    """Lock an open file for this process; False if another one has."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _has_writer(path: Path, process: int, dir_fd: int | None) -> bool:
    """Whether a process still writes to it.

    Its number alone does not show that: another process may have it by now, in a container the
    very next one. Nor does a lock: a data worker that was forked meanwhile shares it.
    """
    try:
        os.kill(process, 0)
    except PermissionError:
        pass  # it lives, under another user
    except (ProcessLookupError, OverflowError):
        return False
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=dir_fd)
    except OSError:
        return False
    try:
        return not _lock(fd)
    finally:
        os.close(fd)


MOST: Final = 1 << 20
"""Most bytes that are read of a file that is small when nobody has tampered with it."""
DEEPEST: Final = 100
"""Most levels of nesting that are kept."""


def clean(text: str) -> str:
    """`text` on one line, without anything that a terminal could obey."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "" for c in text)


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as strict JSON takes it: NaN and infinity are None, texts are clean.

    Whatever is no number, text, mapping or sequence becomes its text.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):  # NumPy's numbers too
        return float(value) if math.isfinite(value) else None
    if depth >= DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {clean(str(key)): plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner, depth + 1) for inner in value]
    return clean(str(value))


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decode: Final = json.JSONDecoder(parse_constant=_refuse).decode


def decode(text: bytes) -> dict[str, Any] | None:
    """The JSON object in `text`; None if it is anything else, or no strict JSON."""
    try:
        found = _decode(text.decode())
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return found if isinstance(found, dict) else None


def open_regular(path: Path, dir_fd: int | None = None) -> BinaryIO:
    """A file, open for reading; a link is not followed, and nothing but a file is waited for.

    Raises:
        OSError: it is not there, no regular file, or a link.
    """
    # Without O_NONBLOCK, opening a pipe that someone has put here would wait for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return open(fd, "rb")  # noqa: PTH123 - of a descriptor


def open_own(path: Path, flags: int = 0, dir_fd: int | None = None) -> int:
    """A file that is to be changed, made if it is not there: its descriptor, to read and write.

    Raises:
        OSError: it can't be opened, or it is a link: a symbolic one, or one of several names of a
            file, which may be somebody else's.
    """
    flags |= os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, 0o666, dir_fd=dir_fd)
    if os.fstat(fd).st_nlink > 1:
        os.close(fd)
        raise OSError(errno.EMLINK, f"{path.name} is a hard link to another file")
    return fd


def now_there(folder: Path) -> float:
    """What time it is by the clock of a folder's file system, in seconds since 1970; by this
    machine's where nothing can be written.
    """
    with suppress(OSError), tempfile.TemporaryFile(dir=folder) as fresh:
        return os.fstat(fresh.fileno()).st_mtime
    return time.time()


def read_bounded(path: Path, most: int = MOST) -> bytes:
    """What a file holds.

    Raises:
        OSError: like `open_regular`, and if it has more than `most` bytes.
    """
    with open_regular(path) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes")
    return found


Kind = type | Mapping[str, "Kind"] | list["Kind"]
"""What a value read back has to be: of a type, a mapping with such fields, a list of such values.
null is of every kind: what is not known."""


def read_fields(path: Path, kinds: Mapping[str, Kind]) -> tuple[dict[str, Any], str]:
    """The object in a file, texts clean, without the fields that are not of their kind.

    Returns:
        Its fields, and what is wrong with the file, in one line; "" if nothing is. A file that is
        not there has no fields, and nothing is wrong with it.
    """
    try:
        found = decode(read_bounded(path))
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"{path.name} can't be read: {error.strerror}"
    if found is None:
        return {}, f"{path.name} is damaged"
    fields = dict(plain(found))
    unlike = [name for name in sorted(kinds) if not _is(fields.get(name), kinds[name])]
    told = [f'"{name}" is {json.dumps(fields.pop(name))[:60]}' for name in unlike][:2]
    if len(unlike) > 2:
        told.append("...")
    return fields, f"{path.name} is damaged: {', '.join(told)}" if told else ""


def _is(value: Any, kind: Kind) -> bool:
    if value is None:
        return True
    if isinstance(kind, Mapping):
        return isinstance(value, dict) and all(_is(value.get(key), kind[key]) for key in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is(one, kind[0]) for one in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def keep_aside(path: Path) -> None:
    """Rename a file that can't be read, so that nothing is written over it.

    Raises:
        OSError: it can't be renamed.
    """
    path.rename(aside(path))
    sync_folder(path.parent)


def aside(path: Path) -> Path:
    """What `keep_aside` renames a file to: a name that is not taken."""
    names = (f"{path.name}.unreadable{f'-{n}' if n > 1 else ''}" for n in count(1))
    return next(one for name in names if not os.path.lexists(one := path.with_name(name)))


def as_json(record: Mapping[str, Any]) -> str:
    """A record as a file holds it: strict JSON, readable for people."""
    return json.dumps(plain(record), allow_nan=False, indent=2) + "\n"


def write_whole(path: Path, text: str, dir_fd: int | None = None) -> None:
    """Replace a file by `text`; whole, or as it was. Raises OSError if the disk refuses it."""
    with replacing(path, dir_fd) as fd:
        write_all(fd, memoryview(text.encode(errors="replace")))
