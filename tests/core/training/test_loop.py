"""The loop as a generator: order of steps, accumulation, clipping, validation."""

from __future__ import annotations

import copy
from itertools import chain, pairwise

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.steps import FIVE, STEPS, Step, Task
from fivestep.core.training.data import Feed, TensorBatches
from fivestep.core.training.loop import (
    full_epoch,
    needs_full_loop,
    plain_epoch,
    training_loop,
    validate,
)
from fivestep.core.training.lr import LearningRate
from fivestep.core.training.metrics import meter_for
from fivestep.core.training.progress import Progress
from fivestep.core.training.training import Training


def rate_of(training: Training) -> LearningRate:
    return LearningRate(training.optimizer, training.scheduler, training.scheduler_per)


def run(training: Training, epoch=plain_epoch) -> list[Step]:
    at = Progress()
    return list(epoch(training, rate_of(training), at, feed(training, at)))


def feed(training: Training, at: Progress) -> Feed:
    return Feed(training.batches, training.device, at.batch)


def test_a_batch_takes_the_five_steps_in_the_order_of_the_guide(make_training):
    steps = run(make_training(samples=16, batch_size=8))
    assert steps == [Step.DATA, *FIVE, Step.OTHER] * 2


def test_a_step_is_announced_before_it_is_taken(make_training):
    training = make_training()
    weight = training.model[0].weight
    before = weight.detach().clone()
    at = Progress()
    loop = plain_epoch(training, rate_of(training), at, feed(training, at))
    while next(loop) is not Step.BACKWARD:
        pass
    assert weight.grad is None
    next(loop)
    assert weight.grad is not None
    assert torch.equal(weight, before)
    next(loop)
    assert not torch.equal(weight, before)


def test_there_is_no_gate_for_a_batch_that_does_not_come(make_training):
    training = make_training(samples=20, batch_size=8)
    assert run(training).count(Step.DATA) == 3
    loader = DataLoader(TensorDataset(torch.randn(20, 6), torch.zeros(20).long()), 8)
    training = make_training(batches=loader)
    assert run(training).count(Step.DATA) == 3


def test_an_iterable_loader_without_a_length_is_trained_to_its_end(make_training):
    class Stream(IterableDataset):
        def __iter__(self):
            for i in range(20):
                yield torch.full((6,), float(i)), i % 3

    at = Progress()
    training = make_training(batches=DataLoader(Stream(), batch_size=8))
    list(plain_epoch(training, rate_of(training), at, feed(training, at)))
    assert (at.batch, at.samples_done) == (3, 20)


def test_the_epoch_goes_on_from_the_batch_where_it_was(make_training):
    training = make_training()
    seen = [features for features, _ in training.batches.batches()]
    training.batches.generator.manual_seed(11)
    at = Progress(batch=4)
    loop = plain_epoch(training, rate_of(training), at, feed(training, at))
    next(loop), next(loop)
    assert torch.equal(at.features, seen[4])
    list(loop)
    assert at.batch == len(training.batches)


def test_validation_runs_in_eval_mode_without_gradients_and_gives_every_mode_back(make_training):
    training = make_training()
    training.model.train()
    training.model[3].eval()  # somebody froze the dropout
    buffers = copy.deepcopy(training.model.state_dict())
    rng = torch.get_rng_state()
    meter = meter_for(Task("classification"))
    modes = set()
    for step in validate(training, Progress(), meter):
        assert step is Step.VALIDATE
        modes.add(training.model.training)
        assert torch.is_grad_enabled()  # nothing global is left on at a gate
    assert modes == {False}
    assert training.model.training
    assert not training.model[3].training
    assert torch.equal(torch.get_rng_state(), rng)
    for name, value in training.model.state_dict().items():
        assert torch.equal(value, buffers[name])
    loss, metrics = meter.result()
    assert loss > 0
    assert 0 <= metrics["accuracy"] <= 1


def test_a_validation_given_up_in_the_middle_gives_the_modes_back(make_training):
    training = make_training()
    training.model.train()
    at = Progress()
    steps = validate(training, at, meter_for(Task("classification")))
    next(steps), next(steps)
    assert not training.model.training
    steps.close()
    assert training.model.training
    assert at.val_batch == 0


def test_each_epoch_returns_to_training_mode_after_validation(make_training):
    training = make_training(epochs=2)
    modes = {}
    at = Progress()
    loops = training_loop(training, rate_of(training), at, lambda: meter_for(training.task))
    for step in chain.from_iterable(loops):
        if step in (Step.FORWARD, Step.VALIDATE):
            modes.setdefault((at.epoch, step), set()).add(training.model.training)
    assert modes == {
        (0, Step.FORWARD): {True},
        (0, Step.VALIDATE): {False},
        (1, Step.FORWARD): {True},
        (1, Step.VALIDATE): {False},
    }


