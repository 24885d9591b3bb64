"""A live line that gives way to whatever else is printed beside it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def giving_way(give_way: Callable[[str], None]) -> Iterator[None]:
    """Have `give_way` called with what is about to be printed on stdout or stderr, or by a handler
    of `logging` that writes there, where these are terminals, in the thread that prints.
    """
    guards = [_Guarded(name, give_way) for name in ("stdout", "stderr") if _on_terminal(name)]
    try:
        for guard in guards:
            guard.enter()
        yield
    finally:
        for guard in guards:
            guard.leave()


@contextmanager
def heard(stream: Any, hear: Callable[[str], None]) -> Iterator[None]:
    """Have `hear` called with what is printed on a stream, which stays the same object."""
    write = stream.write

    def hearing(written: str) -> int:
        if isinstance(written, str):
            hear(written)
        return int(write(written))

    with suppress(AttributeError, TypeError):  # whatever a script has put in its place
        stream.write = hearing
    try:
        yield
    finally:
        if getattr(stream, "write", None) is hearing:
            del stream.write


def bare_stream(stream: Any) -> Any:
    """What stands behind those that give way."""
    while isinstance(stream, _Guarded):
        stream = stream.stream
    return stream


class _Guarded:
    """Stands in the place of `sys.stdout` or `sys.stderr`."""

    def __init__(self, name: str, give_way: Callable[[str], None]) -> None:
        self._name, self._give_way = name, give_way
        self.stream = getattr(sys, name)

    def enter(self) -> None:
        setattr(sys, self._name, self)
        _hand_over(self.stream, self)

    def leave(self) -> None:
        """Put the stream back, wherever this one stands by now."""
        now = getattr(sys, self._name)
        if now is self:
            setattr(sys, self._name, self.stream)
        while isinstance(now, _Guarded):  # of another one, which began later and goes on
            if now.stream is self:
                now.stream = self.stream
            now = now.stream
        _hand_over(self, self.stream)

    def write(self, written: str) -> int:
        self._give_way(written)
        return int(self.stream.write(written))

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _on_terminal(name: str) -> bool:
    with suppress(Exception):  # whatever a notebook or a test has put in its place
        return bool(getattr(sys, name).isatty())
    return False


def _hand_over(before: Any, now: Any) -> None:
    """Give every handler of `logging` that writes to one stream another one."""
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):  # a placeholder has none
            if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                handler.setStream(now)
