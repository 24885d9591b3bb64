"""Mixed precision: what is computed in which type, and what fp16's scaled loss asks for."""

from __future__ import annotations

import math
from contextlib import nullcontext
from itertools import chain

import pytest
import torch
from states import EveryState, every_state, finished  # tests/core is on the path
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from fivestep.core.protocol.commands import SetFault
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.steps import State, Step
from fivestep.core.session.controller import NOT_SCALED
from fivestep.core.session.readings import IN_A_ROW
from fivestep.core.session.session import Session
from fivestep.core.training.evaluate import evaluate
from fivestep.core.training.fused import OPTIMIZERS
from fivestep.core.training.loop import needs_full_loop, training_loop
from fivestep.core.training.lr import LearningRate
from fivestep.core.training.metrics import meter_for
from fivestep.core.training.progress import Progress

TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def large(outputs, labels):
    """A loss whose gradients are too large for fp16 until the scale has come down."""
    return 3000 * nn.functional.cross_entropy(outputs, labels)


def shrinking(optimizer):
    return LambdaLR(optimizer, lambda update: 0.9**update)


def steps_of(training):
    at = Progress()
    rate = LearningRate(training.optimizer, training.scheduler, training.scheduler_per)
    loops = training_loop(training, rate, at, lambda: meter_for(training.task))
    for step in chain.from_iterable(loops):
        yield step, at


def weights(training):
    return [p.detach().clone() for p in training.model.parameters()]


@pytest.mark.parametrize("amp", TYPES)
def test_outputs_are_half_and_nothing_is_left_on_at_a_gate(make_training, amp):
    training = make_training(amp=amp, epochs=1)
    seen = []
    for step, at in steps_of(training):
        assert not torch.is_autocast_enabled("cpu")
        if step is Step.BACKWARD:
            seen.append((at.outputs.dtype, at.loss.dtype))
    assert set(seen) == {(TYPES[amp], torch.float32)}
    assert {p.dtype for p in training.model.parameters()} == {torch.float32}


def test_the_fuller_loop_runs_it(make_training):
    assert not needs_full_loop(make_training())
    assert needs_full_loop(make_training(amp="bf16"))


@pytest.mark.parametrize(
    ("kind", "fused"),
    [(torch.optim.AdamW, False), (torch.optim.AdamW, True), (OPTIMIZERS["AdamW"], True)],
)
def test_fp16_is_the_loop_that_torch_recommends_bit_for_bit(make_training, kind, fused):
    def make(kind):
        return make_training(
            amp="fp16",
            criterion=large,
            clip_norm=0.7,
            scheduler=shrinking,
            scheduler_per="update",
            epochs=2,
            optimizer=lambda p, lr: kind(p, lr=lr, fused=fused),
        )

    ours, bare = make(kind), make(torch.optim.AdamW)
    session = finished(ours)

    torch.manual_seed(bare.seed)
    scaler, updates = torch.amp.GradScaler("cpu"), 0
    # torch warns of a schedule that moves before any update was made; ours does not.
    with nullcontext() if fused else pytest.warns(UserWarning, match="lr_scheduler"):
        for _ in range(bare.epochs):
            bare.model.train()
            for features, labels in bare.batches:
                bare.optimizer.zero_grad()
                with torch.autocast("cpu", torch.float16):
                    loss = large(bare.model(features), labels)
                scaler.scale(loss).backward()
                scaler.unscale_(bare.optimizer)
                nn.utils.clip_grad_norm_(bare.model.parameters(), 0.7)
                scaler.step(bare.optimizer)
                scaler.update()
                bare.scheduler.step()
                updates += 1
    assert all(map(torch.equal, weights(ours), weights(bare)))
    assert ours.scaler.get_scale() == scaler.get_scale()
    assert ours.scheduler.last_epoch == bare.scheduler.last_epoch == updates
    end = session.latest()
    assert end.skipped == math.log2(2**16 / scaler.get_scale()) > 0
    assert session.progress.updates == updates == end.batches_done


def test_an_infinite_gradient_is_a_counted_skip_and_no_failure(make_training):
    training = make_training(amp="fp16", criterion=large)
    session = Session(training)
    before = weights(training)
    session.latest(curves=True)  # asks for a picture, and so for the norm of the first gradients
    assert session.run().state is State.FINISHED
    end = session.latest()
    assert 0 < end.skipped < end.batches_done
    assert end.skipped == int(training.scaler.skipped)
    assert not any(torch.equal(a, b) for a, b in zip(before, weights(training), strict=True))
    assert all(p.isfinite().all() for p in weights(training))
    assert not any(bad for _, curve in end.curves for bad in curve.bad)


def test_a_sampled_gradient_norm_is_that_of_the_unscaled_loss(make_training):
    training = make_training(amp="fp16", epochs=1)
    for step, _ in steps_of(training):
        if step is Step.UPDATE:
            norm = nn.utils.get_total_norm([p.grad for p in training.model.parameters()])
            assert 0 < norm < 100