def parameters(training: Training) -> list[torch.Tensor]:
    return [p.detach().clone() for p in training.model.parameters()]


def test_the_fuller_loop_with_everything_off_equals_the_plain_one_bit_for_bit(make_training):
    plain, full = make_training(), make_training()
    for training, epoch in ((plain, plain_epoch), (full, full_epoch)):
        torch.manual_seed(5)
        steps = run(training, epoch)
        assert steps == [Step.DATA, *FIVE, Step.OTHER] * 7
    for a, b in zip(parameters(plain), parameters(full), strict=True):
        assert torch.equal(a, b)


def test_the_loop_is_chosen_by_what_the_training_asks_for(make_training):
    assert not needs_full_loop(make_training())
    assert needs_full_loop(make_training(), {Fault.NO_STEP})
    assert needs_full_loop(make_training(accumulate=2))
    assert needs_full_loop(make_training(clip_norm=1.0))


@pytest.mark.parametrize("fault", [None, *Fault])
def test_a_stream_ends_its_last_window_early_whatever_is_broken(fault):
    training = linear_training(4, 2, samples=12)
    known = training.batches
    training.batches = (pair for pair in list(known))
    progress = Progress(faults=frozenset({fault} if fault else ()))
    steps = list(full_epoch(training, rate_of(training), progress, feed(training, progress)))
    assert progress.updates == steps.count(Step.UPDATE) == 2


def linear_training(batch_size: int, accumulate: int, samples: int = 20) -> Training:
    """Without dropout or batch norm the gradient of a window is that of one large batch."""
    torch.manual_seed(0)
    features, labels = torch.randn(samples, 4), torch.randn(samples, 1)
    model = nn.Linear(4, 1)
    return Training(
        model,
        nn.MSELoss(),
        torch.optim.SGD(model.parameters(), lr=0.1),
        TensorBatches(features, labels, batch_size),
        accumulate=accumulate,
    )


@pytest.mark.parametrize("samples", [24, 20, 32])
def test_accumulated_batches_equal_one_large_batch(samples):
    """20 samples in batches of 4 and windows of 3 leave a last window of two batches."""
    small, large = linear_training(4, 3, samples), linear_training(12, 1, samples)
    small_steps = run(small, full_epoch)
    run(large)
    for a, b in zip(parameters(small), parameters(large), strict=True):
        torch.testing.assert_close(a, b)
    assert small_steps.count(Step.UPDATE) == -(-samples // 12)
    assert small_steps.count(Step.ZERO_GRAD) == -(-samples // 12)


def test_a_loader_without_a_length_scales_its_short_last_window_too():
    large = linear_training(12, 1)
    small = linear_training(4, 3)
    known = small.batches
    small.batches = (pair for pair in list(known))
    run(large)
    run(small, full_epoch)
    for a, b in zip(parameters(small), parameters(large), strict=True):
        torch.testing.assert_close(a, b)


def test_clipping_bounds_the_norm_of_the_gradients_before_the_update(make_training):
    training = make_training(clip_norm=0.01)
    at = Progress()
    norms = []
    for step in full_epoch(training, rate_of(training), at, feed(training, at)):
        if step is Step.UPDATE:
            grads = [p.grad for p in training.model.parameters()]
            norms.append(torch.nn.utils.get_total_norm(grads).item())
            assert at.grad_norm > 0.01
    assert max(norms) <= 0.01 * 1.001


def test_the_shown_code_is_the_code_that_runs():
    import inspect

    source = inspect.getsource(plain_epoch)
    at = [source.index(STEPS[step].code.replace("(…)", "")) for step in FIVE]
    assert all(a < b for a, b in pairwise(at))


def test_a_feed_asks_for_nothing_before_the_first_batch_is_taken():
    asked = []

    class Loader:
        def __len__(self):
            return 2

        def __iter__(self):
            asked.append("iter")
            yield torch.zeros(1), torch.zeros(1)
            yield torch.zeros(1), torch.zeros(1)
            asked.append("end")

    feed = Feed(Loader(), torch.device("cpu"))
    assert feed.more
    assert asked == []
    feed.take(), feed.take()
    assert not feed.more
    assert asked == ["iter", "end"]  # the loader saw its own end, as in a `for`
