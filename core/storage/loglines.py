"""Lines of a log file: from its beginning, or from its end without reading the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

LONGEST: Final = 1 << 20
"""Bytes of a line; a longer one is damaged."""
_BLOCK: Final = 1 << 16


def lines(file: BinaryIO) -> Iterator[bytes]:
    """Every line without its newline, in bounded memory; of a line too long, pieces of it."""
    while text := file.readline(LONGEST):
        yield text.removesuffix(b"\n")


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


def last_whole(
    file: BinaryIO, unseal: Callable[[bytes], dict[str, Any] | None]
) -> tuple[int, bool]:
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
