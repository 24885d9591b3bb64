"""The learning-rate range test: it sweeps every parameter group, ends when the loss diverges, and
suggests a learning rate only where the loss falls.
"""

from __future__ import annotations

import pytest
import torch

from fivestep.core.training.lr_range import HIGH, LOW, UPDATES, lr_range
from fivestep.core.training.unfit import UnfitError


def squares(make_training, size: float, **options):
    """A parabola: gradient descent diverges from lr 2 / size on, and falls fast below it."""
    weight = torch.nn.Linear(6, 1, bias=False)
    torch.nn.init.constant_(weight.weight, 1.0)
    options.setdefault("optimizer", torch.optim.SGD)
    return make_training(
        model=weight,
        criterion=lambda outputs, labels: (
            size / 2 * weight.weight.square().sum() + 0 * outputs.sum()
        ),
        **options,
    )


def test_it_ends_where_the_loss_diverges_and_suggests_what_makes_it_fall(make_training) -> None:
    found = lr_range(squares(make_training, 10.0))
    assert found.diverged
    assert 0.2 < found.points[-1].lr < 1.0, "beyond 0.2 each update makes the loss grow"
    assert 0.001 < found.suggestion < 0.2
    assert found.reason.startswith("there the loss falls fastest; it is lowest at 0.")
    assert "it diverges at 0." in found.reason
    assert [point.lr for point in found.points] == sorted(point.lr for point in found.points)


def test_without_divergence_it_goes_all_the_way(make_training) -> None:
    found = lr_range(squares(make_training, 0.01))
    assert not found.diverged
    assert len(found.points) == UPDATES
    assert (found.points[0].lr, found.points[-1].lr) == (LOW, pytest.approx(HIGH))
    assert "never diverges" in found.reason


@pytest.mark.parametrize("size", [0.0, float("nan")])
def test_where_the_loss_never_falls_it_suggests_nothing(make_training, size: float) -> None:
    found = lr_range(squares(make_training, size))
    assert found.suggestion is None
    assert "look at the data" in found.reason


def test_parameter_groups_keep_their_proportions_and_windows_make_one_update(make_training) -> None:
    used = []

    class Seen(torch.optim.SGD):
        def step(self, *arguments):
            used.append([group["lr"] for group in self.param_groups])
            return super().step(*arguments)

    def groups(parameters, lr):
        first, *others = parameters
        return Seen([{"params": [first], "lr": lr / 10}, {"params": others, "lr": lr}])

    found = lr_range(make_training(optimizer=groups, accumulate=3, epochs=1))
    assert all(high == pytest.approx(10 * low) for low, high in used)
    assert [point.lr for point in found.points][: len(used)] == [high for _, high in used]
    assert len(found.points) - len(used) <= 1, "the update that would make it worse is not taken"


def test_an_optimizer_without_a_learning_rate_is_refused(make_training) -> None:
    with pytest.raises(UnfitError, match="not above 0"):
        lr_range(squares(make_training, 1.0, lr=0.0))
