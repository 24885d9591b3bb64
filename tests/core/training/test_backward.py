"""The short way of `loss.backward()` is torch's, bit for bit, and is gone when the run is over."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fivestep.core.training.backward import lean_backward

TORCHS = Tensor.backward


def gradients(loss_of: Callable[[nn.Module, Tensor], Tensor], *, lean: bool) -> list[Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2))
    x = torch.randn(5, 3)
    if lean:
        with lean_backward():
            assert Tensor.backward is not TORCHS
            loss_of(model, x).backward()
    else:
        loss_of(model, x).backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda model, x: model(x).sum(),
        lambda model, x: nn.functional.cross_entropy(model(x), torch.ones(5, dtype=torch.long)),
        lambda model, x: model.double()(x.double()).square().mean(),
        lambda model, x: model(x).mean().reshape(1),  # a shape that torch takes, too
        lambda model, x: model(x).mean().to(torch.bfloat16),
    ],
)
def test_every_bit_is_torchs(loss_of: Callable[[nn.Module, Tensor], Tensor]) -> None:
    lean, whole = gradients(loss_of, lean=True), gradients(loss_of, lean=False)
    assert len(lean) == 4
    for a, b in zip(lean, whole, strict=True):
        assert torch.equal(a, b)


def test_options_and_errors_are_torchs() -> None:
    w = torch.ones(3, requires_grad=True)
    with lean_backward():
        loss = (w * 2).sum()
        loss.backward(retain_graph=True)
        loss.backward(torch.tensor(3.0))
        assert torch.equal(w.grad, torch.full((3,), 8.0))
        with pytest.raises(RuntimeError, match="a second time"):
            loss.backward()
        with pytest.raises(RuntimeError, match="only for scalar outputs"):
            (w * 2).backward()
        with pytest.raises(RuntimeError, match="does not require grad"):
            torch.ones(()).backward()
        with pytest.raises(RuntimeError, match="real scalar outputs"):
            (w * 1j).sum().backward()
        with pytest.raises(RuntimeError, match="functorch transform"):
            torch.func.vmap(lambda x: (w * x).sum().backward())(torch.ones(2))


def test_it_lasts_until_the_last_run_is_over() -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with lean_backward():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with lean_backward():
        thread.start()
        assert inside.wait(10)
    assert Tensor.backward is not TORCHS
    leave.set()
    thread.join()
    assert Tensor.backward is TORCHS
    with pytest.raises(ZeroDivisionError), lean_backward():
        raise ZeroDivisionError
    assert Tensor.backward is TORCHS
