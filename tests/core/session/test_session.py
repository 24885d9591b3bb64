"""A session: paused, stepped, slowed, steered and looked at, without any screen."""

from __future__ import annotations

import math
import time

import pytest
import torch
from listeners import Keeper  # tests is on the path
from states import EveryState, finished, until  # tests/core is on the path
from torch import nn

from fivestep.core.protocol.commands import (
    Advance,
    KeepGoing,
    Pause,
    Resume,
    ScaleLR,
    SetSpeed,
    Show,
    Stop,
    Validate,
)
from fivestep.core.protocol.snapshot import Snapshot
from fivestep.core.protocol.steps import FIVE, STEPS, State, Step
from fivestep.core.session.session import Session


@pytest.fixture
def started():
    """Starts sessions, and ends those that a test leaves running."""
    sessions = []

    def start(session: Session) -> Session:
        sessions.append(session)
        session.start()
        return session

    yield start
    for session in sessions:
        session.send(Stop())
        assert session.join(20)


def paused(snapshot: Snapshot) -> bool:
    return snapshot.state is State.PAUSED


@pytest.fixture
def held(started):
    """Starts a session that is paused before its first batch."""

    def start(training) -> Session:
        session = Session(training)
        session.send(Pause())
        until(started(session), paused)
        return session

    return start


def test_a_run_in_the_callers_thread_ends_finished_with_everything_counted(make_training):
    keeper = Keeper()
    session = Session(make_training(), keeper)
    assert session.latest().state is State.LOADING
    outcome = session.run()
    assert (outcome.state, outcome.reason) == (State.FINISHED, "3 epochs trained")
    end = session.latest()
    assert end.outcome == session.outcome == outcome
    assert (end.epoch, end.batches_done, end.samples_done) == (3, 21, 150)
    assert [record[:3] for record in keeper.batches] == [
        (epoch, batch, 7 * (epoch - 1) + batch) for epoch in (1, 2, 3) for batch in range(1, 8)
    ]
    assert len(keeper.epochs) == 3
    first = keeper.epochs[0]
    assert first.train_loss == sum(r[3] for r in keeper.batches[:7]) / 7  # as the guide computes it
    assert first.metrics[0][0] == "accuracy"
    assert end.best_metric.value == max(e.val_metric for e in keeper.epochs)
    assert end.best_val_loss.value == min(e.val_loss for e in keeper.epochs)
    assert end.recent == tuple(r[3] for r in keeper.batches)
    assert dict(end.curves)["val_loss"].x == (7.0, 14.0, 21.0)
    means = dict(end.curves)["epoch_loss"]
    assert means.x == (7.0, 14.0, 21.0)
    assert means.mean[-1] == end.last.train_loss
    assert sum(p.share for p in end.phases) == pytest.approx(1)


def test_what_is_told_before_the_run_describes_it(make_training):
    info = Session(make_training()).info
    assert (info.epochs, info.batches_per_epoch, info.validation_batches) == (3, 7, 3)
    assert (info.batch_size, info.threads, info.seed) == (8, 1, 3)
    assert info.metric_name == "accuracy"
    assert info.parameters == 6 * 16 + 16 + 16 + 16 + 16 * 3 + 3
    assert info.optimizer == "AdamW"


def test_paused_before_the_start_nothing_moves_until_resumed(make_training, held):
    session = held(make_training())
    first = until(session, paused)
    assert (first.batches_done, first.step) == (0, Step.DATA)
    session.send(Resume())
    assert session.join(20)
    assert session.outcome.state is State.FINISHED


def test_single_steps_walk_through_a_batch_phase_by_phase(make_training, held):
    session = held(make_training())
    seen = []
    for expected in [*FIVE, Step.OTHER, Step.DATA]:
        session.send(Advance("phase"))
        snapshot = until(session, lambda s, e=expected: paused(s) and s.step is e)
        seen.append((snapshot.step, snapshot.batches_done))
    assert seen == [*((step, 0) for step in FIVE), (Step.OTHER, 0), (Step.DATA, 1)]


