"""Everything that the run prints, caught at the file descriptors so that nothing is drawn over."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

from .terminal import stream_to

LONGEST: Final = 4000
"""Characters of one line; what a program prints without ever ending its line is cut here."""


class LineSplitter:
    """Cuts a stream of text into lines. A line that a carriage return rewrites counts once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._rest = ""

    def feed(self, text: str) -> None:
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._emit(line.removesuffix("\r").rpartition("\r")[2])
        if len(self._rest) > LONGEST:
            self._rest = self._rest.rpartition("\r")[2]
            if len(self._rest) > LONGEST:
                self._emit(self._rest)
                self._rest = ""

    def close(self) -> None:
        """Say the last line, which has no end."""
        self._emit(self._rest.rstrip("\r").rpartition("\r")[2])
        self._rest = ""

    def _emit(self, line: str) -> None:
        if line.strip():
            self._say(line[:LONGEST])


@contextlib.contextmanager
def captured(say: Callable[[str], None]) -> Iterator[None]:
    """Send what is written to descriptors 1 and 2 to `say`, a line at a time, from a thread.

    Prints, warnings, logging and C code alike. `sys.__stdout__` and `sys.__stderr__` meanwhile
    reach the terminal: that is where the screen is drawn, and its size is asked for there.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(1), os.dup(2)]
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    os.close(writer)
    thread = threading.Thread(target=_read, args=(reader, say), name="fivestep-output", daemon=True)
    thread.start()
    streams = sys.__stdout__, sys.__stderr__
    sys.__stdout__, sys.__stderr__ = (stream_to(fd) for fd in kept)  # type: ignore[misc]
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        drawn = sys.__stdout__, sys.__stderr__
        sys.__stdout__, sys.__stderr__ = streams  # type: ignore[misc]
        for screen in drawn:
            with contextlib.suppress(OSError):
                if screen is not None:
                    screen.close()
        for fd, original in zip((1, 2), kept, strict=True):
            os.dup2(original, fd)  # the pipe's last writers close: its reader comes to the end
            os.close(original)
        thread.join(1.0)  # a child process may hold the pipe open for longer; it is not waited for


def print_to_descriptors() -> None:
    """Point Python's own streams at descriptors 1 and 2, past what a screen put in their place."""
    for fd, name in ((1, "stdout"), (2, "stderr")):
        raw = io.FileIO(fd, "w", closefd=False)
        text = io.TextIOWrapper(raw, encoding="utf-8", errors="replace", write_through=True)
        setattr(sys, name, text)


def _read(fd: int, say: Callable[[str], None]) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    lines = LineSplitter(say)
    with contextlib.suppress(OSError):
        while chunk := os.read(fd, 1 << 16):
            lines.feed(decoder.decode(chunk))
    lines.close()
    os.close(fd)
