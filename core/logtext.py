"""Batches and epochs as lines of a log. Run as a program, it writes them for another process.

That program knows nothing but the standard library: it is there, and away again, in no time.
"""

from __future__ import annotations

import json
import marshal
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from struct import Struct
from typing import Any, BinaryIO, Final
from zlib import crc32

ROW: Final = 6
"""Numbers of a batch, one after the other: epoch, batch, batches_done, loss, lr, elapsed."""
_PACKED: Final = Struct("=qqqddd")
SIZE: Final = _PACKED.size
"""Bytes of a batch while it waits: as objects its numbers would take four times as many."""
pack: Final = _PACKED.pack
"""Those bytes from the `ROW` numbers."""
LENGTH: Final = 4
"""Bytes that tell how many follow, between the two processes."""
_BATCH: Final = (
    b'{"type":"batch","epoch":%d,"batch":%d,"batches_done":%d,"loss":%a,"lr":%a,"elapsed":%.6f\n'
)

EPOCH: Final = (
    "type",
    "epoch",
    "batches",
    "batches_done",
    "train_loss",
    "val_loss",
    "val_metric",
    "metrics",
    "best_metric",
    "best_epoch",
    "best_val_loss",
    "seconds",
    "batches_per_second",
    "lr",
    "elapsed",
)
"""The fields of an epoch's line."""

Record = dict[str, Any]
Numbers = tuple[Any, ...]


class _Null:
    """What JSON writes for a number that is none."""

    def __repr__(self) -> str:
        return "null"


_NULL: Final = _Null()
encode: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
"""One line of strict JSON, in ASCII.

Raises:
    TypeError, ValueError: JSON has no such thing, such as NaN.
"""


def seal(body: bytes) -> bytes:
    """A line of the log from a JSON object in ASCII that lacks its closing brace."""
    return b'%b,"crc":"%08x"}\n' % (body, crc32(body))


def finite(numbers: Numbers) -> Numbers:
    """The same, with what JSON calls null for NaN and infinity; to be formatted with %a."""
    if math.isfinite(sum(numbers)):
        return numbers
    return tuple(number if math.isfinite(number) else _NULL for number in numbers)


def unpack(packed: bytes | bytearray) -> list[Any]:
    """The numbers of all these batches, one after the other."""
    return list(chain.from_iterable(_PACKED.iter_unpack(packed)))


def batches_done(packed: bytes | bytearray) -> int:
    """By the last of these batches."""
    return int(_PACKED.unpack_from(packed, len(packed) - SIZE)[2])


def batches(rows: Sequence[Any]) -> list[bytes]:
    """A line for each batch, `ROW` numbers each. Together they take half the time of one by one."""
    count = len(rows) // ROW
    return [seal(body) for body in (_BATCH * count % finite(tuple(rows))).split(b"\n")[:-1]]


def epoch(values: Sequence[Any]) -> bytes:
    """A line for an epoch, from its values in the order of `EPOCH`: plain numbers, None, and a
    dict of them under names that are clean.
    """
    record = dict(zip(EPOCH, values, strict=True))
    try:
        return seal(encode(record)[:-1].encode())
    except ValueError:
        return seal(encode(_without_nan(record))[:-1].encode())


def _without_nan(record: Record) -> Record:
    return {
        name: _without_nan(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in record.items()
    }


def text(
    packed: bytes,
    between: Iterable[tuple[int, Any]],
    lines_of: Callable[[Sequence[Any]], list[bytes]] = batches,
    line_of: Callable[[Any], bytes] = epoch,
) -> bytes:
    """All lines of some batches, and of what stands between them, such as epochs: each with how
    many of the batches it is behind.
    """
    lines: list[bytes] = []
    rows, at = unpack(packed), 0
    for place, one in between:
        lines += lines_of(rows[at * ROW : place * ROW])
        lines.append(line_of(one))
        at = place
    lines += lines_of(rows[at * ROW :])
    return b"".join(lines)


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer `text`'s arguments with its lines until nobody asks any more."""
    while head := asked.read(LENGTH):
        # From our own parent, through a pipe that nobody else holds.
        packed, epochs = marshal.loads(asked.read(int.from_bytes(head, "big")))
        lines = text(packed, epochs)
        answers.write(len(lines).to_bytes(LENGTH, "big") + lines)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
