"""The lean optimizers are torch's own, bit for bit, and what is unusual goes torch's way."""

from __future__ import annotations

import math
import sys
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from fivestep.core.training.fused import OPTIMIZERS

CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("SGD", {"lr": torch.tensor(0.1)}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "betas": (0.8, 0.9)}),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "eps": 1e-3, "maximize": True}),
]
NAMES = [f"{name} {' '.join(options)}" for name, options in CASES]


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape)) for shape in ((5, 3), (5,), (), (7, 2))]


def both(name: str, **options: Any) -> list[tuple[list[nn.Parameter], torch.optim.Optimizer]]:
    """The lean optimizer and torch's own, fused, each with parameters of its own."""
    kinds = (OPTIMIZERS[name], getattr(torch.optim, name))
    return [(params := parameters(), kind(params, fused=True, **options)) for kind in kinds]


def give_gradients(params: list[nn.Parameter], step: int) -> None:
    """Other ones each step; the last parameter has none at first, and a frozen one never."""
    generator = torch.Generator().manual_seed(step)
    for i, p in enumerate(params):
        grad = torch.randn(p.shape, generator=generator)
        p.grad = None if i == 1 or (i == 3 and step == 0) else grad


def assert_same(ours: torch.optim.Optimizer, theirs: torch.optim.Optimizer) -> None:
    for group, other in zip(ours.param_groups, theirs.param_groups, strict=True):
        for p, q in zip(group["params"], other["params"], strict=True):
            assert torch.equal(p, q)
            state, wanted = ours.state.get(p, {}), theirs.state.get(q, {})
            assert state.keys() == wanted.keys()
            for name, value in state.items():
                assert value.dtype == wanted[name].dtype, name
                assert torch.equal(value, wanted[name]), name
    mine, other = ours.state_dict(), theirs.state_dict()
    assert mine["param_groups"] == other["param_groups"]
    assert mine["state"].keys() == other["state"].keys()


@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_every_bit_is_torchs(name: str, options: dict[str, Any]) -> None:
    (mine, ours), (others, theirs) = both(name, **options)
    late = bool(options.get("momentum"))  # torch's fused SGD stumbles over a first one that is late
    for step in range(late, 6):
        give_gradients(mine, step)
        give_gradients(others, step)
        ours.step()
        theirs.step()
        assert_same(ours, theirs)
    ours.zero_grad()
    assert all(p.grad is None for p in mine)


@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_a_state_goes_over_to_torch_and_back(name: str, options: dict[str, Any]) -> None:
    (mine, ours), (others, theirs) = both(name, **options)
    for step in range(1, 4):
        give_gradients(mine, step)
        ours.step()
    with torch.no_grad():
        for p, q in zip(mine, others, strict=True):
            q.copy_(p)
    theirs.load_state_dict(deepcopy(ours.state_dict()))  # or they would share the tensors
    assert_same(ours, theirs)
    ours.load_state_dict(deepcopy(theirs.state_dict()))
    for params, optimizer in ((mine, ours), (others, theirs)):
        give_gradients(params, 7)
        optimizer.step()
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_torchs_scaler_takes_it_for_torchs_own(name: str) -> None:
    results = []
    for params, optimizer in both(name, lr=0.1):
        scaler = torch.amp.GradScaler("cpu")
        for last in (1.0, math.inf, 2.0):  # the second update is left out
            optimizer.zero_grad()
            scaler.scale(sum((p * last).sum() for p in params)).backward()
            scaler.step(optimizer)
            scaler.update()
        results.append([*params, torch.tensor(scaler.get_scale())])
    for p, q in zip(*results, strict=True):
        assert torch.isfinite(p).all()
        assert torch.equal(p, q)


