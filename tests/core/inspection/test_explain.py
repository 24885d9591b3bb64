"""Every sentence of the guide on what a step does, seen on real runs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fivestep.core.inspection.explain import Batch, Explained, Phase, explain
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.steps import FIVE, Step
from fivestep.core.session.session import Session
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.training import Training

SGD = torch.optim.SGD


def one(explained: Explained, step: Step, batch: int = 0) -> Phase:
    phase = explained.batches[batch].phase(step)
    assert phase is not None
    return phase


def words(phase: Phase) -> set[str]:
    """What became of the layers' gradients."""
    return {layer.grads for layer in phase.layers}


def test_the_five_steps_come_in_the_order_of_the_guide(make_training):
    found = explain(make_training(), 3)
    assert [[phase.step for phase in batch.phases] for batch in found.batches] == [list(FIVE)] * 3
    assert [batch.number for batch in found.batches] == [1, 2, 3]
    assert found.failure is None


def test_an_epoch_is_one_pass_over_all_samples_in_batches(make_training):
    found = explain(make_training(samples=50, batch_size=8), 14)
    sizes = [batch.facts.features[0].shape[0] for batch in found.batches]
    assert sizes == [8, 8, 8, 8, 8, 8, 2] * 2
    assert [(batch.epoch, batch.number) for batch in found.batches] == [
        (epoch, number) for epoch in (1, 2) for number in range(1, 8)
    ]


# 1. optimizer.zero_grad()


def test_zero_grad_resets_the_gradients_of_all_parameters(make_training):
    found = explain(make_training())
    filled = one(found, Step.UPDATE, 0).grad_after
    cleared = one(found, Step.ZERO_GRAD, 1)
    assert cleared.grad_before == filled > 0
    assert cleared.grad_after is None
    assert words(cleared) == {"cleared"}
    assert not cleared.moved


def test_the_first_batch_has_nothing_to_clear(make_training):
    first = one(explain(make_training(), 1), Step.ZERO_GRAD)
    assert first.grad_before is first.grad_after is None
    assert words(first) == {"unchanged"}


def equal_batches(times: int) -> Training:
    """A linear model and the same batch again and again."""
    torch.manual_seed(0)
    features, labels = torch.randn(8, 5), torch.randn(8, 2)  # (B, D), (B, V)
    batches = TensorBatches(features.repeat(times, 1), labels.repeat(times, 1), 8)
    model = nn.Linear(5, 2)
    return Training(model, nn.MSELoss(), SGD(model.parameters(), lr=0.1), batches, threads=1)


def test_without_zero_grad_equal_batches_add_up():
    faults = [Fault.NO_ZERO_GRAD, Fault.NO_STEP]  # the weights stay, so the gradient does
    found = explain(equal_batches(3), 3, faults)
    first = one(found, Step.BACKWARD).grad_after
    norms = [one(found, Step.BACKWARD, i).grad_after for i in range(3)]
    assert norms == pytest.approx([first, 2 * first, 3 * first], rel=1e-6)
    assert words(one(found, Step.BACKWARD, 0)) == {"filled"}
    assert words(one(found, Step.BACKWARD, 1)) == {"added to"}
    assert words(one(found, Step.ZERO_GRAD, 1)) == {"unchanged"}
    assert not one(found, Step.ZERO_GRAD, 1).taken


def test_with_zero_grad_they_do_not():
    found = explain(equal_batches(3), 3, [Fault.NO_STEP])
    norms = {one(found, Step.BACKWARD, i).grad_after for i in range(3)}
    assert len(norms) == 1


# 2. outputs = model(features)


def test_forward_gives_outputs_and_changes_no_weight_and_no_gradient(make_training):
    found = explain(make_training())
    for i, batch in enumerate(found.batches):
        assert [fact.shape for fact in batch.facts.features] == [(8, 6)]
        assert [fact.shape for fact in batch.facts.labels] == [(8,)]
        assert [fact.shape for fact in batch.facts.outputs] == [(8, 3)]
        forward = one(found, Step.FORWARD, i)
        assert not forward.moved
        assert not forward.graded
        assert {name.split(".")[0] for name in forward.buffers} == {"1"}  # batch norm's averages


# 3. loss = criterion(outputs, labels)


