"""Optimizers, losses and schedules: torch's own, by torch's own names."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

from fivestep.core.training.lr import LearningRate
from fivestep.presets import components
from fivestep.presets.build import build
from fivestep.presets.recipe import load

NOT_OFFERED = {"params", "foreach", "capturable", "differentiable"}
TENSORS_OR_REDUCTION = {"weight", "pos_weight", "size_average", "reduce", "reduction"}


def test_every_optimizer_of_torch_is_offered_or_refused() -> None:
    torchs = {
        name
        for name, kind in vars(torch.optim).items()
        if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer)
    }
    assert torchs == {*components.OPTIMIZERS, *components.REFUSED_OPTIMIZERS, "Optimizer"}


def test_every_loss_of_torch_is_offered_or_refused() -> None:
    torchs = {name for name, kind in vars(nn).items() if inspect.isclass(kind) and "Loss" in name}
    assert torchs == {*components.LOSSES, *components.REFUSED_CRITERIA}


@pytest.mark.parametrize("name", components.OPTIMIZERS)
def test_an_optimizers_options_and_defaults_are_torchs(name: str) -> None:
    signature = inspect.signature(getattr(torch.optim, name)).parameters
    ours = {key: option.default for key, option in components.OPTIMIZERS[name].items()}
    torchs = {k: p.default for k, p in signature.items() if k not in NOT_OFFERED}
    if name == "Adafactor":
        del torchs["eps"]  # its first half is None, which TOML can't write
    if "fused" in torchs:
        assert torchs["fused"] is None  # torch chooses; here the recipe does
        torchs["fused"] = True
    assert ours == torchs


@pytest.mark.parametrize("name", components.LOSSES)
def test_a_losss_options_and_defaults_are_torchs(name: str) -> None:
    signature = inspect.signature(getattr(nn, name)).parameters
    ours = {key: option.default for key, option in components.LOSSES[name].items()}
    torchs = {k: p.default for k, p in signature.items() if k not in TENSORS_OR_REDUCTION}
    assert ours == torchs


@pytest.mark.parametrize("name", components.OPTIMIZERS)
def test_every_optimizer_makes_a_step(name: str) -> None:
    training = build(load("line-linear", {"optimizer.name": name}))
    before = [p.detach().clone() for p in training.model.parameters()]
    features, labels = next(iter(training.batches))
    training.criterion(training.model(features), labels).backward()
    training.optimizer.step()
    assert all(
        not torch.equal(old, new)
        for old, new in zip(before, training.model.parameters(), strict=True)
    )
    assert training.optimizer.defaults.get("fused", True) is True


def rates(**scheduler: Any) -> list[float]:
    """The learning rate of every update of a run: 3 epochs of 25 batches, lr 1."""
    changes = {f"scheduler.{key}": value for key, value in scheduler.items()}
    training = build(load("line-linear", {"epochs": 3, "optimizer.lr": 1.0, **changes}))
    rate = LearningRate(training.optimizer, training.scheduler, training.scheduler_per)
    seen = []
    for _ in range(training.epochs):
        for _ in range(25):
            seen.append(rate.lr)
            training.optimizer.step()
            rate.after_update()
        rate.after_epoch()
    return seen


def test_no_schedule_keeps_the_rate() -> None:
    assert set(rates(name="none")) == {1.0}


def test_cosine_falls_from_lr_to_its_floor() -> None:
    seen = rates(name="cosine", floor=0.1)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == 1.0
    assert seen[37] == pytest.approx(0.55, abs=0.03)
    assert 0.1 < seen[-1] < 0.102


def test_step_multiplies_every_few_epochs() -> None:
    assert rates(name="step", step_size=2, gamma=0.5) == [1.0] * 50 + [0.5] * 25


def test_onecycle_rises_to_lr_and_falls_away() -> None:
    seen = rates(name="onecycle", div_factor=10.0, pct_start=0.2)
    assert seen[0] == pytest.approx(0.1)
    assert max(seen) == seen[14] == pytest.approx(1.0)
    assert seen[-1] == pytest.approx(1e-5)


def test_warmup_cosine_rises_in_a_line_and_falls_along_a_cosine() -> None:
    seen = rates(name="warmup-cosine", warmup=0.2, floor=0.5)
    assert seen[:16] == pytest.approx([(i + 1) / 16 for i in range(16)])
    assert seen[15:] == sorted(seen[15:], reverse=True)
    assert seen[-1] == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize("name", ["cosine", "step", "onecycle", "warmup-cosine"])
@pytest.mark.parametrize("updates", [1, 2, 3])
def test_a_schedule_survives_the_shortest_run(name: str, updates: int) -> None:
    changes = {"scheduler.name": name, "batch_size": 800, "epochs": updates, "optimizer.lr": 1.0}
    training = build(load("line-linear", changes))
    rate = LearningRate(training.optimizer, training.scheduler, training.scheduler_per)
    for _ in range(updates):
        assert 0 < rate.lr <= 1
        training.optimizer.step()
        rate.after_update()
        rate.after_epoch()


def test_accumulating_makes_fewer_updates_for_the_schedule() -> None:
    training = build(load("line-linear", {"scheduler.name": "cosine", "accumulate": 4}))
    scheduler: Any = training.scheduler
    assert scheduler.T_max == 20 * 7  # 25 batches an epoch make 7 windows, the last a short one
