"""Verdicts on runs that really have the fault: real trainings, broken in one way each."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from functools import cache

import pytest
import torch
from states import finished  # tests/core is on the path
from torch import nn
from verdict_runs import looked_at, rules, verdicts

from fivestep.core.protocol.snapshot import Certainty
from fivestep.core.training.data import TensorBatches
from fivestep.core.verdicts.verdicts import CAUSES, LOOP, RULES, VerdictInputs, find_verdicts
from fivestep.presets.build import build
from fivestep.presets.recipe import load

EFFECTS = {"lr too low", "not falling"}


def preset(name: str, lr: float = 1.0, **overrides):
    """A preset's training, its learning rate times `lr`."""
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    rate = load(name, keys).optimizer.options["lr"]
    return build(load(name, {**keys, "optimizer.lr": rate * lr}))


@cache
def run(name: str, lr: float = 1.0):
    """A preset with its learning rate times `lr`, looked at to its end."""
    return looked_at(preset(name, lr))


def fired(info, moments) -> set[str]:
    """Every rule that fires at some moment, with the facts."""
    return {v.rule for s, facts in moments for v in find_verdicts(info, s, facts)}


def linears(training) -> list[nn.Linear]:
    return [m for m in training.model.modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize("name", ["iris-mlp", "wine-mlp"])
def test_a_learning_rate_a_thousand_times_too_high(name):
    assert "lr too high" in fired(*run(name, 1000))


def test_a_learning_rate_that_is_raised_too_far_by_hand_in_the_middle():
    training = preset("moons-mlp", scheduler__name="none")

    def raise_it(optimizer, *_):
        if training_steps() == 200:
            optimizer.param_groups[0]["lr"] *= 1000

    training_steps = itertools.count().__next__
    training.optimizer.register_step_post_hook(raise_it)
    said = verdicts(training)
    assert not any(said[:8])
    assert any(v.rule == "lr too high" for verdict in said for v in verdict)


@pytest.mark.parametrize(
    ("name", "lr"), [("iris-mlp", 1e-4), ("iris-mlp", 1e-2), ("wine-mlp", 1e-4)]
)
def test_a_learning_rate_far_too_low(name, lr):
    found = fired(*run(name, lr))
    assert "lr too low" in found
    assert found <= EFFECTS


def test_a_loss_that_falls_steadily_but_far_too_slowly_needs_no_layers():
    info, moments = run("iris-mlp", 1e-2)
    assert {v.rule for s, _ in moments for v in find_verdicts(info, s)} >= {"lr too low"}


def test_labels_that_have_nothing_to_do_with_the_features():
    training = preset("moons-mlp", epochs=5)
    labels = training.batches.labels
    training.batches.labels = labels[torch.randperm(len(labels))]
    assert "not falling" in rules(training)


def test_an_optimizer_that_was_given_other_parameters():
    training = preset("iris-mlp", scheduler__name="none", epochs=25)
    others = copy.deepcopy(training.model)
    training.optimizer = torch.optim.SGD(others.parameters(), lr=0.1)
    assert "not falling" in rules(training)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_a_learning_rate_of_zero_is_what_is_said(activation):
    changes = {"model__widths": [32] * 10, "model__activation": activation}
    training = preset("iris-mlp", scheduler__name="none", epochs=25, **changes)
    training.optimizer.param_groups[0]["lr"] = 0.0
    said = [v for verdict in verdicts(training, moments=5) for v in verdict]
    assert {(v.rule, v.what) for v in said} == {
        ("lr is 0", "the learning rate is 0 from the start")
    }


def test_a_schedule_that_comes_down_to_zero_too_early_is_told_of(make_training):
    def early(optimizer):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: max(0.0, 1 - epoch / 2))

    session = finished(make_training(scheduler=early, epochs=6))  # 7 batches each
    end = session.latest()
    (verdict,) = find_verdicts(session.info, end, end.facts)
    assert verdict.what == "the learning rate is 0 since batch 15"
    assert "the schedule" in verdict.next


def test_a_schedule_that_begins_or_ends_with_zero_is_healthy(make_training):
    def there_and_back(optimizer):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(n, 42 - n) / 21)

    session = finished(make_training(scheduler=there_and_back, scheduler_per="update", epochs=6))
    end = session.latest()
    assert end.lr == 0
    assert find_verdicts(session.info, end, end.facts) == ()


def test_of_one_group_at_zero_it_is_said_which(make_training):
    training = make_training(epochs=6)
    layers = list(training.model.children())
    training.optimizer = torch.optim.SGD(
        [
            {"params": layers[0].parameters(), "lr": 0.0, "name": "backbone"},
            {"params": layers[-1].parameters(), "lr": 0.1},
        ]
    )
    session = finished(training)
    end = session.latest()
    (verdict,) = find_verdicts(session.info, end, end.facts)
    assert verdict.severity == "note"
    assert "the learning rate of backbone is 0, of 2 parameter groups" in verdict.what


def test_a_schedule_that_still_warms_up_is_waited_for():
    info, moments = run("wine-mlp", 1e-4)
    s, _ = moments[-1]
    assert [v.rule for v in find_verdicts(info, s)] == ["not falling"]
    name, lrs = next(pair for pair in s.curves if pair[0] == "lr")
    n = len(lrs.x)
    climbing = tuple(1e-6 * (i + 1) for i in range(n))
    warm = replace(lrs, low=climbing, mean=climbing, high=climbing)
    curves = tuple((k, warm if k == name else c) for k, c in s.curves)
    assert find_verdicts(info, replace(s, curves=curves, lr=climbing[-1])) == ()


def test_a_model_that_was_good_from_the_start_need_not_fall():
    info, moments = run("wine-mlp", 1e-4)
    s, _ = moments[-1]
    assert find_verdicts(info, replace(s, metrics=(("accuracy", 0.98),))) == ()