def test_one_batch_and_one_epoch_end_where_they_should(make_training, held):
    session = held(make_training())
    session.send(Advance("batch"))
    one = until(session, lambda s: paused(s) and s.batches_done == 1)
    assert one.step is Step.DATA
    session.send(Advance("phase"))
    until(session, lambda s: paused(s) and s.step is Step.ZERO_GRAD)
    session.send(Advance("batch"))  # from inside a batch: to the end of this one
    two = until(session, lambda s: paused(s) and s.step is Step.DATA)
    assert two.batches_done == 2
    session.send(Advance("epoch"))
    rest = until(session, lambda s: paused(s) and s.epoch == 2)
    assert (rest.batches_done, rest.batch, rest.step) == (7, 0, Step.DATA)
    assert rest.last.epoch == 1
    assert rest.val_loss is not None


def test_a_held_run_shows_the_gradient_norm_of_the_batch_it_stands_at(make_training, held):
    session = held(make_training())
    for batch in (1, 2, 3):
        session.send(Advance("batch"))
        between = until(session, lambda s, b=batch: paused(s) and s.batches_done == b)
        grads = [p.grad for p in session.training.model.parameters()]
        assert between.grad_norm == pytest.approx(float(torch.nn.utils.get_total_norm(grads)))


def test_what_is_asked_to_be_shown_while_the_run_ends_is_shown(make_training):
    class Late(EveryState):
        def ended(self, info, last, verdicts):
            session.send(Show(layers=True))

    session = Session(make_training(epochs=1), saving=Late())
    session.run()
    assert until(session, lambda s: bool(s.inside.layers)).state is State.FINISHED


def test_a_run_can_be_paused_inside_a_validation(make_training, held):
    session = held(make_training(epochs=1))
    for done in range(1, 8):
        session.send(Advance("batch"))
        until(session, lambda s, d=done: paused(s) and s.batches_done == d)
    session.send(Advance("phase"))
    inside = until(session, lambda s: paused(s) and s.step is Step.VALIDATE)
    assert inside.val_batch == 0
    session.send(Advance("batch"))
    assert until(session, lambda s: paused(s) and s.val_batch == 1).step is Step.VALIDATE
    assert not session.training.model.training


def test_a_paused_run_answers_every_time_it_is_asked_and_waits_without_work(make_training, held):
    session = held(make_training())
    a, b = until(session, paused), session.snapshot()
    assert b.batches_done == a.batches_done == 0
    assert session.mailbox.settled
    assert session.latest() is session.latest()  # nothing is built when nothing changes
    spent = time.thread_time()
    session.send(ScaleLR(0.5))
    changed = until(session, lambda s: s.lr_factor == 0.5)
    assert paused(changed)
    assert time.thread_time() - spent < 1


def test_slow_motion_holds_before_each_phase_and_full_speed_ends_it(make_training, started):
    session = Session(make_training())
    session.send(SetSpeed(1e-3))
    started(session)
    slow = until(session, lambda s: s.speed == 1e-3)
    assert (slow.batches_done, slow.step, slow.state) == (0, Step.DATA, State.RUNNING)
    assert session.now()[0] is Step.DATA
    session.send(SetSpeed(1e4))
    until(session, lambda s: s.batches_done >= 1)
    session.send(SetSpeed(None))
    assert session.join(20)
    assert [c.kind for c in session.latest().changes] == ["speed"] * 3


def test_waiting_is_no_part_of_any_phase(make_training, held):
    session = held(make_training())
    before = until(session, paused)
    after = until(session, lambda s: s.elapsed > before.elapsed + 0.2)
    assert after.active - before.active < 0.1
    session.send(Resume())
    session.join(20)
    end = session.latest()
    assert end.elapsed - end.active >= 0.2


def test_stop_after_this_batch_ends_at_a_batchs_edge_with_its_reason(make_training, held):
    session = held(make_training())
    session.send(Advance("phase"))
    until(session, lambda s: paused(s) and s.step is Step.ZERO_GRAD)
    session.send(Stop("seen enough"))
    assert session.join(20)
    assert (session.outcome.state, session.outcome.reason) == (State.STOPPED, "seen enough")
    assert session.latest().batches_done == 1
    assert session.latest().batch == 1


