"""Metrics belong to the task and do not depend on how validation is cut into batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from fivestep.core.protocol.steps import Task
from fivestep.core.training.metrics import meter_for


def judge(task, criterion, outputs, labels, size):
    meter = meter_for(Task(task))
    for k in range(0, len(outputs), size):
        o, y = outputs[k : k + size], labels[k : k + size]
        meter.update(o, y, criterion(o, y))
    return meter.result()


@pytest.mark.parametrize("size", [1, 7, 100])
def test_accuracy_and_loss_are_means_over_samples(size):
    torch.manual_seed(0)
    outputs, labels = torch.randn(25, 4), torch.randint(0, 4, (25,))
    loss, metrics = judge("classification", nn.CrossEntropyLoss(), outputs, labels, size)
    assert loss == pytest.approx(nn.functional.cross_entropy(outputs, labels).item(), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx((outputs.argmax(1) == labels).float().mean())


@pytest.mark.parametrize("size", [1, 7, 100])
def test_what_rare_classes_are_judged_by(size):
    # 8 of class 0, of which 6 are found; 2 of class 1, of which 1 is; class 2 is chosen once and
    # never right; class 3 is neither a label nor chosen.
    labels = torch.tensor([0] * 8 + [1] * 2)
    chosen = torch.tensor([0, 0, 0, 0, 0, 0, 1, 2, 1, 0])
    outputs = nn.functional.one_hot(chosen, 4).float()
    _, metrics = judge("classification", nn.CrossEntropyLoss(), outputs, labels, size)
    assert metrics == {
        "accuracy": pytest.approx(0.7),
        "balanced_accuracy": pytest.approx((6 / 8 + 1 / 2) / 2),
        "f1": pytest.approx((2 * 6 / (8 + 7) + 2 * 1 / (2 + 2) + 0) / 3),
        "majority_share": pytest.approx(0.8),
    }


def test_labels_that_the_criterion_ignores_count_in_nothing():
    labels = torch.tensor([0, 1, 9, 9])
    outputs = nn.functional.one_hot(torch.tensor([0, 0, 0, 1]), 2).float()
    criterion = nn.CrossEntropyLoss(ignore_index=9)
    meter = meter_for(Task("classification"), None, criterion)
    meter.update(outputs, labels, criterion(outputs, labels))
    _, metrics = meter.result()
    assert (metrics["accuracy"], metrics["majority_share"]) == (0.5, 0.5)


def test_a_probability_is_not_taken_for_a_logit():
    outputs, labels = torch.tensor([[0.2], [0.9], [0.4], [0.6]]), torch.tensor([0.0, 1, 1, 0])
    meter = meter_for(Task("classification"), None, nn.BCELoss())
    meter.update(outputs, labels, torch.tensor(0.0))  # labels (B,) for outputs (B, 1)
    assert meter.result()[1]["accuracy"] == 0.5


@pytest.mark.parametrize("task", ["classification", "regression", "language-model"])
def test_labels_that_are_no_tensor_are_refused(task):
    with pytest.raises(TypeError, match="labels are a list, not a tensor"):
        meter_for(Task(task)).update(torch.rand(4, 3), ["a"] * 4, torch.tensor(0.0))


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_labels_that_are_too_many_or_too_few_are_refused(task):
    meter = meter_for(Task(task))
    with pytest.raises(TypeError, match=r"labels \(4, 2\) .* outputs \(4, 3\)"):
        meter.update(torch.rand(4, 3), torch.ones(4, 2), torch.tensor(0.0))


def test_accuracy_of_a_single_logit_and_of_probabilities():
    logits = torch.tensor([[2.0], [-1.0], [0.5], [-3.0]])
    labels = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    _, metrics = judge("classification", nn.BCEWithLogitsLoss(), logits, labels, 3)
    assert metrics["accuracy"] == 0.75
    outputs, shares = torch.eye(3), torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.9, 0.1, 0]])
    _, metrics = judge("classification", nn.CrossEntropyLoss(), outputs, shares, 2)
    assert metrics["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("size", [1, 6, 40])
def test_r2_and_mae_agree_with_their_definitions(size):
    rng = np.random.default_rng(0)
    y = rng.normal(5, 2, (40, 1))
    p = y + rng.normal(0, 0.5, (40, 1))
    _, metrics = judge(
        "regression", nn.MSELoss(), torch.tensor(p).float(), torch.tensor(y).float(), size
    )
    assert metrics["r2"] == pytest.approx(1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    assert metrics["mae"] == pytest.approx(np.abs(y - p).mean(), rel=1e-5)


def test_r2_of_labels_that_are_all_alike_is_not_invented():
    _, metrics = judge("regression", nn.MSELoss(), torch.zeros(4, 1), torch.ones(4, 1), 2)
    assert math.isnan(metrics["r2"])


def test_perplexity_is_the_exponential_of_the_mean_per_token():
    torch.manual_seed(1)
    outputs, labels = torch.randn(5, 9, 3), torch.randint(0, 9, (5, 3))
    loss, metrics = judge("language-model", nn.CrossEntropyLoss(), outputs, labels, 2)
    assert loss == pytest.approx(nn.functional.cross_entropy(outputs, labels).item(), rel=1e-5)
    assert metrics["perplexity"] == pytest.approx(math.exp(loss))


def test_a_metric_of_nan_losses_is_nan_and_of_huge_ones_infinite():
    meter = meter_for(Task("language-model"))
    assert math.isnan(meter.metrics(1, math.nan, [])["perplexity"])
    assert meter.metrics(1, 1e4, [])["perplexity"] == math.inf


def test_a_validation_without_batches_has_no_result():
    assert meter_for(Task("classification")).result() == (None, {})
