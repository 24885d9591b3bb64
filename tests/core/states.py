"""A session's states: waiting for one, and keeping all of them in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from fivestep.core.protocol.snapshot import SavedCheckpoint, Snapshot
from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.training.training import Training


def until(session: Session, condition: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot for which the condition holds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        snapshot = session.snapshot()
        if condition(snapshot):
            return snapshot
    raise AssertionError(f"never came: {snapshot}")


def finished(training: Training, *arguments: Any, **options: Any) -> Session:
    """A session that has trained to its end."""
    session = Session(training, *arguments, **options)
    assert session.run().state is State.FINISHED, session.outcome
    return session


def bare(training: Training) -> Training:
    """The same training by the loop that everybody writes; nobody watches."""
    torch.manual_seed(training.seed)
    for _ in range(training.epochs):
        training.model.train()
        for features, labels in training.batches:
            training.optimizer.zero_grad()
            training.criterion(training.model(features), labels).backward()
            training.optimizer.step()
    return training


class EveryState:
    """In the place of `Persistence`: due at every batch, and at every validation's end."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []
        self.due = 0.0
        self.saved: SavedCheckpoint | None = None
        self.log = None
        self.next_loss: float | None = None
        self.wake = lambda: None
        self.refused: list[str] = []
        self.told = None
        self.rewinds = self.logged = 0

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

    def ended(self, info: object, last: object, verdicts: object) -> None:
        self.told = last


def every_state(training: Training, **options: Any) -> tuple[list[dict[str, Any]], Session]:
    """All states of a run to its end, and its session."""
    keeper = EveryState()
    session = finished(training, saving=keeper, **options)
    return keeper.states, session
