"""Parameters in numbers: an optimizer's rule with the real values in it gives the real result."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fivestep.core.inspection.parameters import ParameterWatch
from fivestep.core.protocol.at_hand import BATCH, PARAMETERS, Formula
from fivestep.core.protocol.commands import Show
from fivestep.core.session.session import Session
from fivestep.presets.build import build
from fivestep.presets.recipe import load

ADAM = ("m", "v", "m corrected", "v corrected")


def worked_out(formula: Formula) -> float:
    """What the arithmetic gives to somebody who does it with the numbers as they stand there."""
    text = " ".join(
        f"({part!r})" if isinstance(part, float) else str(part) for part in formula.parts
    )
    text = re.sub(r"√ (\([^)]*\))", r"\1**0.5", text).replace("²", "**2")
    return float(eval(text.replace("×", "*").replace("^", "**")))


def one_update(model: nn.Module, optimizer: Any, batches: int = 3) -> ParameterWatch:
    """Some batches of a tiny regression, the last of them watched."""
    watch = ParameterWatch(model, optimizer)
    draw = torch.Generator().manual_seed(0)
    for batch in range(1, batches + 1):
        features = torch.randn(8, 2, generator=draw)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(features).sum(1), features.sum(1)).backward()
        watch.before_update()
        optimizer.step()
        watch.after_update(batch)
    return watch


@pytest.mark.parametrize(
    ("kind", "options", "lines"),
    [
        ("SGD", {}, ["w[0,0]", "w[0,1]"]),
        ("SGD", {"weight_decay": 0.1}, ["g", "w[0,0]", "g", "w[0,1]"]),
        ("SGD", {"momentum": 0.9}, ["momentum", "w[0,0]", "momentum", "w[0,1]"]),
        ("SGD", {"momentum": 0.9, "dampening": 0.5}, None),
        ("SGD", {"momentum": 0.9, "nesterov": True}, None),
        ("Adam", {}, [*ADAM, "w[0,0]", *ADAM, "w[0,1]"]),
        ("Adam", {"weight_decay": 0.1}, None),
        ("Adam", {"amsgrad": True}, None),
        ("AdamW", {"weight_decay": 0.1, "fused": True}, None),
        ("RMSprop", {}, ["v", "w[0,0]", "v", "w[0,1]"]),
        ("RMSprop", {"momentum": 0.9, "weight_decay": 0.1}, None),
    ],
)  # fmt: skip
def test_a_rule_worked_out_by_hand_gives_what_the_update_gave(
    kind: str, options: dict[str, Any], lines: list[str] | None
) -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1, **options)
    weight, bias = one_update(model, optimizer).look().rows
    assert weight.values == tuple(model.weight.flatten().tolist())
    assert weight.grads == tuple(model.weight.grad.flatten().tolist())
    assert lines is None or [formula.name for formula in weight.update] == lines
    for formula in (*weight.update, *bias.update):
        assert "moved by" not in formula.parts
        if formula.parts:
            assert worked_out(formula) == pytest.approx(formula.result, rel=1e-4, abs=1e-6)
    results = [f.result for f in weight.update if f.name.startswith("w")]
    assert results == list(weight.values)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("NAdam", {}), ("SGD", {"maximize": True}), ("RMSprop", {"centered": True})],
)
def test_of_a_rule_that_is_not_known_only_the_move_is_told(kind: str, options: Any) -> None:
    model = nn.Linear(2, 1)
    watch = one_update(model, getattr(torch.optim, kind)(model.parameters(), lr=0.1, **options))
    (weight, _) = watch.look().rows
    assert [f.parts[1] for f in weight.update] == ["moved by", "moved by"]
    assert [f.result for f in weight.update] == list(weight.values)


def test_of_a_large_parameter_one_number_is_followed() -> None:
    model = nn.Linear(2, 9)
    watch = one_update(model, torch.optim.SGD(model.parameters(), lr=0.1))
    weight, bias = watch.look().rows
    at = int(model.weight.grad.abs().argmax())
    (formula,) = weight.update
    assert formula.name == f"w[{at // 2},{at % 2}]"
    assert formula.result == model.weight.flatten()[at].item()
    assert (weight.values, bias.update) == ((), ())
    assert weight.grad_norm == pytest.approx(model.weight.grad.norm().item())


def test_gradients_that_add_up_are_told_as_a_sum() -> None:
    model = nn.Linear(1, 1)
    watch = ParameterWatch(model, torch.optim.SGD(model.parameters(), lr=0.1))
    grads: list[Tensor] = []
    for _ in range(2):
        watch.before_backward()
        model(torch.ones(3, 1)).sum().backward()
        watch.after_backward()
        grads.append(model.weight.grad.clone())
    weight, _ = watch.look().rows
    (formula,) = weight.added
    assert (formula.name, *formula.parts, formula.result) == ("gradient", 3.0, "+", 3.0, 6.0)
    model.zero_grad()
    assert watch.look().rows[0].added == ()
    assert watch.look().rows[0].grad_norm is None


def test_why_a_parameter_has_no_gradient_or_does_not_learn() -> None:
    model = nn.ModuleDict({name: nn.Linear(1, 1) for name in ("used", "frozen", "unused", "left")})
    model["frozen"].requires_grad_(False)
    learning = [p for name in ("used", "frozen", "unused") for p in model[name].parameters()]
    watch = ParameterWatch(model, torch.optim.SGD(learning, lr=0.1))

    def told() -> dict[str, str]:
        return {row.name.split(".")[0]: row.why for row in watch.look().rows}

    before = {"used": "", "unused": ""}
    kept = {
        "frozen": "frozen: requires_grad is False",
        "left": "not in the optimizer: it is never updated",
    }
    assert told() == {**before, **kept}
    model["left"](model["frozen"](model["used"](torch.ones(1, 1)))).backward()
    assert told() == {"used": "", "unused": "unused: it had no part in this loss", **kept}
    assert all(row.grad_norm is not None for row in watch.look().rows if row.name[:4] == "left")


@pytest.mark.parametrize("view", [PARAMETERS, BATCH])
def test_looking_never_changes_the_numbers(view: str) -> None:
    def trained(show: Show) -> list[Tensor]:
        session = Session(build(load("moons-mlp", {"epochs": 1, "model.dropout": 0.2})))
        session.send(show)
        session.run()
        assert session.latest().batches_done > 0
        return [p.detach() for p in session.training.model.parameters()]

    pairs = zip(trained(Show()), trained(Show(layers=True, view=view)), strict=True)
    assert all(torch.equal(bare, watched) for bare, watched in pairs)
    assert not math.isnan(sum(float(p.sum()) for p in trained(Show(view=view))))
