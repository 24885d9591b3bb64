"""A validation that gives NaN is told of with batch and layer, and is never the best."""

from __future__ import annotations

import math

import pytest
import torch
from listeners import Keeper  # tests is on the path
from states import finished  # tests/core is on the path
from torch import nn

from fivestep.core.training.data import TensorBatches


class Failing(nn.Module):
    """Gives NaN in eval mode where a feature is above 9, in the chosen validations."""

    def __init__(self, when):
        super().__init__()
        self.when, self.validation = when, 0

    def eval(self):
        self.validation += 1
        return super().eval()

    def forward(self, x):
        wrong = not self.training and self.validation in self.when
        return torch.where(x > 9, torch.nan, x) if wrong else x


def make(make_training, when, **others):
    """Eight features; the sixth validation sample, of the third batch of two, is above 9."""
    torch.manual_seed(0)
    watcher = Failing(when)
    model = nn.Sequential(nn.Linear(6, 6), nn.Sequential(nn.Identity(), watcher), nn.Linear(6, 3))
    model.eval = lambda: (watcher.eval(), nn.Module.eval(model))[1]
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(6))
        model[0].bias.zero_()
    features = torch.randn(10, 6)
    features[5] = 50.0
    return make_training(
        model=model,
        optimizer=lambda _, lr: torch.optim.SGD(model[2].parameters(), lr),
        validation=TensorBatches(features, torch.zeros(10, dtype=torch.long), 2),
        **others,
    )


def warnings_of(keeper):
    return [change.text for change in keeper.changes if change.kind == "warning"]


def test_the_batch_and_the_layer_are_named_and_the_best_is_a_finite_one(make_training):
    keeper = Keeper()
    session = finished(make(make_training, {1, 3}, epochs=4), keeper)
    losses = [epoch.val_loss for epoch in keeper.epochs]
    assert [math.isfinite(loss) for loss in losses] == [False, True, False, True]
    assert [text.split(" is nan: ") for text in warnings_of(keeper)] == [
        [
            f"the validation loss of epoch {epoch}",
            "first in validation batch 3, layer 1.1 (Failing); such an epoch is never the best",
        ]
        for epoch in (1, 3)
    ]
    end = session.latest()
    assert end.best_metric.epoch in (2, 4)
    assert end.best_val_loss.value == min(losses[1], losses[3])


def test_what_stays_nan_is_told_of_once(make_training):
    keeper = Keeper()
    finished(make(make_training, {1, 2, 3, 4}, epochs=4), keeper)
    assert len(warnings_of(keeper)) == 1


@pytest.mark.parametrize("epochs", [1, 5])
def test_a_metric_that_is_always_nan_is_named_once(epochs, make_training):
    keeper = Keeper()
    metrics = {"none": lambda *_: math.nan, "good": lambda *_: 1.0}
    finished(make(make_training, (), epochs=epochs, metrics=metrics), keeper)
    assert warnings_of(keeper) == ["the metric none was NaN in every validation so far"]


def test_a_metric_that_is_nan_now_and_then_is_not(make_training):
    keeper, values = Keeper(), iter([math.nan] * 5 + [1.0] * 5 + [math.nan] * 10)
    finished(make(make_training, (), epochs=4, metrics={"some": lambda *_: next(values)}), keeper)
    assert warnings_of(keeper) == []