@pytest.mark.parametrize("name", ["diabetes-mlp", "iris-mlp"])
def test_a_model_too_large_for_its_data_overfits(name):
    small = {"dataset__validation": 0.45, "dataset__test": 0.45, "model__dropout": 0.0}
    training = preset(name, **small, model__widths=[256, 256], epochs=80, scheduler__name="none")
    said = [v for verdict in verdicts(training) for v in verdict]
    assert {v.rule for v in said} == {"overfitting"}
    assert "overfits" in said[-1].why


def rare(make_training, *, told: bool, weight: float = 1.0):
    """A hundredth of the samples are positive; the features tell which ones, or nothing."""
    torch.manual_seed(0)
    labels = (torch.arange(2000) % 100 == 0).long()
    features = torch.randn(2000, 6)
    if told:
        features[:, 0] += 8 * labels
    model = nn.Linear(6, 2)
    return make_training(
        model=model,
        criterion=nn.CrossEntropyLoss(torch.tensor([1.0, weight])),
        optimizer=lambda _, lr: torch.optim.AdamW(model.parameters(), lr),
        batches=TensorBatches(features, labels, 32, torch.Generator().manual_seed(0)),
        validation=TensorBatches(features[:1000], labels[:1000], 200),
        epochs=6,
    )


def test_a_classifier_that_only_knows_the_largest_class(make_training):
    session = finished(rare(make_training, told=False))
    end = session.latest()
    (verdict,) = find_verdicts(session.info, end, end.facts)
    assert verdict.rule == "no better than the majority"
    assert verdict.what == ("accuracy 99.0% at best: always choosing the largest class gives 99.0%")
    assert verdict.why == "balanced accuracy is 50.0%; 50.0% is what choosing blindly gives"
    # right after the start it could not know better yet
    early = replace(end, batches_done=60)
    assert find_verdicts(session.info, early, end.facts) == ()


@pytest.mark.parametrize("weight", [1.0, 99.0])
def test_one_that_finds_the_rare_class_is_none(weight, make_training):
    session = finished(rare(make_training, told=True, weight=weight))
    end = session.latest()
    assert find_verdicts(session.info, end, end.facts) == ()
    assert dict(end.metrics)["balanced_accuracy"] > 0.7


def test_the_learning_rate_named_is_that_of_the_explosion():
    training = preset("line-linear", 15, scheduler__name="cosine", epochs=4)
    session = finished(training)
    end = session.latest()
    assert end.lr == 0
    (verdict,) = find_verdicts(session.info, end, end.facts)
    assert verdict.what.startswith("the loss exploded")
    assert verdict.why.endswith("(lr = 1.5)")


def test_sigmoids_in_a_row_let_the_gradients_vanish():
    training = preset("wine-mlp", model__widths=[32] * 10, model__activation="sigmoid")
    info, moments = looked_at(training, moments=8)
    assert fired(info, moments[:-1]) == {"vanishing gradients"}
    # without layers, all that can be said is what follows from it
    assert "not falling" in {v.rule for s, _ in moments for v in find_verdicts(info, s)}


def test_weights_that_are_drawn_too_large_let_the_gradients_explode():
    training = preset(
        "moons-mlp", optimizer__name="SGD", optimizer__lr=0.1, model__widths=[64] * 6, epochs=2
    )
    with torch.no_grad():
        for layer in linears(training):
            layer.weight.mul_(4)
    assert {"exploding gradients", "non-finite"} <= rules(training)


def test_units_with_a_large_negative_bias_are_dead():
    training = preset("iris-mlp", epochs=40)
    with torch.no_grad():
        linears(training)[0].bias.fill_(-20)
    info, moments = looked_at(training)
    assert fired(info, moments[1:-1]) == {"dead units"}
    # in a batch of one, a unit that gives 0 need not be dead
    assert "dead units" not in fired(replace(info, batch_size=1), moments)


def test_a_loss_that_is_not_finite_is_seen_and_stays_seen():
    info, moments = run("line-linear", 100)
    said = find_verdicts(info, moments[-1][0])
    assert [v.rule for v in said][:1] == ["non-finite"]
    severities = [v.severity for v in said]
    assert severities == sorted(severities, key=["danger", "warning", "note"].index)


def test_losses_that_nobody_tells_are_not_judged():
    info, moments = run("iris-mlp", 1000)
    untold = replace(info, loss=Certainty.UNKNOWN)
    assert all(find_verdicts(untold, s) == () for s, _ in moments)


def test_what_was_changed_on_purpose_is_what_to_undo():
    info, moments = run("iris-mlp", 1e-4)
    s, facts = moments[-1]
    (verdict,) = find_verdicts(info, s, replace(facts, faults=("optimizer.step() left out",)))
    assert verdict.rule == "not falling"
    assert "on purpose: optimizer.step() left out" in verdict.next
    # labels and loaders are no part of the loop
    wrong = VerdictInputs(label_low=1, label_high=3, classes=3, faults=("model.train() forgotten",))
    assert "on purpose" not in find_verdicts(info, moments[0][0], wrong)[0].next


def test_every_verdict_is_three_short_lines_for_a_person():
    runs = run("line-linear", 100), run("iris-mlp", 1000), run("iris-mlp", 1e-4)
    said = [
        v for info, moments in runs for s, facts in moments for v in find_verdicts(info, s, facts)
    ]
    assert said
    for verdict in said:
        assert verdict.rule in RULES
        for text in (verdict.what, verdict.why, verdict.next):
            assert text
            assert text.isprintable()
            assert len(text) <= 110
    assert set(RULES) > CAUSES
    assert set(RULES) > LOOP
