"""Judging without training: right numbers, and no trace on the model."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from fivestep.core.protocol.steps import Task
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.evaluate import evaluate
from fivestep.core.training.training import Training


def test_classification_is_judged_on_both_parts_and_nothing_moves(make_training):
    features, labels = torch.randn(37, 6), torch.randint(3, (37,))
    training = make_training(test=TensorBatches(features, labels, 10))
    before, rng = copy.deepcopy(training.model.state_dict()), torch.get_rng_state()
    validation, test = evaluate(training)
    assert (validation.part, validation.samples, test.part, test.samples) == (
        "validation",
        20,
        "test",
        37,
    )
    with torch.no_grad():
        predicted = training.model.eval()(features).argmax(1)
    for i in range(3):
        for j in range(3):
            assert test.confusion[i][j] == int(((labels == i) & (predicted == j)).sum())
    assert test.metrics[0] == ("accuracy", pytest.approx((labels == predicted).float().mean()))
    share = labels.bincount().max() / len(labels)
    assert dict(test.metrics)["majority_share"] == pytest.approx(share)
    assert all(map(torch.equal, before.values(), training.model.state_dict().values()))
    assert torch.equal(torch.get_rng_state(), rng)
    assert training.validation.batch_size == 8  # the training itself is as it was


def make_regression(labels):
    model = nn.Linear(1, 1)
    return Training(
        model,
        nn.MSELoss(),
        torch.optim.SGD(model.parameters(), lr=0.1),
        [],
        TensorBatches(torch.zeros(len(labels), 1), labels, 3),
        task=Task("regression"),
    )


def test_residuals_are_label_minus_prediction():
    labels = torch.tensor([[1.0], [2.0], [4.0], [9.0]])
    training = make_regression(labels)
    bias = training.model.bias.item()
    (found,) = evaluate(training)
    spread = found.residuals
    assert found.confusion is None
    assert (spread.low, spread.high, spread.mean) == pytest.approx((1 - bias, 9 - bias, 4 - bias))
    assert sum(spread.counts) == 4


def test_what_is_nowhere_finite_has_no_histogram():
    (found,) = evaluate(make_regression(torch.tensor([[1.0], [float("nan")]])))
    assert found.residuals is None
    (found,) = evaluate(make_regression(torch.ones(3, 1)))
    assert found.residuals.counts == (3,)


def test_a_single_logit_has_two_classes(make_training):
    training = make_training(model=nn.Linear(6, 1), criterion=nn.BCEWithLogitsLoss())
    training.validation = TensorBatches(torch.randn(9, 6), torch.ones(9, 1), 4)
    (found,) = evaluate(training)
    assert sum(found.confusion[1]) == 9
    assert found.confusion[0] == (0, 0)


def test_without_data_there_is_nothing_to_judge(make_training):
    assert evaluate(make_training(validation=False)) == ()
