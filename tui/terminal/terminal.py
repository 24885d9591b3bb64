"""The terminal that the process was started on: written to, left as it was, done without."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import termios
import time
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final

LEAVING: Final = (
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l"  # bracketed paste off, line wrap on, no reports of its size
    b"\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"  # the mouse
    b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l"  # keys, the other screen, the cursor, focus
)
"""Takes back what a screen of Textual asks of a terminal."""
TRIES: Final = 20
"""How often a terminal that takes nothing is tried, 10 ms apart, before the process ends."""


class Surviving(io.FileIO):
    """A terminal to write to that may go away: what can't be written then is dropped."""

    silent: ClassVar = False
    """Set once nothing more may be drawn: the terminal is the person's again."""
    sent: ClassVar = 0
    """Bytes to the terminal so far."""

    def write(self, data: Any) -> int:
        Surviving.sent += memoryview(data).nbytes
        try:
            return len(data) if self.silent else super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return memoryview(data).nbytes


def stream_to(fd: int) -> io.TextIOWrapper:
    """A stream of text to a descriptor of its own that survives the terminal."""
    raw = Surviving(os.dup(fd), "w")
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="replace")


def forget_size() -> None:
    """Forget what a shell has left of its window's size: the terminal knows its own."""
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)


def is_gone(fd: int = 0) -> bool:
    """Whether what was a terminal is none any more: it was closed."""
    return not os.isatty(fd)


def in_background(fd: int = 0) -> bool:
    """Whether a shell, or another of its jobs, has the terminal at this moment."""
    try:
        return os.tcgetpgrp(fd) != os.getpgrp()
    except OSError:
        return False


def let_go(fds: Iterable[int] = (0, 1, 2)) -> None:
    """Do without the terminal: nothing is ever read from it, what is written goes nowhere.

    A closed terminal is always ready to be read, and would keep whoever waits for it busy.
    """
    reader, _ = os.pipe()  # its writer stays open, so that there is never an end to be read
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in fds:
        os.dup2(nowhere if fd else reader, fd)
    os.close(reader)
    os.close(nowhere)


class Terminals:
    """Those of stdin, stdout and stderr that are terminals."""

    def __init__(self) -> None:
        self._fds = tuple(fd for fd in (0, 1, 2) if not is_gone(fd))

    def went_away(self) -> bool:
        """Whether one was closed since the last call; it is done without from now on."""
        gone = tuple(fd for fd in self._fds if is_gone(fd))
        if gone:
            let_go(gone)
            self._fds = tuple(fd for fd in self._fds if fd not in gone)
        return bool(gone)


@contextlib.contextmanager
def surviving_streams() -> Iterator[None]:
    """Let prints of the process itself survive its terminal: they must not fail in training."""
    kept = sys.stdout, sys.stderr
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream in (sys.__stdout__, sys.__stderr__) and stream.isatty():
            stream.flush()
            raw = Surviving(stream.fileno(), "w", closefd=False)
            made = io.TextIOWrapper(
                io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=True
            )
            setattr(sys, name, made)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = kept


class Settings:
    """The terminal as it was before a screen was drawn on it."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None
        with contextlib.suppress(termios.error):
            self._before = termios.tcgetattr(0)

    @property
    def is_restored(self) -> bool:
        """Whether whoever drew a screen on it has left it as it was."""
        with contextlib.suppress(termios.error):
            return self._before == termios.tcgetattr(0)
        return True

    def restore(self, last_words: str = "") -> None:
        """Leave the terminal as it was, past the screen, and whatever state that is in.

        For the moment before the process ends: nothing is drawn afterwards. May run in a signal
        handler; takes no lock, and waits no longer than a moment for a terminal that hangs.
        """
        Surviving.silent = True
        with contextlib.suppress(OSError):
            _write(LEAVING + last_words.encode("utf-8", "replace"))
        if self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, self._before)


def _write(data: bytes) -> None:
    """All of it to the terminal, through a descriptor that never blocks.

    Raises:
        OSError: there is no terminal, or it takes nothing.
    """
    fd = os.open(os.ttyname(0), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    for _ in range(TRIES):
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            time.sleep(0.01)
        if not data:
            return
