"""`RankReader`: what every rank of a machine does now, read over their sockets by one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from ..protocol.rank_times import RankNow
from ..protocol.steps import Step
from .address import is_dead
from .client import RemoteRun, UnreachableError


class RankReader:
    """Reads the other ranks when somebody looks; none of them does anything for it. Those of
    another machine can't be read.

    Args:
        own: what this rank does now.
        addresses: by rank, its host and the path of its socket there; () if this rank reads only
            itself.
    """

    def __init__(
        self, own: Callable[[], RankNow], addresses: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._own, self._addresses = own, tuple(addresses)
        self._others: dict[int, RemoteRun] = {}
        self._since = 0.0
        """When somebody looked first; 0 before that."""
        self._closed = False

    def read(self) -> tuple[RankNow, ...]:
        """Every rank as it answered last, in order; asks all of them anew. Returns at once."""
        if not self._since:
            self._since = perf_counter()
            threading.Thread(target=self._connect, name="fivestep-ranks", daemon=True).start()
        own = self._own()
        if not self._addresses:
            return (own,)
        return tuple(
            own if rank == own.rank else self._other(rank, host, own.host)
            for rank, (host, _) in enumerate(self._addresses)
        )

    def _other(self, rank: int, host: str, here: str) -> RankNow:
        remote = self._others.get(rank)
        answered = remote.ranks() if remote is not None else ()
        if answered:
            return answered[0]
        silent = perf_counter() - self._since if host == here else 0.0
        return RankNow(rank, host, 0, Step.OTHER, silent, 0, (0.0,) * len(Step), 0, silent)

    def _connect(self) -> None:
        """Connect to every rank on this machine."""
        own = self._own()
        for rank, (host, path) in enumerate(self._addresses):
            if rank == own.rank or host != own.host or not path:
                continue
            try:
                remote = RemoteRun(path, watches=False)
            except UnreachableError:  # its rows say that it does not answer
                continue
            self._others[rank] = remote
            if self._closed:
                remote.close()

    def gone(self) -> tuple[int, ...]:
        """The ranks on this machine whose process has ended without a word."""
        here = self._own().host
        return tuple(
            rank
            for rank, (host, path) in enumerate(self._addresses)
            if path and host == here and is_dead(Path(path))
        )

    def close(self) -> None:
        """Leave the other ranks."""
        self._closed = True
        for remote in list(self._others.values()):
            remote.close()
