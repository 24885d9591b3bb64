"""Strict JSON for files that others may have touched: written whole, read within bounds."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from .files import replacing

MOST: Final = 1 << 20
"""Most bytes that are read of a file that is small when nobody has tampered with it."""
DEEPEST: Final = 100
"""Most levels of nesting that are kept."""


def clean(text: str) -> str:
    """`text` on one line, without anything that a terminal could obey."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "" for c in text)


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as strict JSON takes it: NaN and infinity are None, texts are clean.

    Whatever is no number, text, mapping or sequence becomes its text.
    """
    if value is None or isinstance(value, (bool, int)):
        return value if value is None or isinstance(value, bool) else int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return clean(value)
    if depth >= DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {clean(str(key)): plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner, depth + 1) for inner in value]
    return clean(str(value))


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decode: Final = json.JSONDecoder(parse_constant=_refuse).decode


def decode(text: bytes) -> dict[str, Any] | None:
    """The JSON object in `text`; None if it is anything else, or no strict JSON."""
    try:
        found = _decode(text.decode())
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return found if isinstance(found, dict) else None


def open_regular(path: Path) -> BinaryIO:
    """A file, open for reading; a link is not followed, and nothing but a file is waited for.

    Raises:
        OSError: it is not there, no regular file, or a link.
    """
    # Without O_NONBLOCK, opening a pipe that someone has put here would wait for ever.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return open(fd, "rb")  # noqa: PTH123 - of a descriptor


def read_bounded(path: Path, most: int = MOST) -> bytes:
    """What a file holds.

    Raises:
        OSError: like `open_regular`, and if it has more than `most` bytes.
    """
    with open_regular(path) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes")
    return found


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file, its texts clean; None if it is missing, damaged or no object."""
    try:
        found = decode(read_bounded(path))
    except OSError:
        return None
    return None if found is None else dict(plain(found))


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Replace a file by `record`, readable for people; whole, or as it was.

    Raises:
        OSError: the disk refuses it.
    """
    write_whole(path, json.dumps(plain(record), allow_nan=False, indent=2) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Replace a file by `text`; whole, or as it was.

    Raises:
        OSError: the disk refuses it.
    """
    with replacing(path) as fd, open(fd, "wb", closefd=False) as file:
        file.write(text.encode(errors="replace"))
