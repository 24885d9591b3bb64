"""A learning rate set by hand stays a factor, whatever the schedule does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim import lr_scheduler as schedules

from fivestep.core.training.lr import LearningRate

SCHEDULES = {
    "step": lambda o: schedules.StepLR(o, 2, 0.5),
    "exponential": lambda o: schedules.ExponentialLR(o, 0.9),
    "cosine": lambda o: schedules.CosineAnnealingLR(o, 12),
    "onecycle": lambda o: schedules.OneCycleLR(o, 0.5, total_steps=12),
    "lambda": lambda o: schedules.LambdaLR(o, lambda k: 1 / (k + 1)),
    "warmup-cosine": lambda o: schedules.SequentialLR(
        o,
        [schedules.LinearLR(o, 0.1, total_iters=3), schedules.CosineAnnealingLR(o, 9)],
        [3],
    ),
}


def optimizer() -> SGD:
    model = nn.Linear(2, 2)
    made = SGD([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.05}], lr=0.2)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    return made


def lrs(optimizer: SGD) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("per", ["update", "epoch"])
def test_lr_is_what_the_schedule_says_times_the_factor(name, per):
    plain, steered = optimizer(), optimizer()
    schedule = SCHEDULES[name](plain)
    rate = LearningRate(steered, SCHEDULES[name](steered), per)
    move = rate.after_update if per == "update" else rate.after_epoch
    idle = rate.after_epoch if per == "update" else rate.after_update
    factors = {0: 1.0, 3: 0.5, 5: 4.0, 8: 1.0}
    factor = 1.0
    for k in range(11):
        if k in factors:
            factor = factors[k]
            rate.scale(factor)
        assert lrs(steered) == pytest.approx([lr * factor for lr in lrs(plain)], rel=1e-12)
        assert rate.lr == lrs(steered)[0]
        idle()
        steered.step()
        plain.step()
        move()
        schedule.step()
    assert lrs(steered) == lrs(plain)  # back at 1, nothing is left of the hand, bit for bit


def test_without_a_schedule_the_factor_is_taken_from_the_first_lr():
    made = optimizer()
    rate = LearningRate(made)
    rate.scale(2.0)
    rate.scale(4.0)
    rate.after_update()
    rate.after_epoch()
    assert lrs(made) == [0.8, 0.2]


def test_an_lr_kept_in_a_tensor_stays_that_tensor():
    model = nn.Linear(1, 1)
    lr = torch.tensor(0.1)
    made = torch.optim.Adam(model.parameters(), lr=lr, capturable=False, foreach=False)
    rate = LearningRate(made)
    rate.scale(0.5)
    assert made.param_groups[0]["lr"] is lr
    assert lr.item() == pytest.approx(0.05)
