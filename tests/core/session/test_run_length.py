"""A schedule that ends elsewhere than the run is told before the first batch."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from listeners import Keeper
from states import EveryState, finished  # tests/core is on the path
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    OneCycleLR,
    PolynomialLR,
    StepLR,
)
from torch.utils.data import DataLoader, IterableDataset

from fivestep.core.session.session import Session
from fivestep.core.training.unfit import UnfitError

cycle = partial(OneCycleLR, max_lr=0.1)


def told(training, **options):
    """The warnings that a run begins with."""
    session = Session(training, keeper := Keeper(), **options)
    session.run()
    return [change.text for change in keeper.changes if change.kind == "warning"]


@pytest.mark.parametrize(
    ("steps", "options", "says"),
    [
        (14, {}, "OneCycleLR is made for 14 steps, and 3 epochs make 21, one an update"),
        (3, {}, '3 epochs make 21, one an update; scheduler_per="epoch" makes 3'),
        (20, {}, "is made for 20 steps, and 3 epochs make 21, one an update"),
        (10, {"accumulate": 2}, "is made for 10 steps, and 3 epochs make 12, one an update"),
        (2, {"scheduler_per": "epoch"}, "is made for 2 steps, and 3 epochs make 3, one an epoch"),
    ],
)
def test_one_that_fails_before_the_run_ends_is_refused(make_training, steps, options, says):
    options = {"scheduler_per": "update", **options}
    with pytest.raises(UnfitError) as refused:
        Session(make_training(scheduler=partial(cycle, total_steps=steps), **options))
    assert str(refused.value).endswith(says)


BESIDE = {
    "OneCycleLR is made for 21 steps, and 3 epochs make 3, one an epoch": (
        (partial(cycle, total_steps=21), "epoch"),
        'scheduler_per="update" makes 21; it does not reach its end',
    ),
    "OneCycleLR is made for 50 steps, and 3 epochs make 21, one an update": (
        (partial(cycle, total_steps=50), "update"),
        "it does not reach its end",
    ),
    "CosineAnnealingLR is made for 3 steps, and 3 epochs make 21, one an update": (
        (partial(CosineAnnealingLR, T_max=3), "update"),
        'scheduler_per="epoch" makes 3; behind its end the lr rises again',
    ),
    "PolynomialLR is made for 10 steps, and 3 epochs make 21, one an update": (
        (partial(PolynomialLR, total_iters=10), "update"),
        "behind its end the lr stays where it is",
    ),
}


@pytest.mark.parametrize("counts", BESIDE)
def test_what_torch_goes_on_with_is_told_and_trained(make_training, counts):
    (schedule, per), then = BESIDE[counts]
    training = make_training(scheduler=schedule, scheduler_per=per)
    assert told(training) == [f"{counts}; {then}"]


@pytest.mark.parametrize(
    ("schedule", "per"),
    [
        (partial(cycle, total_steps=21), "update"),
        (partial(cycle, total_steps=22), "update"),
        (partial(CosineAnnealingLR, T_max=20), "update"),
        (partial(CosineAnnealingLR, T_max=3), "epoch"),
        (partial(CosineAnnealingWarmRestarts, T_0=2), "update"),
        (partial(StepLR, step_size=2), "epoch"),
    ],
)
def test_nothing_is_told_of_one_that_ends_with_the_run_or_never(make_training, schedule, per):
    assert told(make_training(scheduler=schedule, scheduler_per=per)) == []


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(6), 0)] * 16)


def test_of_a_stream_only_the_epochs_are_known(make_training):
    make = partial(make_training, scheduler=partial(cycle, total_steps=4))
    stream = DataLoader(Stream(), 8)
    Session(make(batches=stream, scheduler_per="update", epochs=6))
    with pytest.raises(UnfitError, match="made for 4 steps, and 6 epochs make 6"):
        Session(make(batches=stream, epochs=6))


def test_a_run_that_is_resumed_for_longer_is_refused_before_it_trains(make_training):
    make = partial(make_training, scheduler=partial(cycle, total_steps=21), scheduler_per="update")
    kept = EveryState()
    finished(make(), saving=kept)
    with pytest.raises(UnfitError, match="made for 21 steps, and 5 epochs make 35"):
        Session(make(epochs=5), state=kept.states[10])
    assert Session(make(), state=kept.states[10]).run().reason == "3 epochs trained"
