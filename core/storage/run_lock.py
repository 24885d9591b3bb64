"""The lock that keeps a second process from training the same run."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Final

from .files import leads_to, open_own

_TRIES: Final = 5
_PAUSE: Final = 0.005
"""Seconds between two tries: `held` has the lock for some microseconds."""
_PATIENCE: Final = 1.0
"""Seconds to wait for the number of a holder whose disk is slow."""
_SAFELY: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class RunLock:
    """A lock on a file, held until `release` or the end of this process.

    Args:
        path: of the file, which is made if it is not there.
        dir_fd: the open folder that a relative path is meant from.

    Raises:
        BlockingIOError: another process has it.
        OSError: the file can't be opened.
    """

    def __init__(self, path: Path, dir_fd: int | None = None) -> None:
        self._locked = False
        self._signing = threading.Lock()
        self.address = ""
        """Where its holder answers, or why it does not; "" before that is known."""
        self._path, self._dir_fd = path, dir_fd
        self._fd = open_own(path, dir_fd=dir_fd)
        try:
            self._take()
        except BaseException:
            os.close(self._fd)
            raise
        _held.add(self)

    def _take(self) -> None:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._locked = True
                break
            except BlockingIOError:
                if not left:
                    raise
                time.sleep(_PAUSE)
            except OSError:  # this file system has no locks: nothing keeps a second process away
                return
        self._sign()

    def _sign(self) -> None:
        """Write down whose it is, for messages, and where that process answers."""
        text = f"{os.getpid()}\n"
        if self.address:
            text += f"{socket.gethostname()}\n{self.address}\n"
        with suppress(OSError):  # a full disk has no room for it
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, os.fsencode(text), 0)

    def announce(self, address: str) -> None:
        """Write down where the holder answers, the path of a socket, or why it does not.

        Any thread may call this.
        """
        self.address = address
        with self._signing:
            if self._fd >= 0:
                self._sign()

    def renew(self) -> None:
        """Show that the holder lives, by its file's time: the file system's own. Any thread may."""
        with self._signing, suppress(OSError):
            if self._fd >= 0:
                os.utime(self._fd)

    @property
    def in_place(self) -> bool:
        """Whether its file is still where others look for it."""
        return leads_to(self._path, self._fd, self._dir_fd)

    def release(self) -> None:
        with self._signing:
            self.drop(unlock=True)

    def drop(self, *, unlock: bool = False) -> None:
        """Close the file; without `unlock` a parent process keeps the lock."""
        fd, self._fd = self._fd, -1
        _held.discard(self)
        if fd < 0:
            return
        if unlock and self._locked:
            with suppress(OSError):
                os.ftruncate(fd, 0)  # or the next holder is taken for this one until it has signed
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


_held: Final[weakref.WeakSet[RunLock]] = weakref.WeakSet()


def _forget() -> None:
    # A forked child, a loader's worker say, shares its parent's locks: were the parent killed,
    # an orphan would keep the run from being resumed.
    for lock in list(_held):
        lock.drop()


os.register_at_fork(after_in_child=_forget)


def held(path: Path) -> bool:
    """Whether a process holds the lock; False too where that can't be known."""
    try:
        fd = os.open(path, os.O_RDONLY | _SAFELY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def holder(path: Path) -> int | None:
    """The process that has the lock, which another was just refused; None if that is not known.

    It has the lock before its number is in the file: until then nothing is there, or the number of
    a process that was killed.
    """
    given_up = time.monotonic() + _PATIENCE
    while True:
        number = _signed(path)
        if number is not None and _alive(number):
            return number
        if time.monotonic() > given_up:
            return None
        time.sleep(_PAUSE)


def answers_at(path: Path) -> tuple[str, str] | None:
    """The host of the lock's holder, and the path of its socket there; None if it has none."""
    _, host, address, *_ = (*_lines(path), "", "", "")
    return (host, address) if address.startswith("/") else None


def host_of(path: Path) -> str:
    """The machine on which the lock's holder runs, or ran until it was killed; "" if unknown."""
    _, host, *_ = (*_lines(path), "", "")
    return host


def refuses(path: Path) -> str:
    """Why the lock's holder answers nobody; "" if it does, or is still to say so."""
    _, _, address, *_ = (*_lines(path), "", "", "")
    return "" if address.startswith("/") else address


def _lines(path: Path) -> list[str]:
    """What is written in a lock's file."""
    try:
        fd = os.open(path, os.O_RDONLY | _SAFELY)
        try:
            return os.fsdecode(os.read(fd, 1024)).split("\n")
        finally:
            os.close(fd)
    except OSError:
        return []


def _signed(path: Path) -> int | None:
    """The number in a lock's file."""
    text, *_ = (*_lines(path), "")
    known = text.isascii() and text.isdecimal() and len(text) <= 10
    return int(text) or None if known else None


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # another user's
        return True
    except (OSError, OverflowError):
        return False
    return True
