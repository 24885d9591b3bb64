"""A folder that is held open: it stays the same one when somebody renames or moves it."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from pathlib import Path
from typing import Final

from .files import leads_to

_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class OpenFolder:
    """One folder. What is opened relative to `fd` is in it, wherever it is by then.

    Raises:
        OSError: it can't be opened, or is a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        """Where it was when somebody looked last."""
        self.fd = os.open(path, _FLAGS)
        """Stays the same number as long as this is open."""

    def follow(self) -> bool:
        """Find out where it is by now; False if it was deleted.

        Raises:
            OSError: its file system doesn't answer.
        """
        found = next((path for path in (self.path, _told(self.fd)) if self._is_at(path)), None)
        if found is not None:
            self.path = found
            return True
        try:
            with os.scandir(self.fd) as entries:  # a deleted one is empty for good
                return any(True for _ in entries)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ESTALE}:
                return False
            raise

    def become(self, path: Path) -> None:
        """Be another folder from now on. Raises OSError if that can't be opened."""
        fd = os.open(path, _FLAGS)
        os.dup2(fd, self.fd, inheritable=False)
        os.close(fd)
        self.path = path

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _is_at(self, path: Path | None) -> bool:
        return path is not None and leads_to(path, self.fd)


def _told(fd: int) -> Path | None:
    """The path of an open folder as the system tells it; None if it doesn't."""
    try:
        if sys.platform == "darwin":
            return Path(os.fsdecode(fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
        return Path(f"/proc/self/fd/{fd}").readlink()
    except OSError:
        return None
