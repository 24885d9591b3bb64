"""One file of a log: lines of JSON with a check sum in each, appended, read and cut back.

Each line ends in `,"crc":"01234567"}`: the CRC-32 of the bytes before that, in hexadecimal. The
sums are not chained: a damaged line then costs itself only, and its successor stays readable.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final
from zlib import crc32

from .files import decode, leads_to, move_aside, open_own, open_regular, plain, put_copy, refusal

LogRecord = dict[str, Any]
"""A record: its fields by name, `type` first."""

LONGEST: Final = 1 << 20
"""Bytes of a line; a longer one is damaged."""
BOUND: Final = 4 << 20
"""Most bytes kept in memory while the file can't be written."""
NEAR: Final = 16 << 20
"""Bytes at the end of a log in which a batch is looked for."""
_BLOCK: Final = 1 << 16
"""Bytes read at once from the end of a file."""
_AT_ONCE: Final = 512
"""Texts written in one go; systems take 1,024."""
_TAIL: Final = len(b',"crc":"01234567"}')
_encode: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def seal(body: bytes) -> bytes:
    """A line of the log from a JSON object in ASCII that lacks its closing brace."""
    return b'%b,"crc":"%08x"}\n' % (body, crc32(body))


def line(record: Mapping[str, Any]) -> bytes:
    """A record as a line of the log; it needs at least one field."""
    return seal(_encode(plain(record))[:-1].encode())


def unseal(text: bytes) -> LogRecord | None:
    """The record in a line without its newline; None if the line is damaged."""
    body, tail = text[:-_TAIL], text[-_TAIL:]
    if tail != b',"crc":"%08x"}' % crc32(body):
        return None
    record = decode(body + b"}")
    if record is not None and (b"\\" in body or b"\x7f" in body or not body.isascii()):
        return dict(plain(record))  # only these can hide what a terminal obeys
    return record


def lines_backwards(file: BinaryIO, most: int | None = None) -> Iterator[tuple[int, int, bytes]]:
    """Where each line begins and ends, and its text without the newline; the last line first.

    Args:
        file: any position will do.
        most: read no more than about so many bytes; the first line reached may be cut then.

    Yields:
        Instead of a text too long for a line, nothing.
    """
    position = end = stop = file.seek(0, 2)
    rest, dropped = b"", False
    while position > 0 and (most is None or end - position < most):
        begin = max(0, position - _BLOCK)
        file.seek(begin)
        chunk = file.read(position - begin) + rest
        if position == end and chunk.endswith(b"\n"):
            chunk = chunk[:-1]
            stop -= 1
        rest, *whole = chunk.split(b"\n")
        at = begin + len(chunk)
        for text in reversed(whole):
            start = at - len(text)
            yield start, stop, b"" if dropped else text
            at = stop = start - 1
            dropped = False
        if len(rest) > LONGEST or dropped:
            rest, dropped = b"", True
        position = begin
    if end > 0:
        yield position, stop, rest


def loss_after(path: Path, batches_done: int) -> float | None:
    """The loss of the batch behind so many; None where the log does not have it near its end."""
    with contextlib.suppress(OSError), open_regular(path) as file:
        for _, _, text in lines_backwards(file, NEAR):
            record = unseal(text)
            if record is None or record["type"] != "batch":
                continue
            if record["batches_done"] <= batches_done + 1:
                return record["loss"] if record["batches_done"] == batches_done + 1 else None
    return None


def batches_logged(path: Path) -> int:
    """The batches behind the last record of a log; 0 where none near its end says so."""
    with contextlib.suppress(OSError), open_regular(path) as file:
        for _, _, text in lines_backwards(file, NEAR):
            done = (unseal(text) or {}).get("batches_done")
            if isinstance(done, int):
                return done
    return 0


def last_whole(file: BinaryIO) -> tuple[int, bool]:
    """Where the last whole record ends, and whether its newline is there.

    In a file without a single whole record, where the last line ends: it is not ours to empty.
    """
    size = file.seek(0, 2)
    last_line = None
    for start, stop, text in lines_backwards(file):
        if unseal(text) is not None:
            return min(stop + 1, size), stop < size
        if last_line is None:
            last_line = stop + 1 if stop < size else start
    return last_line or 0, True


def read_log(path: Path) -> Iterator[LogRecord]:
    """Every whole record of a log, in order, without its check sum; damaged lines are skipped.

    Raises:
        OSError: the file can't be read.
    """
    with open_regular(path) as file:
        while text := file.readline(LONGEST):  # of a line too long it gives pieces
            record = unseal(text.removesuffix(b"\n"))
            if record is not None:
                yield record


