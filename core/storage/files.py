"""A file that is either the old one or the new one, whenever the process or the machine stops."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

HIDDEN: Final = re.compile(r"\..+\.([0-9]{1,10})-[0-9a-f]{8}\.tmp")
"""Names of the files that have not taken their place yet; the group is the writer's process."""


@contextmanager
def replacing(path: Path) -> Iterator[int]:
    """A new file beside `path`, open for reading and writing, that takes its place at the end.

    The file descriptor is the block's to write to, not to close. If the block raises, the new
    file is removed and `path` is as before. After it, the new content is on the disk: the file
    is synchronised before its name changes, the folder after.

    Raises:
        OSError: whatever the disk refuses.
    """
    hidden = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        _lock(fd)  # until the very end: a locked file has a living writer
        try:
            yield fd
            os.fsync(fd)
            hidden.replace(path)
        except BaseException:
            with suppress(OSError):
                hidden.unlink()
            raise
    finally:
        os.close(fd)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where its file system can do that at all."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(fd)


def sweep(folder: Path) -> list[Path]:
    """Remove what writers that died left in `folder`; what was removed."""
    removed = []
    with suppress(FileNotFoundError):
        for path in sorted(folder.iterdir()):
            match = HIDDEN.fullmatch(path.name)
            if match and not path.is_symlink() and not _has_writer(path, int(match[1])):
                with suppress(OSError):
                    path.unlink()
                    removed.append(path)
    return removed


def _lock(fd: int) -> bool:
    """Lock an open file for this process; False if another one has."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _has_writer(path: Path, process: int) -> bool:
    """Whether somebody still writes to it.

    A number alone does not tell: another process, in a container the very next start, may have
    been given it. Nor does a lock: a data worker that was forked meanwhile shares it.
    """
    try:
        os.kill(process, 0)
    except PermissionError:
        pass  # it lives, under another user
    except (ProcessLookupError, OverflowError):
        return False
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return not _lock(fd)
    finally:
        os.close(fd)