def test_momentum_of_a_gradient_that_comes_late_begins_with_that_gradient() -> None:
    early, late = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    ours = OPTIMIZERS["SGD"]([early, late], lr=0.1, momentum=0.9, dampening=0.5, fused=True)
    early.grad = torch.ones(2)
    ours.step()
    early.grad, late.grad = torch.ones(2), torch.full((2,), 3.0)
    ours.step()
    assert torch.equal(ours.state[late]["momentum_buffer"], torch.full((2,), 3.0))
    assert torch.equal(ours.state[early]["momentum_buffer"], torch.full((2,), 1.4))


def test_groups_have_options_of_their_own() -> None:
    results = []
    for kind in (OPTIMIZERS["SGD"], torch.optim.SGD):
        a, b, c, d = parameters()
        optimizer = kind([{"params": [a, b]}, {"params": [c], "lr": 1.0}], lr=0.1, fused=True)
        optimizer.add_param_group({"params": [d], "momentum": 0.5})
        for step in range(1, 4):
            give_gradients([a, b, c, d], step)
            optimizer.param_groups[0]["lr"] *= 0.5  # as a schedule does
            optimizer.step()
        results.append([a, b, c, d])
    for p, q in zip(*results, strict=True):
        assert torch.equal(p, q)


def test_mixed_types_and_what_is_not_fused_go_torchs_way() -> None:
    for options in ({"fused": False}, {"foreach": True}, {"fused": True}):
        results = []
        for kind in (OPTIMIZERS["AdamW"], torch.optim.AdamW):
            params = parameters()
            if options.get("fused"):
                params[0] = nn.Parameter(params[0].detach().double())
            optimizer = kind(params, lr=0.1, **options)
            for p in params:
                p.grad = torch.ones_like(p)
            optimizer.step()
            results.append(params)
        for p, q in zip(*results, strict=True):
            assert torch.equal(p, q)


def test_hooks_closures_and_scales_are_torchs_business() -> None:
    called: list[str] = []
    (p, *_) = parameters()
    ours = OPTIMIZERS["SGD"]([p], lr=0.1, fused=True)
    p.grad = torch.ones_like(p)
    before = ours.register_step_pre_hook(lambda *_: called.append("before"))
    after = ours.register_step_post_hook(lambda *_: called.append("after"))
    everywhere = register_optimizer_step_post_hook(lambda *_: called.append("everywhere"))
    try:
        ours.step()
        before.remove()
        after.remove()
        ours.step()
    finally:
        everywhere.remove()
    assert called == ["before", "after", "everywhere", "everywhere"]
    assert ours.step(lambda: 0.25) == 0.25
    kept = p.detach().clone()
    ours.found_inf = torch.ones(())  # as a GradScaler says that this update must not happen
    ours.step()
    assert torch.equal(p, kept)
    del ours.found_inf
    ours.step()
    assert not torch.equal(p, kept)
    ours.zero_grad(set_to_none=False)
    assert p.grad is not None
    assert not p.grad.any()


KERNELS = {"SGD": "_fused_sgd_", "Adam": "_fused_adam_", "AdamW": "_fused_adamw_"}


@pytest.mark.parametrize("how", ["missing", "failing"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_a_kernel_training_goes_on_with_torchs_own_optimizer(
    name: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own optimizer reaches the kernel by another way, so only the lean one is hit."""
    options: dict[str, Any] = {"momentum": 0.9} if name == "SGD" else {}
    (mine, ours), (others, theirs) = both(name, lr=0.1, **options)
    bare = getattr(torch, KERNELS[name])

    def failing(*arguments: Any, **more: Any) -> None:
        if sys._getframe(1).f_globals["__name__"].startswith("fivestep."):
            raise AttributeError(KERNELS[name]) if how == "missing" else RuntimeError("no kernel")
        bare(*arguments, **more)

    for step in range(1, 6):
        if step == (1 if how == "missing" else 3):
            monkeypatch.setattr(torch, KERNELS[name], failing)
        give_gradients(mine, step)
        give_gradients(others, step)
        ours.step()
        theirs.step()
        assert_same(ours, theirs)
