"""Lines on stdout and stderr, and the exit codes that a process ends with."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from ..render.format import clean

FAILED: Final = 1
"""Exit code of a run that failed, or whose output was lost."""
REFUSED: Final = 2
"""Exit code for wrong usage and for a recipe that can't be used."""
BROKE: Final = 3
"""Exit code where a breakpoint of the command line ended the run."""
UNKEPT: Final = 4
"""Exit code of a run that has ended, and of which not all could be written to the disk."""
NOBODY_READS: Final = 141
"""Exit code of any command whose reader goes away (128 + SIGPIPE): `fivestep ... | head -1`."""
LINGER: Final = 10.0
"""Seconds that one of several processes leaves to the one that says why they all end."""
LIMIT: Final = 1 << 16
"""Bytes that wait at most; who adds more writes them at once."""


@contextlib.contextmanager
def warnings_once() -> Iterator[None]:
    """Let each of Python's warnings be shown once.

    Python sees to that itself, but forgets what was shown whenever anybody, such as torch, changes
    for a moment what is shown.
    """
    show, shown = warnings.showwarning, set[tuple[str, str, int]]()

    def once(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        key = (str(message), filename, lineno)
        if key not in shown:
            shown.add(key)
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = once
    try:
        yield
    finally:
        warnings.showwarning = show


class Output:
    """Text on its way to a stream, written whole. A broken stream never raises, it is noted.

    Any thread may write. A slow reader holds the writer up, so nothing piles up here.

    Args:
        stream: takes bytes, and may take fewer than it is given.
        encoding: what the stream's bytes mean; what can't be encoded becomes "?".
    """

    def __init__(self, stream: Any, encoding: str = "utf-8") -> None:
        self._stream, self._encoding = stream, encoding
        self._waiting = bytearray()
        self._lock = threading.Lock()
        self.gone = False
        """Whether the reader went away: nobody will read any more."""
        self.error: OSError | None = None
        """The first other thing that kept lines from being written."""

    def write(self, text: str) -> None:
        """Add text; it is written once there is enough of it, or at the next `flush`."""
        with self._lock:
            if self.gone:
                return
            self._waiting += text.encode(self._encoding, "replace")
            if len(self._waiting) >= LIMIT:
                self._flush()

    def flush(self) -> None:
        """Write what waits. What can't be written now is dropped."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                written = self._stream.write(self._waiting)
                if written is None:  # a pipe that does not block: wait for room
                    select.select([], [self._stream], [])
                else:
                    del self._waiting[:written]
            self._stream.flush()
        except OSError as error:
            self.gone = self.gone or error.errno in (errno.EPIPE, errno.ESHUTDOWN)
            self.error = self.error or (None if self.gone else error)
            self._waiting.clear()

    def leave(self, last: bytes = b"") -> None:
        """A last word, straight to the stream, from a signal handler: takes no lock."""
        with contextlib.suppress(OSError):
            self._stream.write(last)

    @property
    def fd(self) -> int | None:
        return _fd(self._stream)

    @property
    def is_terminal(self) -> bool:
        """Whether lines can be rewritten in place there."""
        return self.fd is not None and os.isatty(self.fd) and os.environ.get("TERM") != "dumb"

    @property
    def columns(self) -> int:
        try:
            return os.get_terminal_size(self.fd or 1).columns or 80
        except (OSError, ValueError):
            return 80


def stdout() -> Output:
    """The process's stdout, past Python's own buffer."""
    return Output(_binary(sys.stdout), getattr(sys.stdout, "encoding", None) or "utf-8")


@contextlib.contextmanager
def records_only() -> Iterator[Output]:
    """Stdout for records; whatever else prints meanwhile, C code too, goes to stderr."""
    if _fd(sys.stdout) != 1:  # something stands in for it
        output = stdout()
        with contextlib.redirect_stdout(sys.stderr):
            yield output
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "wb", buffering=0) as stream:
            yield Output(stream)
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def on_a_terminal() -> bool:
    """Whether there is a screen to draw on and a keyboard to listen to."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return os.environ.get("TERM") != "dumb" and all(s is not None and s.isatty() for s in streams)


def open_missing_streams() -> None:
    """Give stdin, stdout and stderr a place if they were closed.

    Otherwise the next file to be opened would get the number 1 and every print with it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _binary(stream: Any) -> Any:
    """The rawest form of a text stream."""
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
    buffer = stream.buffer
    return getattr(buffer, "raw", buffer)


def _fd(stream: Any) -> int | None:
    try:
        number = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
    return number if isinstance(number, int) else None


def let_first_speak() -> None:
    """Several processes end, and the first of them says why: leave it the time. As soon as it has
    ended, torchrun ends this one.
    """
    threading.Event().wait(LINGER)


class _Voice:
    """Where a process complains, and in whose name, if not in that of all."""

    name = ""
    stream: TextIO | None = None
    on_a_terminal = False


def leave_it_to_first(name: str) -> None:
    """Of several processes this is not the first: from now on it prints nothing but its complaints,
    with its name before them.
    """
    _Voice.on_a_terminal = on_a_terminal()
    _Voice.name = name
    _Voice.stream = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(nowhere, fd)
    os.close(nowhere)


def first_draws() -> None:
    """The first process draws a screen on the terminal, if that is one: complaints are from now on
    for torchrun alone, which tells them once the screen is gone.
    """
    if _Voice.on_a_terminal:
        _Voice.stream = sys.stderr


def complain(text: str) -> None:
    """One line on stderr."""
    text = clean(text)
    if _Voice.name:
        text = f"{_Voice.name}: {text}"
        with contextlib.suppress(OSError, KeyError):  # torchrun reads it when the process has ended
            file = Path(os.environ["TORCHELASTIC_ERROR_FILE"])
            file.write_text(json.dumps({"message": text}), encoding="utf-8")
    with contextlib.suppress(OSError):
        print(f"fivestep: {text}", file=_Voice.stream or sys.stderr, flush=True)


def tell_left(what: str, when: str = " before the first batch") -> None:
    """One line on stderr of a process that is interrupted, from a signal handler too: it takes no
    lock.
    """
    if not _Voice.name:
        with contextlib.suppress(OSError):
            text = f"fivestep: interrupted{when}; {clean(what)}\n"
            os.write(2, text.encode(errors="replace"))


def print_traceback(text: str, wanted: bool) -> None:
    """A traceback on stderr, if it is wanted."""
    if wanted:
        with contextlib.suppress(OSError):
            print(clean(text, lines=True), file=_Voice.stream or sys.stderr, flush=True)


def written(output: Output, text: str = "") -> int:
    """Write this, and all that waits; the exit code that a command's output leaves: 0 unless
    something of it was lost.
    """
    output.write(text)
    output.flush()
    if output.gone:
        return NOBODY_READS
    if output.error is None or output.error.errno == errno.EIO:  # EIO: the terminal is gone
        return 0
    complain(f"some lines could not be written: {output.error.strerror or output.error}")
    return FAILED