class LogFile:
    """One log, open for appending. Safe to use from several threads, not from signal handlers.

    Writing never raises: lines that the disk refuses stay in memory, up to `bound` bytes, and are
    written as soon as it takes them. What had to be dropped is counted, and a record of the type
    "lost" says how many records are missing where it stands.

    Args:
        path: made if it is not there. What lies behind its last whole record is cut off.
        bound: most bytes kept while nothing can be written.
        dir_fd: the open folder that a relative path is meant from.

    Raises:
        OSError: the file can't be opened.
    """

    def __init__(self, path: Path, bound: int = BOUND, dir_fd: int | None = None) -> None:
        self.path = path
        self.error: str | None = None
        """Why nothing can be written now; None while all is well."""
        self.lost = 0
        """Records dropped so far."""
        self._bound = bound
        self._pending: deque[bytes] = deque()
        """What waits, in whole lines but for the first, of which a part may be written."""
        self._size = 0
        """Bytes of it."""
        self._dropped = 0
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._dir_fd = dir_fd
        self._fd = open_own(path, os.O_APPEND, dir_fd)
        self._mend()

    def append(self, *lines: bytes) -> None:
        """Take in whole lines, one or several in each; the next `flush` writes them."""
        with self._lock:
            if self.error is None:
                for text in lines:
                    self._put(text)
                full = self._size > self._bound
            else:
                for text in b"".join(lines).splitlines(keepends=True):
                    self._squeeze(text)
                full = False
        if full:
            self.flush()

    def _put(self, text: bytes) -> None:
        if text:
            self._pending.append(text)
            self._size += len(text)

    def _squeeze(self, text: bytes) -> None:
        # Once one is dropped all are, so that what is missing is missing at one place.
        if self._dropped or self._size + len(text) > self._bound:
            self._dropped += 1
            self.lost += 1
        else:
            self._put(text)

    def flush(self, *, sync: bool = False) -> bool:
        """Write what is waiting; whether all is written.

        With `sync` it is brought to the disk itself, for the machine may stop too.
        """
        with self._writing:
            if self._fd < 0:
                return not self._pending
            try:
                while texts := self._first():
                    self._written(os.writev(self._fd, texts))
                if sync:
                    os.fsync(self._fd)
            except OSError as error:
                self.error = refusal(error)
                return False
            self.error = None
            return True

    def _first(self) -> list[bytes]:
        with self._lock:
            if not self._pending and self._dropped:
                self._put(line({"type": "lost", "records": self._dropped}))
                self._dropped = 0
            return list(islice(self._pending, _AT_ONCE))

    def _written(self, count: int) -> None:
        """So many bytes are in the file: the next turn begins with what is left of a line."""
        with self._lock:
            self._size -= count
            while count:
                text = self._pending.popleft()
                if len(text) > count:
                    self._pending.appendleft(text[count:])
                count -= min(count, len(text))

    def cut_back(self, keep: Callable[[LogRecord], bool]) -> tuple[int, LogRecord | None]:
        """Drop everything behind the last record that `keep` accepts.

        A cut is one truncation: stopped at any moment, it has happened or has not.

        Returns:
            The bytes that were cut off, and the record that is the last one now.

        Raises:
            OSError: the file can't be read or cut.
        """
        self.flush()
        with self._writing, self._lock:
            waiting = b"".join(self._pending).split(b"\n")[:-1]  # the disk may have refused them
            was, last = self._size, None
            self._pending.clear()
            self._size = 0
            for index in range(len(waiting) - 1, -1, -1):
                last = unseal(waiting[index])
                if last is not None and keep(last):
                    for text in waiting[: index + 1]:
                        self._put(text + b"\n")
                    return was - self._size, last
            with open(self._fd, "rb", closefd=False) as file:
                here = size = os.fstat(self._fd).st_size
                last = None
                for start, stop, text in lines_backwards(file):
                    record = unseal(text)
                    if record is not None and keep(record):
                        here, last = stop + 1, record
                        break
                    if record is not None:  # damaged lines alone are left for a person to look at
                        here = start
            if here < size:
                os.ftruncate(self._fd, here)
                os.fsync(self._fd)
            elif here > size:
                self._put(b"\n")
            return was + size - min(here, size), last

    def put_back(self) -> bool:
        """Where the path no longer leads to the file, put a copy there and go on with that.

        Whatever has taken the path meanwhile is kept beside it.

        Returns:
            Whether it had to.

        Raises:
            OSError: the disk refuses it.
        """
        with self._writing:
            if self._fd < 0 or leads_to(self.path, self._fd, self._dir_fd):
                return False
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                return False
            move_aside(self.path, self._dir_fd)
            put_copy(self._fd, self.path, self._dir_fd)
            fd = open_own(self.path, os.O_APPEND, self._dir_fd)
            os.dup2(fd, self._fd, inheritable=False)
            os.close(fd)
            return True

    def close(self) -> None:
        """Write what is left, and leave no torn line behind if that can't be done."""
        if self._fd < 0:
            return
        if not self.flush(sync=True):
            self.lost += b"".join(self._pending).count(b"\n")
            self._mend()
        os.close(self._fd)
        self._fd = -1

    def _mend(self) -> None:
        """Cut off what lies behind the last whole record."""
        try:
            with open(self._fd, "rb", closefd=False) as file:
                size = os.fstat(self._fd).st_size
                end, ended = last_whole(file)
            if end < size:
                os.ftruncate(self._fd, end)
            if not ended:
                self._put(b"\n")  # only its newline is missing
        except OSError as error:
            self.error = refusal(error)
