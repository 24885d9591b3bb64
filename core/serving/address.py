"""Where a run listens: a Unix socket in a private folder of the user's, and who is at its end."""

from __future__ import annotations

import errno
import os
import pwd
import secrets
import socket
import stat
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..protocol.commands import Sender

LONGEST: Final = 100
"""Bytes of a socket's path that every system takes."""
WAITING: Final = 16
"""Connections that may wait to be accepted."""
UNBORN: Final = 60.0
"""Seconds after which a socket that never listened belongs to nobody."""
NO_FOLDER: Final = (
    "XDG_RUNTIME_DIR and TMPDIR name no folder whose path is short enough for a socket"
)
_SUFFIX: Final = ".sock"
CARD: Final = ".json"
"""What stands in the place of that in the name of a card, see `cards`."""
MEETING: Final = ".meet"
"""At the end of the name of a link to a socket."""


def listen() -> tuple[socket.socket, Path]:
    """A new socket that listens, under a name that no other has ever had, and its path.

    Raises:
        OSError: no folder is to be had that is the user's alone.
    """
    refused: OSError | None = None
    for folder in folders():
        try:
            _make_private(folder)
            return _bind(folder)
        except OSError as error:
            refused = error
    if refused is None:
        raise OSError(errno.ENAMETOOLONG, NO_FOLDER)
    return _bind(Path(tempfile.mkdtemp(prefix="fivestep-")))


def folders() -> Iterator[Path]:
    """Where sockets may be, the best place first; each short enough for a socket's path."""
    places = [Path(tempfile.gettempdir(), f"fivestep-{os.geteuid()}")]
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    if runtime.startswith("/") and Path(runtime).is_dir():
        places.insert(0, Path(runtime, "fivestep"))
    for place in places:
        if len(os.fsencode(place)) + 32 <= LONGEST:
            yield place


def _make_private(folder: Path) -> None:
    """Make a folder that nobody else may enter, or see that it is one. Raises OSError."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not is_private(folder):
        raise OSError(errno.EACCES, "not a private folder", str(folder))


def meeting_place() -> Path:
    """A path in a private folder, for a link to the socket of a run that is to come.

    Raises:
        OSError: there is no such folder.
    """
    for folder in folders():
        _make_private(folder)
        return folder / f"{secrets.token_hex(8)}{MEETING}"
    raise OSError(errno.ENAMETOOLONG, NO_FOLDER)


def is_private(folder: Path) -> bool:
    """Whether it is a folder of the user's that nobody else may enter."""
    try:
        about = folder.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid()
    return ours and not about.st_mode & 0o077


def _bind(folder: Path) -> tuple[socket.socket, Path]:
    """Listen first, take the final name then: what has one and refuses to connect is dead."""
    name = secrets.token_hex(8)
    unborn, path = folder / f".{name}", folder / f"{name}{_SUFFIX}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(str(unborn))
        unborn.chmod(0o600)
        listener.listen(WAITING)
        unborn.rename(path)
    except OSError:
        listener.close()
        with suppress(OSError):
            unborn.unlink()
        raise
    return listener, path


def sweep(folder: Path) -> None:
    """Remove the sockets of processes that were killed, and what stands beside them."""
    with suppress(OSError):
        for path in folder.iterdir():
            orphan = path.suffix == CARD and not path.with_suffix(_SUFFIX).exists()
            if orphan or (path.suffix == MEETING and not path.exists()):
                path.unlink(missing_ok=True)
                continue
            about = path.lstat()
            unborn = path.name.startswith(".") and time.time() - about.st_mtime > UNBORN
            named = path.name.endswith(_SUFFIX) and not path.name.startswith(".")
            if stat.S_ISSOCK(about.st_mode) and (named or unborn) and is_dead(path):
                remove(path)


def remove(path: Path) -> None:
    """Remove a socket, and its card. Raises OSError."""
    path.with_suffix(CARD).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def is_dead(path: Path) -> bool:
    """Whether the process that has made this socket has ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path)) == errno.ECONNREFUSED


def peer(connection: socket.socket) -> Sender | None:
    """Who is at the other end; None if it is another user.

    Where the system does not tell, the private folder has kept others away, and `pid` is 0.
    """
    pid, uid = 0, os.geteuid()
    if hasattr(socket, "SO_PEERCRED"):
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, _ = struct.unpack("iII", told)
    if uid != os.geteuid():
        return None
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return Sender(user, pid, socket.gethostname())
