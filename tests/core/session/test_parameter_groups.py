"""Parameter groups with learning rates of their own: each is told by its name."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial

import pytest
import torch
from listeners import Keeper
from states import EveryState, finished  # tests/core is on the path
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from fivestep.core.protocol.commands import ScaleLR
from fivestep.core.protocol.inside import LayerRow
from fivestep.core.protocol.parameter_groups import lr_text
from fivestep.core.protocol.snapshot import Curve
from fivestep.core.session.session import Session
from fivestep.core.verdicts.verdicts import find_verdicts


class Groups(Keeper):
    """Keeps each group's learning rate, batch by batch."""

    def __init__(self):
        super().__init__()
        self.lrs = []

    def batch(self, epoch, batch, batches_done, loss, lr, lrs=()):
        super().batch(epoch, batch, batches_done, loss, lr)
        self.lrs.append(lrs)


@pytest.fixture
def make(make_training):
    def make(**options):
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))

        def optimizer(_, lr):
            head = {"params": model[2].parameters(), "name": "head"}
            return torch.optim.Adam([{"params": model[0].parameters(), "lr": 1e-5}, head], lr=lr)

        return make_training(model=model, optimizer=optimizer, **options)

    return make


def test_every_batch_epoch_and_picture_has_each_by_its_name(make):
    keeper = Groups()
    slower = partial(LambdaLR, lr_lambda=[lambda n: 1.0, lambda n: 0.5**n])
    session = finished(make(scheduler=slower), keeper)
    assert session.info.groups == ("group 0", "head")
    assert keeper.lrs[::7] == [(1e-5, 1e-2), (1e-5, 5e-3), (1e-5, 2.5e-3)]
    assert [record[4] for record in keeper.batches[::7]] == [1e-2, 5e-3, 2.5e-3]
    assert keeper.epochs[0].lrs == (("group 0", 1e-5), ("head", 5e-3))
    end = session.latest()
    assert (end.lr, end.lrs) == (1.25e-3, (("group 0", 1e-5), ("head", 1.25e-3)))
    curves = dict(end.curves)
    assert curves["lr head"] == curves["lr"]
    assert curves["lr group 0"].mean == (1e-5,)


def test_one_group_has_no_name(make_training):
    keeper = Groups()
    end = finished(make_training(), keeper).latest()
    assert (end.lrs, keeper.epochs[0].lrs, set(keeper.lrs)) == ((), (), {()})
    assert [name for name, _ in end.curves if name.startswith("lr")] == ["lr"]


def test_the_hand_and_a_plateau_scale_all_of_them_and_name_them(make):
    keeper = Groups()
    plateau = partial(ReduceLROnPlateau, patience=0, threshold=0.99)
    session = Session(make(scheduler=plateau, epochs=2), keeper)
    session.send(ScaleLR(2.0))
    session.run()
    texts = [change.text.partition(":")[0] for change in keeper.changes]
    assert texts == [
        "lr ×2 by hand → group 0 2e-05, head 0.02",
        "lr ÷10 → group 0 2e-06, head 0.002",
    ]
    assert keeper.lrs[0] == (2e-5, 2e-2)


def test_their_curves_go_on_over_a_resume(make):
    slower = partial(LambdaLR, lr_lambda=lambda n: 0.5**n)
    kept = EveryState()
    whole = finished(make(scheduler=slower), saving=kept)
    state = torch.load(_saved(kept.states[10]), weights_only=True)
    again = finished(make(scheduler=slower), state=state)
    ends = [dict(session.latest().curves) for session in (again, whole)]
    assert ends[0]["lr group 0"] == ends[1]["lr group 0"]
    assert again.latest().last.lrs == whole.latest().last.lrs


def _saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def test_a_breakpoint_looks_at_the_largest(make):
    session = Session(make(), breakpoints=("lr < 0.001",))
    session.run()
    assert not any(change.kind == "break" for change in session.latest().changes)
    session = Session(make(), breakpoints=("lr > 0.001",), on_break="stop")
    assert session.run().reason == "breakpoint lr > 0.001 (lr 0.01)"


def test_small_updates_of_a_group_with_a_small_rate_are_no_learning_rate_too_low(make):
    session = finished(make(epochs=1))
    flat = replace(
        session.latest(),
        batches_done=2000,
        recent=tuple(1 - i / 1e4 for i in range(200)),
    )
    curves = dict(flat.curves)
    three = (1.0,) * 3
    loss = Curve((5.0, 20.0, 2000.0), three, three, three, (0, 0, 0))
    flat = replace(flat, curves=tuple((curves | {"loss": loss}).items()), metrics=())

    def said(head: float):
        rows = [
            LayerRow(f"{i}", "Linear", update_ratio=1e-6, groups=frozenset({"group 0"}))
            for i in range(3)
        ]
        rows.append(LayerRow("2", "Linear", update_ratio=head, groups=frozenset({"head"})))
        facts = replace(session.latest().facts, layers=tuple(rows), first_loss=1.0)
        return {v.rule: v.why for v in find_verdicts(session.info, flat, facts)}

    assert "an update changes the weights by 1e-05" in said(1e-5)["lr too low"]
    assert "an update changes" not in said(1e-3).get("lr too low", "")


@pytest.mark.parametrize(
    ("lrs", "text"),
    [
        ((), "0.1"),
        ((("a", 0.1), ("b", 0.1)), "0.1"),
        ((("a", 1e-5), ("b", 0.1)), "a 1e-05, b 0.1"),
        (tuple((f"{i}", 0.1 / 10**i) for i in range(6)), "1e-06 to 0.1 in 6 parameter groups"),
    ],
)
def test_a_line_names_a_few_and_gives_the_range_of_many(lrs, text):
    assert lr_text(0.1, lrs) == text