def test_the_loss_is_one_number_and_changes_nothing(make_training):
    found = explain(make_training())
    for i, batch in enumerate(found.batches):
        loss = one(found, Step.LOSS, i)
        assert isinstance(batch.loss, float)
        assert batch.loss == batch.facts.loss > 0
        assert not loss.moved
        assert not loss.graded
        assert loss.buffers == ()


def test_the_loss_is_the_average_over_the_batch():
    training = equal_batches(1)
    pairs = zip(training.batches.features, training.batches.labels, strict=True)
    with torch.no_grad():
        errors = [float(nn.MSELoss()(training.model(x), y)) for x, y in pairs]
    assert explain(training, 1).batches[0].loss == pytest.approx(math.fsum(errors) / 8)


# 4. loss.backward()


def test_backward_fills_the_gradients_and_moves_nothing(make_training):
    backward = one(explain(make_training(), 1), Step.BACKWARD)
    assert words(backward) == {"filled"}
    assert all(layer.after.grad_norm > 0 for layer in backward.layers)
    assert not backward.moved
    assert backward.buffers == ()


class Spare(nn.Module):
    """Two layers that are used, the first of them frozen, and one that is not."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.Linear(6, 4).requires_grad_(False)
        self.used, self.spare = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.used(self.frozen(x))


def test_backward_leaves_out_what_asks_for_no_gradient_or_had_no_part_in_the_loss(make_training):
    training = make_training()
    training.model = Spare()
    training.optimizer = SGD(training.model.parameters(), lr=0.1)
    found = one(explain(training, 1), Step.BACKWARD).layers
    assert [(layer.after.name, layer.grads) for layer in found] == [
        ("frozen", "unchanged"),
        ("used", "filled"),
        ("spare", "unchanged"),
    ]
    assert [layer.after.grad_norm is None for layer in found] == [True, False, True]
    assert [layer.after.frozen for layer in found] == [True, False, False]


# 5. optimizer.step()


def test_step_moves_every_weight_straight_against_its_gradient(make_training):
    found = explain(make_training(optimizer=SGD))
    for i, batch in enumerate(found.batches):
        step = one(found, Step.UPDATE, i)
        assert {layer.weights for layer in step.layers} == {"moved"}
        assert [layer.after.against for layer in step.layers] == pytest.approx([1, 1, 1])
        assert batch.against == pytest.approx(1)
        assert words(step) == {"unchanged"}


def test_how_far_depends_on_the_learning_rate_and_the_gradient():
    for lr in (0.01, 0.1):
        training = equal_batches(1)
        training.optimizer.param_groups[0]["lr"] = lr
        size = nn.utils.parameters_to_vector(training.model.parameters()).norm().item()
        batch = explain(training, 1).batches[0]
        assert batch.lr == lr
        assert batch.update_ratio == pytest.approx(lr * batch.grad_norm / size)


def test_other_rules_go_against_the_gradient_too_though_not_straight(make_training):
    batch = explain(make_training(), 1).batches[0]
    assert 0.3 < batch.against < 0.99


def test_the_same_batch_has_a_lower_loss_after_the_step(make_training):
    for batch in explain(make_training(optimizer=SGD, lr=0.05), 6).batches:
        assert batch.loss_again < batch.loss


# model.train(), model.eval()


def test_dropout_draws_anew_in_train_mode_and_does_nothing_in_eval_mode():
    training = equal_batches(1)
    training.model = nn.Sequential(training.model, nn.Dropout(0.5))
    modes = explain(training, 1).modes
    assert modes.layers == (("1", "Dropout"),)
    assert modes.train_apart > 0
    assert modes.eval_apart == 0
    assert modes.between > 0
    assert modes.train_moves == modes.eval_moves == ()


def test_batch_norm_goes_by_the_batch_in_train_mode_and_by_its_averages_in_eval_mode():
    training = equal_batches(1)
    training.model = nn.Sequential(training.model, nn.BatchNorm1d(2))
    modes = explain(training, 1).modes
    assert modes.layers == (("1", "BatchNorm1d"),)
    assert modes.train_apart == modes.eval_apart == 0
    assert modes.between > 0
    assert modes.train_moves == ("1.running_mean", "1.running_var", "1.num_batches_tracked")
    assert modes.eval_moves == ()


def test_without_either_both_modes_are_the_same():
    modes = explain(equal_batches(1), 1).modes
    assert modes.layers == ()
    assert modes.train_apart == modes.eval_apart == modes.between == 0
    assert modes.train_loss == modes.eval_loss


# The loop broken on purpose.


def unlearned(batch: Batch) -> bool:
    return batch.loss_again == batch.loss and not batch.update_ratio


def test_zero_grad_after_backward_leaves_nothing_to_go_by(make_training):
    found = explain(make_training(), 2, [Fault.LATE_ZERO_GRAD])
    for batch in found.batches:
        steps = [(phase.step, phase.taken) for phase in batch.phases]
        assert steps[0] == (Step.ZERO_GRAD, False)
        assert steps[4] == (Step.ZERO_GRAD, True)
        assert words(batch.phases[4]) == {"cleared"}
        assert batch.grad_norm is None
        assert unlearned(batch)


@pytest.mark.parametrize("fault", [Fault.NO_BACKWARD, Fault.NO_STEP])
def test_what_is_left_out_leaves_the_weights_alone(make_training, fault):
    found = explain(make_training(), 2, [fault])
    assert found.faults == (fault,)
    for i, batch in enumerate(found.batches):
        step = {Fault.NO_BACKWARD: Step.BACKWARD, Fault.NO_STEP: Step.UPDATE}[fault]
        assert not one(found, step, i).taken
        assert (batch.grad_norm is None) is (fault is Fault.NO_BACKWARD)
        assert unlearned(batch)


def test_without_train_nothing_drops_out_and_no_average_moves(make_training):
    found = explain(make_training(), 2, [Fault.EVAL_MODE])
    assert not any(batch.train_mode for batch in found.batches)
    assert not any(phase.buffers for batch in found.batches for phase in batch.phases)
    assert found.batches[0].loss != explain(make_training(), 1).batches[0].loss


def test_a_hundredfold_learning_rate_goes_too_far():
    healthy = explain(equal_batches(1), 1).batches[0]
    broken = explain(equal_batches(1), 1, [Fault.LR_TIMES_100]).batches[0]
    assert broken.lr == pytest.approx(100 * healthy.lr)
    assert broken.update_ratio == pytest.approx(100 * healthy.update_ratio, rel=1e-3)
    assert healthy.loss_again < healthy.loss == broken.loss < broken.loss_again


# What explaining itself does.


@pytest.mark.parametrize("parts", [{}, {"accumulate": 3, "clip_norm": 0.1}], ids=["plain", "full"])
def test_explaining_trains_bit_for_bit_as_a_run_does(make_training, parts):
    told: list[float] = []

    class Listener:
        def batch(self, epoch, batch, batches_done, loss, lr):
            told.append(loss)

        def epoch(self, summary): ...

        def change(self, change): ...

    trained, explained = make_training(**parts), make_training(**parts)
    Session(trained, Listener()).run()
    found = explain(explained, 1000)
    assert [batch.loss for batch in found.batches] == told
    assert len(told) == 3 * 7
    for a, b in zip(trained.model.parameters(), explained.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_gradients_are_accumulated_and_clipped_as_the_loop_does_it(make_training):
    found = explain(make_training(accumulate=2, clip_norm=0.1), 2)
    first, second = ([phase.step for phase in batch.phases] for batch in found.batches)
    assert first == [Step.ZERO_GRAD, Step.FORWARD, Step.LOSS, Step.BACKWARD]
    assert second == [Step.FORWARD, Step.LOSS, Step.BACKWARD, Step.CLIP, Step.UPDATE]
    assert words(one(found, Step.BACKWARD, 1)) == {"added to"}
    assert words(one(found, Step.CLIP, 1)) == {"clipped"}
    assert one(found, Step.CLIP, 1).grad_after == pytest.approx(0.1, rel=1e-4)
    assert found.batches[0].update_ratio is None
    assert found.batches[0].loss_again == found.batches[0].loss


def test_a_step_that_fails_is_told_with_what_went_before(make_training):
    training = make_training(batch_size=40)
    training.batches.features[45:] = math.nan

    def criterion(outputs, labels):
        if outputs.isnan().any():
            raise ValueError("not like this")
        return nn.functional.cross_entropy(outputs, labels)

    training.criterion = criterion
    found = explain(training, 9)
    assert found.failure.reason.startswith("ValueError: not like this (outputs ")
    assert ", loss" in found.failure.where