def test_stop_after_this_epoch_trains_and_validates_it_first(make_training, started):
    session = Session(make_training())
    session.send(Stop(after="epoch"))
    started(session)
    assert session.join(20)
    end = session.latest()
    assert (end.state, end.batches_done, end.last.epoch) == (State.STOPPED, 7, 1)
    assert end.last.val_loss is not None


def test_a_stop_can_be_taken_back(make_training, held):
    session = held(make_training())
    session.send(Stop(after="epoch"))
    session.send(KeepGoing())
    assert session.join(20)
    assert session.outcome.state is State.FINISHED


def test_a_learning_rate_set_by_hand_is_used_shown_and_recorded(make_training):
    keeper = Keeper()
    session = Session(
        make_training(scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.1)), keeper
    )
    session.send(ScaleLR(0.5))
    session.run()
    assert [record[4] for record in keeper.batches[::7]] == pytest.approx([5e-3, 5e-4, 5e-5])
    assert session.latest().lr_factor == 0.5
    change = keeper.changes[0]
    assert (change.kind, change.epoch, change.batch) == ("lr", 1, 0)
    assert "÷2" in change.text
    assert session.latest().changes == tuple(keeper.changes)


def test_a_batch_is_recorded_with_the_learning_rate_that_its_update_used(make_training):
    keeper = Keeper()
    training = make_training(
        epochs=1,
        scheduler=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
        scheduler_per="update",
    )
    Session(training, keeper).run()
    assert [record[4] for record in keeper.batches[:3]] == pytest.approx([1e-2, 5e-3, 2.5e-3])


def test_validate_now_validates_between_two_batches_and_changes_no_number(make_training, started):
    plain, asked = Session(make_training()), Session(make_training())
    plain.run()
    asked.send(Pause())
    asked.send(Validate())
    started(asked)
    seen = until(asked, lambda s: s.val_loss is not None)
    assert (seen.batches_done, seen.last) == (0, None)
    assert paused(until(asked, paused))  # it is as it was: paused
    asked.send(Resume())
    assert asked.join(20)
    for a, b in zip(
        plain.training.model.parameters(), asked.training.model.parameters(), strict=True
    ):
        assert torch.equal(a, b)


def test_the_gradient_norm_is_sampled_when_somebody_looks(make_training, held):
    session = held(make_training())
    assert until(session, paused).grad_norm is None
    session.send(Advance("batch"))
    until(session, lambda s: paused(s) and s.batches_done == 1)
    norm = session.snapshot().grad_norm
    assert norm > 0
    grads = [p.grad for p in session.training.model.parameters()]
    assert norm == pytest.approx(torch.nn.utils.get_total_norm(grads).item())


def test_the_outcome_is_not_overwritten_by_a_later_picture(make_training):
    session = Session(make_training())
    session.run()
    session.latest(curves=True)
    assert session.snapshot().outcome == session.outcome


def test_asking_a_session_that_does_not_answer_times_out(make_training):
    with pytest.raises(TimeoutError, match="no gate"):
        Session(make_training()).snapshot(timeout=0.01)


def test_the_thread_count_is_the_runs_own_and_given_back(make_training):
    inside = []
    training = make_training(threads=2)
    training.model.register_forward_hook(lambda *_: inside.append(torch.get_num_threads()))
    torch.set_num_threads(1)
    Session(training).run()
    assert set(inside) == {2}
    assert torch.get_num_threads() == 1


class Broken(nn.Module):
    def forward(self, features):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (8x6 and 5x3)")


