"""A terminal of our own: runs a command in a pty, types keys, and reads what its screen shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Self

import psutil
import pyte
from forked import Forked

Process = subprocess.Popen[bytes] | Forked


class Terminal:
    """A command on a terminal of the given size; `screen` is what a person would see.

    Python begins with torch imported, unless `fresh`.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 120,
        rows: int = 36,
        command: tuple[str, ...] = (sys.executable, "-m", "fivestep"),
        fresh: bool = False,
        **environment: str,
    ) -> None:
        self.master, slave = pty.openpty()
        self.bytes = 0
        """Bytes the command has sent so far."""
        self.sent = b""
        """All of them, while `keep` is set."""
        self.keep = False
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.resize(columns, rows)
        self.before = termios.tcgetattr(slave)
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
        env |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", **environment}
        self.process: Process
        if command[0] == sys.executable and not fresh:
            words = [*command[1:], *arguments]
            self.process = Forked(words, [slave] * 3, env, terminal=True)
        else:
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdin=slave, stdout=slave, stderr=slave, env=env,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
            )  # fmt: skip
        self._slave = slave
        self._open = [self.master, slave]

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        self.screen.resize(rows, columns)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def send(self, data: bytes) -> None:
        """Let these bytes come from the keyboard."""
        os.write(self.master, data)

    def read(self, timeout: float = 0.05, *, draw: bool = True) -> bytes:
        """Take what has been sent within `timeout` seconds, if anything; `screen` shows it."""
        if not select.select([self.master], [], [], timeout)[0]:
            return b""
        with contextlib.suppress(OSError):
            data = os.read(self.master, 1 << 16)
            self.bytes += len(data)
            if self.keep:
                self.sent += data
            if draw:
                self.draw(data)
            return data
        return b""

    def draw(self, data: bytes) -> None:
        """Let `screen` show what was taken before."""
        self._stream.feed(data)

    def rest(self, seconds: float, *, draw: bool = True) -> None:
        """Do nothing but read for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(min(0.01, seconds), draw=draw)

    @property
    def text(self) -> str:
        """The screen's lines."""
        return "\n".join(self.screen.display)

    def until(self, condition: str | Callable[[str], bool], timeout: float = 60.0) -> str:
        """Read until the screen shows the text, or fulfils the condition.

        Raises:
            AssertionError: it never did; the message is the screen.
        """
        found = (lambda text: condition in text) if isinstance(condition, str) else condition
        end = time.monotonic() + timeout
        while not found(self.text):
            self.read()
            gone = self.process.poll() is not None and not self.read(0)
            if time.monotonic() > end or (gone and not found(self.text)):
                raise AssertionError(f"{condition} never came:\n{self.text}")
        return self.text

    def ended(self, timeout: float = 60.0) -> int:
        """Read until the command has ended; its exit code."""
        end = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < end:
            self.read()
        while self.read(0):
            pass
        return self.process.wait(1)

    @property
    def attributes(self) -> list[object]:
        """The terminal's settings, as termios has them."""
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        """Take the terminal away from the command."""
        for fd in self._open:
            os.close(fd)
        self._open.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):  # what a shell has started, too
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        self.process.kill()
        self.process.wait()
        self.close()