def test_gradients_that_never_become_finite_are_told_and_move_nothing(make_training):
    training = make_training(amp="fp16", epochs=4, validation=False)
    first = training.model[0].weight
    first.register_hook(lambda grad: grad * math.inf)
    before = weights(training)
    session = finished(training)
    end = session.latest()
    assert end.skipped == end.batches_done == 28
    assert all(map(torch.equal, before, weights(training)))
    told = [c for c in end.changes if c.kind == "warning"]
    assert len(told) == 28 // IN_A_ROW
    assert told[0].batch == IN_A_ROW
    assert "bf16" in told[0].text


@pytest.mark.parametrize("amp", TYPES)
def test_a_loss_of_nan_is_a_failure_all_the_same(make_training, amp):
    training = make_training(amp=amp)
    training.batches.features[:] = math.nan
    outcome = Session(training).run()
    assert outcome.state is State.FAILED
    assert outcome.reason == "the loss is nan, noticed before backward"
    assert outcome.where.endswith("the features")


def test_an_overflow_of_fp16_is_found_in_the_layer_where_it_happens(make_training):
    training = make_training(amp="fp16")
    with torch.no_grad():
        training.model[4].weight.fill_(6e4)
    outcome = Session(training).run()
    assert outcome.where.endswith("layer 4 (Linear)")


def test_after_going_back_the_scale_is_a_fresh_one(make_training):
    poisoned = []

    def criterion(outputs, labels):
        loss = large(outputs, labels)
        if training.model.training and training.scaler.skipped == 2 and not poisoned:
            poisoned.append(training.scaler)
            return loss * math.nan
        return loss

    training = make_training(amp="fp16", criterion=criterion)
    keeper = EveryState()
    session = finished(training, saving=keeper, on_nonfinite="rollback")
    assert keeper.rewinds == 1
    assert training.scaler is not poisoned[0]
    assert session.latest().skipped == keeper.states[-1]["scaler"]["skipped"] > 2


def test_a_state_without_a_scale_begins_with_a_new_one(make_training):
    states, _ = every_state(make_training(accumulate=3))
    middle = next(s for s in states if "gradients" in s)
    session = Session(make_training(accumulate=3, amp="fp16"), state=middle)
    assert all(p.grad is None for p in session.training.model.parameters())  # of another scale
    assert session.run().state is State.FINISHED

    scaled, _ = every_state(make_training(amp="fp16"))
    finished(make_training(), state=scaled[3])


def test_validation_and_evaluation_run_under_autocast_and_add_up_in_full(make_training):
    types = set()

    def own(outputs, labels):
        types.add(outputs.dtype)
        return outputs.mean()

    training = make_training(amp="bf16", metrics={"own": own}, epochs=1)
    session = Session(training)
    session.run()
    assert evaluate(training)[0].loss == session.latest().val_loss
    assert types == {torch.bfloat16}
    assert not torch.is_autocast_enabled("cpu")


def test_a_criterion_that_gives_half_precision_is_added_up_in_full(make_training):
    def half(outputs, labels):
        return nn.functional.cross_entropy(outputs.float(), labels).bfloat16()

    training = make_training(amp="bf16", epochs=1, criterion=half)
    session = finished(training)
    per_batch = []
    training.model.eval()
    with torch.no_grad(), training.autocast():
        for features, labels in training.validation:
            loss = half(training.model(features), labels)
            per_batch.append((len(labels), loss.float().item()))
    mean = sum(n * loss for n, loss in per_batch) / sum(n for n, _ in per_batch)
    assert session.latest().val_loss == pytest.approx(mean, rel=1e-7)


def test_the_loop_can_be_broken_under_bf16(make_training):
    training = make_training(amp="bf16")
    before = weights(training)
    session = Session(training)
    session.send(SetFault(Fault.NO_STEP, True))
    assert session.run().state is State.FINISHED
    assert session.progress.outputs.dtype is torch.bfloat16
    assert all(map(torch.equal, before, weights(training)))


def test_under_fp16_a_switch_is_refused_in_one_line(make_training):
    training = make_training(amp="fp16")
    before = weights(training)
    session = Session(training)
    session.send(SetFault(Fault.NO_STEP, True))
    assert session.run().state is State.FINISHED
    end = session.latest()
    assert [c.text for c in end.changes if c.kind == "warning"] == [NOT_SCALED]
    assert not end.faults
    assert not any(torch.equal(a, b) for a, b in zip(before, weights(training), strict=True))


def test_a_run_says_how_it_computes(make_training):
    assert Session(make_training(amp="bf16", compile=True)).info.amp == "bf16"
    info = Session(make_training()).info
    assert (info.amp, info.compile) == (None, False)


def test_another_type_is_refused(make_training):
    with pytest.raises(ValueError, match="amp must be one of bf16, fp16 or None, not 'fp8'"):
        make_training(amp="fp8")
