"""Pictures of the watch screen, compared with those that were looked at and found good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from rank_rows import before, late_data, rank  # tests is on the path

from fivestep.core.protocol.diagnosis import VerdictInputs
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.inside import (
    BatchFacts,
    DecisionMap,
    Difference,
    Histogram,
    Inside,
    LayerRow,
    TensorFact,
)
from fivestep.core.protocol.snapshot import Change, Outcome
from fivestep.core.protocol.steps import State, Step

from ..conftest import NOON, FakeSource, WatchApp, picture

FAILURE = Outcome(
    State.FAILED,
    "the loss is nan, noticed before backward",
    "epoch 7, batch 32, before backward",
    "Lower the learning rate (--lr), or clip the gradients (clip_norm = 1.0).",
    'Traceback (most recent call last):\n  File "/own/data.py", line 34, in __getitem__\n'
    "    return self.images[i] / 0\nNonFiniteLossError: the loss is nan",
    "/own/data.py:34 in __getitem__",
)
NORMS = {"features.0": 0.98, "features.1": 0.1021, "features.4": 3.06, "head": 3.6}


def inside_after_backward() -> Inside:
    """What the table and the code show once backward was taken."""
    spread = Histogram(-0.5, 0.5, tuple(range(10)) + tuple(range(10, 0, -1)))
    before = [
        LayerRow(name, kind, "20x1x3x3", 200, 2.733, None, 1e-3, 0.7, None, spread, None)
        for name, kind in zip(NORMS, ("Conv2d", "BatchNorm2d", "Conv2d", "Linear"), strict=True)
    ]
    after = [replace(row, grad_norm=NORMS[row.name], editions=(1, 2)) for row in before]
    rows = zip(before, after, strict=True)
    return Inside(
        layers=tuple(after),
        differences=tuple(Difference(a, b, "unchanged", "filled") for a, b in rows),
        batch=BatchFacts(
            (TensorFact("", "float32", (32, 1, 8, 8)),),
            (TensorFact("", "int64", (32,)),),
            (TensorFact("", "float32", (32, 10)),),
            0.0832,
            None,
            *(6, 31, 301, 9632, 301),
        ),
        views=(("decisions", "decision map"),),
        view="decisions",
        picture=decisions(),
    )


def decisions() -> DecisionMap:
    """Two classes with a slanted border between them."""
    grid = [(x - 20) + (y - 10) for y in range(20) for x in range(40)]
    return DecisionMap(
        (-2.0, 2.0),
        (-1.5, 1.5),
        40,
        20,
        tuple(int(d > 0) for d in grid),
        tuple(min(1.0, 0.5 + abs(d) / 16) for d in grid),
        ((-1.0, 0.6, 0), (-1.2, -0.7, 0), (1.0, 0.4, 1), (1.3, -1.0, 1), (0.2, 0.9, 0)),
        ("left", "right"),
    )


@pytest.mark.usefixtures("same_everywhere")
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
        ("inside", ("i",), (80, 24), "light"),
        ("inside", ("i",), (120, 36), "dark"),
        ("inside", ("i", "p"), (200, 50), "dark"),
        ("inside", ("p",), (120, 36), "light"),
        ("broken", (), (120, 36), "dark"),
        ("broken", ("k",), (80, 24), "light"),
        ("held", ("B",), (120, 36), "dark"),
        ("held", (), (80, 24), "dark"),
        ("ranks", (), (80, 24), "dark"),
        ("ranks", (), (120, 36), "light"),
        ("ranks", (), (200, 50), "dark"),
        ("ranks", ("f", "tab"), (120, 36), "dark"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_picture(
    snap_compare: Callable[..., bool],
    kind: str,
    keys: tuple[str, ...],
    size: tuple[int, int],
    theme: str,
) -> None:
    source = FakeSource(picture())
    if kind == "loading":
        source.snapshot = source.step = None
    elif kind == "paused":
        source.snapshot = picture(state=State.PAUSED)
    elif kind == "finished":
        source.snapshot = picture(900, state=State.FINISHED, eta=None)
        source.outcome = Outcome(State.FINISHED, "20 epochs trained")
    elif kind == "failed":
        nan = float("nan")
        recent = (*picture().recent, nan)
        source.snapshot = picture(state=State.FAILED, loss=nan, recent=recent)
        source.outcome = FAILURE
    elif kind == "inside":
        source.snapshot = picture(
            state=State.PAUSED, step=Step.UPDATE, inside=inside_after_backward()
        )
    elif kind == "broken":
        fault = Fault.LR_TIMES_100
        text = f"broken on purpose: {fault.info.label}"
        change = Change(NOON, 6, 240, text, "switch", faults=(fault,))
        source.snapshot = picture(
            changes=(change,),
            faults=(Fault.LR_TIMES_100,),
            faults_so_far=(Fault.LR_TIMES_100,),
            undo=True,
            facts=VerdictInputs(label_low=1, label_high=10, classes=10),
        )
    elif kind == "ranks":
        ranks = (rank(0), late_data(1))
        if size == (200, 50):
            ranks = (*(rank(number) for number in range(62)), late_data(62), rank(63, silent=14.0))
        source.processes = [before(*ranks), ranks]
    elif kind == "held":
        change = Change(NOON, 7, 301, "breakpoint loss > 0.08 (loss 0.0832)", "break")
        source.snapshot = picture(
            state=State.PAUSED, changes=(change,), breakpoints=("loss > 0.08", "nonfinite")
        )
    app = WatchApp(source, theme=f"fivestep-{theme}")
    assert snap_compare(app, press=keys, terminal_size=size)
