"""Pictures of the watch screen, compared with those that were looked at and found good."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fivestep.core.snapshot import Outcome, State

Make = Callable[..., Any]
FAILURE = Outcome(
    State.FAILED,
    "the loss is nan, noticed before backward",
    "epoch 7, batch 32, before backward",
    "Lower the learning rate (--lr), or clip the gradients (clip_norm = 1.0).",
    'Traceback (most recent call last):\n  File "session.py"\nNonFiniteLossError: the loss is nan',
)


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day in UTC; colours whatever the environment says."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("kind", "keys", "size", "theme"),
    [
        ("loading", (), (120, 36), "dark"),
        ("running", (), (80, 24), "dark"),
        ("running", (), (120, 36), "dark"),
        ("running", (), (120, 36), "light"),
        ("running", (), (200, 50), "dark"),
        ("paused", (), (80, 24), "light"),
        ("paused", ("down",), (120, 36), "dark"),
        ("finished", (), (120, 36), "light"),
        ("finished", (), (200, 50), "light"),
        ("failed", (), (80, 24), "dark"),
        ("failed", ("T",), (120, 36), "dark"),
        ("running", ("question_mark",), (120, 36), "light"),
        ("running", ("q",), (80, 24), "dark"),
        ("running", ("w", "l"), (120, 36), "dark"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_picture(
    snap_compare: Callable[..., bool],
    make_app: Make,
    make_source: Make,
    make_picture: Make,
    kind: str,
    keys: tuple[str, ...],
    size: tuple[int, int],
    theme: str,
) -> None:
    source = make_source(make_picture())
    if kind == "loading":
        source.snapshot = source.step = None
    elif kind == "paused":
        source.snapshot = make_picture(state=State.PAUSED)
    elif kind == "finished":
        source.snapshot = make_picture(900, state=State.FINISHED, eta=None)
        source.outcome = Outcome(State.FINISHED, "20 epochs trained")
    elif kind == "failed":
        nan = float("nan")
        recent = (*make_picture().recent, nan)
        source.snapshot = make_picture(state=State.FAILED, loss=nan, recent=recent)
        source.outcome = FAILURE
    app = make_app(source, theme=f"fivestep-{theme}")
    assert snap_compare(app, press=keys, terminal_size=size)
