"""A schedule that waits for better validations is stepped with each epoch's, and told of."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from listeners import Keeper
from states import EveryState, finished  # tests/core is on the path
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fivestep.core.protocol.commands import ScaleLR, Validate
from fivestep.core.session.session import Session

Eager = partial(ReduceLROnPlateau, factor=0.5, patience=0, threshold=0.9)
"""Lowers the learning rate at every epoch but the first: no loss gets ten times smaller."""


@pytest.fixture
def make(make_training):
    return partial(make_training, scheduler=Eager, epochs=4)


def bare(training):
    """The loop as everybody writes it, with the validation's loss over all its samples."""
    torch.manual_seed(training.seed)
    model, criterion = training.model, training.criterion
    for _ in range(training.epochs):
        model.train()
        for features, labels in training.batches:
            training.optimizer.zero_grad()
            criterion(model(features), labels).backward()
            training.optimizer.step()
        model.eval()
        with torch.no_grad():
            pairs = [(len(y), criterion(model(x), y).item()) for x, y in training.validation]
        training.scheduler.step(sum(n * v for n, v in pairs) / sum(n for n, _ in pairs))
    return training


def test_it_is_stepped_with_the_validation_s_loss_as_the_bare_loop_does(make):
    keeper = Keeper()
    session = finished(make(), keeper)
    there = bare(make())
    for a, b in zip(session.training.model.parameters(), there.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [summary.lr for summary in keeper.epochs] == [1e-2, 5e-3, 2.5e-3, 1.25e-3]
    assert session.training.scheduler.best == pytest.approx(there.scheduler.best)


def test_a_drop_is_on_record_with_what_it_waited_for(make):
    keeper = Keeper()
    finished(make(epochs=2), keeper)
    (change,) = keeper.changes
    wanted = keeper.epochs[0].val_loss * 0.1  # the threshold is 0.9
    assert (change.kind, change.batch) == ("schedule", 14)
    assert change.text == (
        f"lr ÷2 → 0.005: no val_loss below {wanted:.4g} in 1 epoch (ReduceLROnPlateau)"
    )


def test_the_learning_rate_s_curve_has_steps_and_no_slopes(make):
    curve = dict(finished(make(epochs=3)).latest().curves)["lr"]  # 7 batches each
    assert dict(zip(curve.x, curve.mean, strict=True)) == {
        **{1: 1e-2, 14: 1e-2, 15: 5e-3},
    }


def test_it_goes_on_from_every_state_and_a_hand_s_factor_stays_on_top(make):
    def run(state=None):
        keeper, saving = Keeper(), EveryState()
        session = Session(make(), keeper, saving=saving, state=state)
        if state is None:
            session.send(ScaleLR(4.0))
        session.run()
        return saving.states, keeper, session.training

    states, whole, training = run()
    assert [summary.lr for summary in whole.epochs] == [4e-2, 2e-2, 1e-2, 5e-3]
    for state in states[3::5]:  # the hand acts before the first batch
        _, rest, again = run(state)
        begin = len(whole.batches) - len(rest.batches)
        assert whole.batches[begin:] == rest.batches
        assert again.scheduler.state_dict() == training.scheduler.state_dict()


def test_more_epochs_keep_what_it_has_seen_but_not_its_options(make):
    kept = EveryState()
    finished(make(epochs=2), saving=kept)
    longer = finished(make(epochs=4), state=kept.states[-1], reschedule=True).training
    for a, b in zip(
        longer.model.parameters(), finished(make()).training.model.parameters(), strict=True
    ):
        assert torch.equal(a, b)
    other = make(lr=1.0, scheduler=partial(Eager, patience=9))
    session = Session(other, state=kept.states[-1], reschedule=True)
    assert session.rate.lr == 0.5  # lowered once, from what it begins at now
    assert (other.scheduler.patience, other.scheduler.best < 9) == (9, True)
    upwards = make(scheduler=partial(Eager, mode="max"), lr=1.0, scheduler_metric="accuracy")
    assert Session(upwards, state=kept.states[-1], reschedule=True).rate.lr == 1.0


def test_it_waits_for_the_metric_asked_for(make_training):
    keeper = Keeper()
    finished(
        make_training(
            scheduler=partial(ReduceLROnPlateau, mode="max", patience=0),
            scheduler_metric="sure",
            metrics={"sure": lambda outputs, labels: torch.tensor(0.5)},
            epochs=2,
        ),
        keeper,
    )
    assert keeper.changes[0].text.startswith("lr ÷10 → 0.001: no sure above 0.5 in 1 epoch")


def test_a_validation_asked_for_by_hand_is_none_of_its_own(make):
    plain, asked = Session(make()), Session(make())
    plain.run()
    asked.send(Validate())
    asked.run()
    assert asked.training.scheduler.state_dict() == plain.training.scheduler.state_dict()


class NeedsMore:
    """As other libraries have them."""

    def __init__(self, optimizer):
        self.last_epoch = 0

    def step(self, epoch, metric=None):
        raise AssertionError


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"validation": False},
            "waits for val_loss to get better, and there is no validation data",
        ),
        ({"validation": []}, "there is no validation data; give validation=... or another"),
        ({"scheduler_per": "update"}, 'stepped once an epoch is validated, so scheduler_per="upd'),
        ({"scheduler_metric": "acc"}, "there is no 'acc'; validation measures accuracy, val_loss"),
        (
            {"scheduler_metric": "accuracy"},
            "lowers the lr while accuracy gets better; it needs mode",
        ),
        ({"scheduler": partial(Eager, mode="max")}, "lowers the lr while val_loss gets better"),
        ({"scheduler": NeedsMore}, "NeedsMore.step() needs epoch; nothing has it"),
    ],
)
def test_what_can_not_be_stepped_is_refused_before_the_first_batch(make, options, says):
    with pytest.raises(ValueError, match=r"^scheduler.*$") as refused:
        make(**options)
    assert says in str(refused.value)
