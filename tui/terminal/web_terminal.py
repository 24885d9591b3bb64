"""A program on a terminal of its own, for textual-serve: what is typed in a browser, and shown
there, goes through its packets on stdin and stdout. A process, with the program's words behind.

The program is what it is on any terminal; where the page is closed its terminal has gone away.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
from typing import Final

SERVED: Final = (
    *("TEXTUAL", "TEXTUAL_DRIVER", "TEXTUAL_FPS", "TEXTUAL_COLOR_SYSTEM", "TEXTUAL_LOG"),
    *("TERM_PROGRAM", "TERM_PROGRAM_VERSION", "COLUMNS", "ROWS"),
)
"""Variables for a program that speaks in packets itself."""
HEAD: Final = 5
"""Bytes before what a packet holds: its kind, D for data and M for the rest, and its length."""
CHUNK: Final = 1 << 16


def main(words: list[str]) -> None:
    """Run a program until it ends, or the page is closed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    size = int(os.environ.get("ROWS", "24")), int(os.environ.get("COLUMNS", "80"))
    process, terminal = pty.fork()
    if process == 0:
        _resize(0, *size)  # before anybody asks for it
        for name in SERVED:
            os.environ.pop(name, None)
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        os.execvp(words[0], words)
    _write(1, b"__GANGLION__\n")  # textual-serve waits for it
    received = b""
    while True:
        ready, _, _ = select.select([0, terminal], [], [])
        if terminal in ready:
            shown = b""
            with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
                shown = os.read(terminal, CHUNK)
            if not shown:
                _send(b"M", b'{"type": "exit"}')
                return
            _send(b"D", shown)
        if 0 in ready:
            came = os.read(0, CHUNK)
            received += came
            packets, received = _packets(received)
            for kind, content in packets:
                if kind == b"D":
                    _write(terminal, content)
                    continue
                told = json.loads(content)
                if told["type"] == "resize":
                    _resize(terminal, told["height"], told["width"])
                elif told["type"] == "quit":
                    return
            if not came:
                return


def _packets(received: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Kind and content of each whole packet, and what is left."""
    found = []
    while len(received) >= HEAD:
        end = HEAD + int.from_bytes(received[1:HEAD], "big")
        if len(received) < end:
            break
        found.append((received[:1], received[HEAD:end]))
        received = received[end:]
    return found, received


def _send(kind: bytes, content: bytes) -> None:
    _write(1, kind + len(content).to_bytes(4, "big") + content)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _resize(terminal: int, rows: int, columns: int) -> None:
    with contextlib.suppress(struct.error, OSError):  # a size that no terminal has
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


if __name__ == "__main__":
    main(sys.argv[1:])
