"""Keeps a run's state after every batch, in memory: for tests of going on from any of them."""

from __future__ import annotations

from typing import Any

from fivestep.core.protocol.snapshot import SavedCheckpoint


class EveryState:
    """In the place of `Persistence`: due at every batch, and at every validation's end."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []
        self.due = 0.0
        self.saved: SavedCheckpoint | None = None
        self.log = None
        self.wake = lambda: None
        self.refused: list[str] = []
        self.told = None
        self.rewinds = 0

    def save(self, kind: str, state: dict[str, Any]) -> None:
        self.states.append(state)

    def refuse(self, why: str) -> None:
        self.refused.append(why)

    def after_epoch(self, epoch: int, *, best: bool) -> tuple[str, ...]:
        return ()

    def take_notices(self) -> list[tuple[str, str]]:
        return []

    def newest(self) -> dict[str, Any] | None:
        return self.states[-1] if self.states else None

    def rewound(self, state: dict[str, Any]) -> None:
        self.rewinds += 1

    def finish(self) -> None: ...

    def ended(self, info: object, last: object) -> None:
        self.told = last
