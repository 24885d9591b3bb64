"""A second process that puts the log into words, where the training's own can't spare the time.

Python lets one thread of a process run at a time: a small model trains twenty thousand batches a
second, and to format their lines, in whatever thread, takes several per cent of its time.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from . import log_text as logtext
from .log_text import LENGTH, Numbers, ask

PATIENCE: Final = 5.0
"""Seconds after which a scribe that does not answer is given up."""


class Scribe:
    """Formats lines elsewhere; it keeps nothing, so that nothing is lost with it.

    Raises:
        OSError: there can be no second process here.
    """

    def __init__(self) -> None:
        python = sys.executable
        # Where Python is part of another program, that name is another program's.
        if os.name != "posix" or "python" not in Path(python or "").name:
            raise OSError("no interpreter to run a second process with")
        self._here, there = socket.socketpair()
        with there:
            try:
                self._process = subprocess.Popen(
                    [python, "-I", "-S", str(Path(logtext.__file__))],
                    stdin=there.fileno(),
                    stdout=there.fileno(),
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl+C is for the training, which may want more lines
                )
            except OSError:
                self._here.close()
                raise
        self.wait_at_most(PATIENCE)

    def wait_at_most(self, seconds: float) -> None:
        """Give an answer so much time. The system counts it: a timeout of Python's own would take
        the interpreter's lock for every piece that arrives.
        """
        whole, part = divmod(round(seconds * 1e6), 1_000_000)
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            self._here.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", whole, part))

    def text(
        self, losses: Numbers, times: Numbers, told: Iterable[tuple[int, Sequence[Any]]]
    ) -> bytes:
        """What `logtext.text` gives.

        Args:
            losses: of each batch.
            times: when each was done.
            told: spans, and the values of epochs.

        Raises:
            OSError: the scribe is gone, or does not answer.
        """
        self._here.sendall(ask(losses, times, told))
        return self._receive(int.from_bytes(self._receive(LENGTH), "big"))

    def _receive(self, count: int) -> bytes:
        found = self._here.recv(count, socket.MSG_WAITALL) if count else b""
        if len(found) < count:
            raise ConnectionResetError("the scribe is gone")
        return found

    def close(self) -> None:
        """Let it go."""
        self._here.close()
        self._process.kill()
        self._process.wait()
