"""Batches and epochs as lines of a log. Run as a program, it writes them for another process.

That program knows nothing but the standard library: it is there, and away again, in no time.
"""

from __future__ import annotations

import json
import marshal
import math
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from operator import sub
from typing import Any, BinaryIO, Final, NamedTuple
from zlib import crc32

LENGTH: Final = 4
"""Bytes that tell how many follow, between the two processes."""
_BATCH: Final = (
    b'{"type":"batch","epoch":%d,"batch":%%d,"batches_done":%%d,"loss":%%a,"lr":%a,'
    b'"elapsed":%%.6f\n'
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
Numbers = Sequence[Any]


class Span(NamedTuple):
    """Batches in a row, of one epoch and one learning rate, by what the first of them has.

    `began` is what their clock showed when the run had taken no time yet.
    """

    epoch: int
    batch: int
    batches_done: int
    lr: float
    began: float

    def onward(self, count: int) -> Span:
        """The same without so many at the beginning."""
        epoch, batch, done, lr, began = self
        return Span(epoch, batch + count, done + count, lr, began)


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


def batches(span: Span, losses: Numbers, times: Numbers) -> list[bytes]:
    """A line for each batch of a span, by what it lost and when it was done. Together they take
    half the time of one by one.
    """
    epoch, batch, done, lr, began = span
    count = len(losses)
    rows = zip(
        range(batch, batch + count),
        range(done, done + count),
        finite(losses),
        map(sub, times, repeat(began)),
        strict=True,
    )
    line = _BATCH % (epoch, *finite((lr,)))
    bodies = (line * count % tuple(chain.from_iterable(rows))).split(b"\n")
    return [seal(body) for body in bodies[:-1]]


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
    losses: Numbers,
    times: Numbers,
    told: Iterable[tuple[int, Any]],
    lines_of: Callable[[Span, Numbers, Numbers], list[bytes]] = batches,
    line_of: Callable[[Any], bytes] = epoch,
) -> bytes:
    """All lines of some batches, and of what stands between them, such as epochs.

    Args:
        losses: of each batch.
        times: when each was done.
        told: in order, spans and what makes a line of its own, each with how many of the batches
            it is behind. Every batch belongs to the last span before it.
        lines_of: the lines of a span.
        line_of: the line of something else.
    """
    lines: list[bytes] = []
    span, at = Span(0, 0, 0, math.nan, 0.0), 0
    for place, one in (*told, (len(losses), None)):
        if place > at:
            lines += lines_of(span, losses[at:place], times[at:place])
            span, at = span.onward(place - at), place
        if isinstance(one, Span):
            span = one
        elif one is not None:
            lines.append(line_of(one))
    return b"".join(lines)


def ask(losses: Numbers, times: Numbers, told: Iterable[tuple[int, Sequence[Any]]]) -> bytes:
    """`text`'s arguments for `serve`: spans, and values of epochs."""
    packed = [array("d", numbers).tobytes() for numbers in (losses, times)]
    asks: Any = (*packed, [(place, tuple(one)) for place, one in told])
    asked = marshal.dumps(asks, 2)  # later formats look for objects that are shared
    return len(asked).to_bytes(LENGTH, "big") + asked


def serve(asked: BinaryIO, answers: BinaryIO) -> None:
    """Answer what `ask` gives with `text`'s lines until nobody asks any more."""
    while head := asked.read(LENGTH):
        # From our own parent, through a pipe that nobody else holds.
        *packed, told = marshal.loads(asked.read(int.from_bytes(head, "big")))
        losses, times = (array("d", numbers).tolist() for numbers in packed)
        # An epoch's first value is its type, a span's is a number.
        told = [(place, one if isinstance(one[0], str) else Span(*one)) for place, one in told]
        lines = text(losses, times, told)
        answers.write(len(lines).to_bytes(LENGTH, "big") + lines)
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
