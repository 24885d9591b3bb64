"""Pictures of runs that are kept, compared with those that were looked at and found good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fivestep.core.protocol.snapshot import Change, Outcome, RunLocation, SavedCheckpoint
from fivestep.core.protocol.steps import State

from ..conftest import NOON, FakeSource, WatchApp, picture

KEPT = RunLocation("runs/digits-cnn", "fivestep resume digits-cnn")
NAN = Outcome(
    State.FAILED,
    "the loss is nan, noticed before backward",
    "epoch 7, batch 32, backward, layer features.4 (Conv2d)",
    "try a lower learning rate, clip the gradients, or look for NaN in the data",
    "Traceback (most recent call last):",
)
UNSAVED = "checkpoint at batch 300 could not be saved: No space left on device; training goes on"
PICTURES: dict[str, dict[str, Any]] = {
    "saved": {"changes": (Change(NOON - 12, 7, 288, "checkpoint saved at batch 288", "save"),)},
    "warned": {"changes": (Change(NOON - 2, 7, 300, UNSAVED, "warning"),)},
    "trouble": {
        "state": State.PAUSED,
        "loss": float("nan"),
        "recent": (0.09, 0.1, float("nan")),
        "trouble": NAN,
    },
    "rewound": {
        "lr_factor": 0.25,
        "changes": (
            Change(NOON - 100, 4, 150, "resumed at epoch 4, after batch 15", "resumed"),
            Change(NOON - 2, 6, 260, "went back from batch 290 to 260, lr ÷2 → 5e-4", "rewind"),
        ),
    },
    "finished": {"state": State.FINISHED, "eta": None},
    "failed": {"state": State.FAILED, "loss": float("nan")},
}
OUTCOMES = {"finished": Outcome(State.FINISHED, "20 epochs trained"), "failed": NAN}


@pytest.mark.usefixtures("same_everywhere")
@pytest.mark.parametrize(
    ("kind", "size", "theme"),
    [
        ("saved", (120, 36), "dark"),
        ("warned", (80, 24), "dark"),
        ("trouble", (120, 36), "light"),
        ("trouble", (80, 24), "dark"),
        ("rewound", (120, 36), "dark"),
        ("finished", (200, 50), "light"),
        ("failed", (80, 24), "light"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_picture(
    snap_compare: Callable[..., bool], kind: str, size: tuple[int, int], theme: str
) -> None:
    source = FakeSource(picture(saved=SavedCheckpoint(288, NOON - 12), **PICTURES[kind]))
    source.outcome = OUTCOMES.get(kind)
    app = WatchApp(source, theme=f"fivestep-{theme}", kept=lambda: KEPT)
    assert snap_compare(app, terminal_size=size)