def test_a_failure_is_an_outcome_that_names_place_layer_and_a_way_out(make_training):
    training = make_training()
    training.model[2] = Broken()
    outcome = Session(training).run()
    assert outcome.state is State.FAILED
    assert outcome.where == "epoch 1, batch 1, forward, layer 2"
    assert outcome.reason.startswith("RuntimeError: mat1 and mat2")
    assert "shapes" in outcome.advice
    assert "Traceback" in outcome.traceback


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run_before_backward(make_training, value):
    training = make_training()
    calls = []

    def criterion(outputs, labels):
        calls.append(1)
        return nn.functional.cross_entropy(outputs, labels) * (value if len(calls) == 3 else 1)

    training.criterion = criterion
    keeper = Keeper()
    outcome = Session(training, keeper).run()
    assert outcome.state is State.FAILED
    assert outcome.where == "epoch 1, batch 3, backward, the loss itself"
    assert str(value) in outcome.reason
    assert len(keeper.batches) == 2
    assert all(torch.isfinite(p).all() for p in training.model.parameters())


def test_a_nan_that_is_allowed_is_kept_in_the_history(make_training):
    training = make_training(epochs=1, validation=False)
    training.criterion = lambda o, y: nn.functional.cross_entropy(o, y) * math.nan
    session = finished(training, on_nonfinite="ignore")
    end = session.latest()
    assert math.isnan(end.loss)
    assert sum(dict(end.curves)["loss"].bad) == 7
    assert end.best_metric is None


@pytest.mark.parametrize("error", [MemoryError("no room"), torch.OutOfMemoryError("CUDA OOM")])
def test_running_out_of_memory_is_told_with_advice(make_training, error):
    training = make_training()

    def criterion(outputs, labels):
        raise error

    training.criterion = criterion
    outcome = Session(training).run()
    assert "smaller batch size" in outcome.advice
    assert ", loss" in outcome.where


def test_a_keyboard_interrupt_is_passed_on_after_the_outcome_is_told(make_training):
    training = make_training()

    def criterion(outputs, labels):
        raise KeyboardInterrupt

    training.criterion = criterion
    session = Session(training)
    with pytest.raises(KeyboardInterrupt):
        session.run()
    assert session.outcome.state is State.FAILED


def test_time_left_is_told_after_a_warm_up_and_falls(make_training, started):
    session = Session(make_training(epochs=100_000))
    started(session)
    assert session.snapshot().eta is None
    first = until(session, lambda s: s.eta is not None)
    assert first.active >= 1
    pace = 1 / first.batches_per_second
    assert first.eta >= (700_000 - first.batches_done) * pace * 0.99
    assert 0 < first.watching < 1


def test_what_runs_now_is_told_truly_from_inside_each_phase(make_training):
    training = make_training(epochs=1)
    seen = {}
    session = Session(training)

    def look(where):
        seen.setdefault(where, set()).add(session.now()[0])

    training.model.register_forward_hook(
        lambda *_: look("forward" if training.model.training else "validation")
    )
    training.model[0].weight.register_hook(lambda grad: look("backward"))
    training.optimizer.register_step_pre_hook(lambda *_: look("update"))
    bare = training.criterion
    training.criterion = lambda o, y: (
        look("loss" if training.model.training else "validation"),
        bare(o, y),
    )[1]
    session.run()
    assert seen == {
        "forward": {Step.FORWARD},
        "loss": {Step.LOSS},
        "backward": {Step.BACKWARD},
        "update": {Step.UPDATE},
        "validation": {Step.VALIDATE},
    }


def test_time_goes_to_the_phase_that_takes_it(make_training):
    training = make_training(epochs=1, validation=False)

    def work(*_):
        end = time.perf_counter() + 0.003
        while time.perf_counter() < end:
            pass

    training.model.register_forward_hook(work)
    session = Session(training)
    session.run()
    forward = session.latest().phases[Step.FORWARD]
    assert forward.seconds >= 0.003
    assert forward.share == max(phase.share for phase in session.latest().phases)


def test_every_step_has_a_name_a_line_and_a_reason():
    assert list(STEPS) == list(Step)
    assert [STEPS[step].number for step in FIVE] == [1, 2, 3, 4, 5]
    assert all(info.why and info.code and info.name for info in STEPS.values())
