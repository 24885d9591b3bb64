"""Early stopping: when it ends a run, that a resume changes nothing of it, and what it needs."""

from __future__ import annotations

import pytest
import torch
from states import every_state, finished

from fivestep.core.protocol.steps import State, Task
from fivestep.core.session.session import Session
from fivestep.core.training.unfit import UnfitError


class Falls(torch.nn.Module):
    """A loss that follows a list, one value an epoch: what it has learned is of no account."""

    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.values = iter(values)

    def forward(self, features):
        if self.training:
            return features[:, :1] * 0 + self.weight
        return features[:, :1] * 0 + next(self.values)


def session_of(make_training, values: list[float], **options) -> Session:
    return finished(
        make_training(
            model=Falls(values),
            criterion=lambda outputs, labels: outputs.mean() + 0 * labels.sum(),
            task=Task(),
            epochs=len(values),
            samples=8,
            validation=[(torch.zeros(2, 6), torch.zeros(2))],
            **options,
        )
    )


@pytest.mark.parametrize(
    ("values", "options", "epochs", "told"),
    [
        ([5, 4, 3, 4, 3, 2, 1], {"early_stop": 2}, 5, "better than 3 (epoch 3) in 2 validations"),
        ([5, 4, 3, 4, 2, 1, 0], {"early_stop": 2}, 7, "7 epochs trained"),
        ([5, 4.9, 4.8, 1, 1], {"early_stop": 2, "min_delta": 0.5}, 3, "(epoch 1) by more than 0.5"),
        ([float("nan")] * 5, {"early_stop": 3}, 3, "no val_loss finite in 3 validations"),
        ([5, 6, 7], {"early_stop": 2}, 3, "3 epochs trained"),
        ([5, 6, 7], {}, 3, "3 epochs trained"),
    ],
)
def test_it_ends_a_run_that_gets_no_better(make_training, values, options, epochs, told) -> None:
    session = session_of(make_training, values, **options)
    assert session.outcome.state is State.FINISHED
    assert told in session.outcome.reason
    assert session.latest().last.epoch == epochs
    assert session.info.early_stop == options.get("early_stop")


def test_it_comes_at_the_same_batch_wherever_the_run_was_interrupted(make_training) -> None:
    def training():
        return make_training(epochs=20, early_stop=3)

    states, whole = every_state(training())
    weights = [p.tolist() for p in whole.training.model.parameters()]
    assert whole.latest().last.epoch < 20
    for state in (*states[1::9], states[-1]):
        again = finished(training(), state=state)
        assert again.outcome == whole.outcome
        assert again.latest().batches_done == whole.latest().batches_done
        assert [p.tolist() for p in again.training.model.parameters()] == weights


def test_without_validation_it_is_refused(make_training) -> None:
    with pytest.raises(UnfitError, match="waits for validations, and there are none"):
        Session(make_training(validation=None, early_stop=2))
