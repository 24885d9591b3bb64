"""Verdicts on what no Snapshot holds, and on where the time goes."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from verdict_runs import looked_at, rules

from fivestep.core.inspection.inspector import label_range
from fivestep.core.protocol.inside import LayerRow
from fivestep.core.protocol.snapshot import Certainty
from fivestep.core.protocol.steps import Task
from fivestep.core.session.series import Series
from fivestep.core.training.data import TensorBatches
from fivestep.core.verdicts.verdicts import VerdictInputs, find_verdicts
from fivestep.presets.build import build
from fivestep.presets.recipe import load


@cache
def healthy():
    """A run without a fault."""
    return looked_at(build(load("iris-mlp")))


def test_labels_from_one_to_two_of_two_classes(make_training):
    features = torch.randn(64, 6)
    labels = (features[:, :1] > 0).float() + 1  # (N, 1), 1 and 2 in the place of 0 and 1
    model = nn.Linear(6, 1)
    training = make_training(
        model=model,
        criterion=nn.BCEWithLogitsLoss(),  # takes them without a word
        optimizer=lambda _, lr: torch.optim.SGD(model.parameters(), lr),
        batches=TensorBatches(features, labels, 8),
        validation=None,
        task=Task("classification"),
    )
    assert "labels outside the classes" in rules(training)


def test_a_label_past_the_last_class_and_what_the_criterion_leaves_out():
    labels = torch.tensor([[0, 2], [-100, 1]])
    assert label_range(labels) == (0, 2)
    assert label_range(labels, ignored=2) == (-100, 1)
    assert label_range(torch.tensor([0.1, 0.9])) == (0, 1)
    assert label_range(torch.tensor([-100])) is None
    assert label_range(torch.tensor([math.nan])) is None
    info, moments = healthy()
    s, _ = moments[0]
    for low, high, expected in ((0, 2, 0), (0, 3, 1), (-1, 2, 1)):
        facts = VerdictInputs(label_low=low, label_high=high, classes=3)
        assert len(find_verdicts(info, s, facts)) == expected


def test_where_the_loss_need_not_fall_only_what_holds_of_any_loss_is_said():
    info, moments = healthy()
    s, _ = moments[0]
    shifted = {"label_low": 1, "label_high": 3, "classes": 3, "stretched": ((8, 1), (8,))}
    said = find_verdicts(replace(info, should_fall=False), s, VerdictInputs(**shifted))
    assert [verdict.rule for verdict in said] == ["labels stretched"]


def test_a_model_that_stays_in_train_mode_while_it_is_validated(make_training):
    class Stubborn(nn.Sequential):
        def eval(self):
            return self.train()

    model = Stubborn(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    training = make_training(
        model=model, optimizer=lambda _, lr: torch.optim.AdamW(model.parameters(), lr)
    )
    assert rules(training) == {"validation in train mode"}
    assert rules(make_training()) == set()


class Clock:
    """Time that passes only where it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1e-4
        return self.now


@pytest.mark.parametrize(("wait", "bound"), [(0.5, True), (0.0, False)])
def test_a_loader_that_is_slower_than_the_model(make_training, monkeypatch, wait, bound):
    clock = Clock()
    for name, module in list(sys.modules.items()):
        if name.startswith("fivestep.core.") and hasattr(module, "perf_counter"):
            monkeypatch.setattr(module, "perf_counter", clock)

    class Slow(TensorBatches):
        def batches(self, start=0):
            for batch in super().batches(start):
                clock.now += wait
                yield batch

    training = make_training(epochs=10)
    training.batches = Slow(training.batches.features, training.batches.labels, 8)
    training.model.register_forward_hook(lambda *_: setattr(clock, "now", clock.now + 0.1))
    info, moments = looked_at(training)
    early = [find_verdicts(info, s, f) for s, f in moments if s.active < 5]
    assert early
    assert not any(v.rule == "data-bound" for said in early for v in said)
    last = find_verdicts(info, moments[-1][0])
    assert [v.rule for v in last] == ["data-bound"] * bound
    untold = replace(info, phases=(Certainty.UNKNOWN,) * len(info.phases))
    assert find_verdicts(untold, moments[-1][0]) == ()


ODD = st.none() | st.floats() | st.sampled_from([0.0, 1e308, -1e308, 5e-324])
ROWS = st.builds(
    LayerRow, st.text(max_size=3), st.just("ReLU"),
    weight_norm=ODD, grad_norm=ODD, update_ratio=ODD, dead_share=ODD,
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.lists(st.floats(), max_size=60), st.lists(ROWS, max_size=3), st.floats(), st.booleans())
def test_no_numbers_make_judging_fail(losses, rows, lr, trains):
    info, moments = healthy()
    series = Series()
    for batch, loss in enumerate(losses, 1):
        series.add(batch * 20, loss)
    curves = tuple((n, series.curve()) for n in ("loss", "val_loss", "lr", "grad_norm") if losses)
    odd = replace(
        moments[-1][0], recent=tuple(losses), curves=curves, lr=lr, grad_norm=lr, metrics=()
    )
    for verdict in find_verdicts(
        info, odd, VerdictInputs(layers=tuple(rows), validation_trains=trains)
    ):
        assert "\n" not in verdict.what + verdict.why + verdict.next


def test_a_layer_without_numbers_is_no_evidence():
    info, moments = healthy()
    s, _ = moments[-1]
    bare = (LayerRow("0", "Linear"), LayerRow("1", "ReLU"))
    zero = (LayerRow("0", "Linear", weight_norm=0.0, grad_norm=0.0, update_ratio=math.inf),)
    assert find_verdicts(info, s, VerdictInputs(layers=bare + zero)) == ()
