"""A live line that gives way to whatever else is printed beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO


@contextmanager
def giving_way(give_way: Callable[[str], None]) -> Iterator[None]:
    """Have `give_way` called with what is about to be printed on stdout or stderr, where these are
    terminals, in the thread that prints.
    """
    guards: list[tuple[str, _Guarded]] = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream.isatty():
            guards.append((name, _Guarded(stream, give_way)))
            setattr(sys, name, guards[-1][1])
    try:
        yield
    finally:
        for name, guard in guards:
            if getattr(sys, name) is guard:
                setattr(sys, name, guard.stream)


class _Guarded:
    def __init__(self, stream: TextIO, give_way: Callable[[str], None]) -> None:
        self.stream, self._give_way = stream, give_way

    def write(self, written: str) -> int:
        self._give_way(written)
        return self.stream.write(written)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
