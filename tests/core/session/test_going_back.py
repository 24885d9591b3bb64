"""A run that goes back to an earlier state does everything that was asked of it meanwhile."""

from __future__ import annotations

import math

import pytest
import torch
from listeners import Silent
from states import EveryState, until  # tests/core is on the path
from torch import nn

from fivestep.core.protocol.commands import (
    Advance,
    GoBack,
    Note,
    Pause,
    Resume,
    ScaleLR,
    SetBreakpoints,
    SetFault,
    SetSpeed,
    Show,
    Stop,
    Undo,
)
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.steps import State, Step
from fivestep.core.session.session import Session
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.persistence import Persistence
from fivestep.core.storage.run_directory import RunDirectory


class Sender(Silent):
    """A listener that sends commands, all at once, at a batch or when a note is put on record."""

    def __init__(self, at: dict[int | str, list]):
        self.at = at
        self.session: Session | None = None

    def batch(self, epoch, batch, batches_done, loss, lr):
        self.send(batches_done)

    def change(self, change):
        self.send(change.text)

    def send(self, key):
        for command in self.at.pop(key, []):
            self.session.send(command)


def bad_at(batch: int):
    """A criterion that gives NaN once, in this batch."""
    calls = []

    def criterion(outputs, labels):
        calls.append(1)
        bare = nn.functional.cross_entropy(outputs, labels)
        return bare * math.nan if len(calls) == batch else bare

    return criterion


def made(training, at, **options) -> Session:
    sender = Sender(at)
    sender.session = Session(training, sender, **options)
    return sender.session


@pytest.mark.parametrize("command", [GoBack(), Undo()])
def test_what_is_sent_behind_the_way_back_is_done_in_order(make_training, command):
    behind = [SetSpeed(1000.0), SetBreakpoints(("batch > 99",)), ScaleLR(0.25), Stop("enough")]
    at = {"now": [command, *behind]}
    saving = EveryState() if command == GoBack() else None
    if command == Undo():
        at[1] = [SetFault(Fault.EVAL_MODE, True)]
    training = make_training(criterion=bad_at(5))
    session = made(training, at, on_nonfinite="ask", saving=saving)
    session.start()
    until(session, lambda s: s.trouble is not None)
    session.send(Note("now"))
    assert session.join(20)
    assert (session.outcome.state, session.outcome.reason) == (State.STOPPED, "enough")
    end = session.latest()
    assert (end.speed, end.breakpoints, end.lr_factor) == (1000.0, ("batch > 99",), 0.25)
    assert [c.kind for c in end.changes][-5:] == ["rewind", "speed", "breakpoints", "lr", "stop"]


def test_an_undo_does_not_swallow_what_comes_behind_it(make_training):
    behind = [SetFault(Fault.NO_STEP, True), ScaleLR(0.5), Stop("enough", after="epoch")]
    at = {2: [SetFault(Fault.NO_BACKWARD, True)], 5: [Undo(), *behind]}
    session = made(make_training(), at)
    assert session.run().reason == "enough"
    end = session.latest()
    assert (end.faults, end.lr_factor, end.batches_done) == ((Fault.NO_STEP,), 0.5, 7)
    assert end.faults_so_far == (Fault.NO_STEP,)
    (undone,) = end.undone
    assert (undone.faults, undone.first) == ((Fault.NO_BACKWARD,), 3)
    assert undone.last >= 5
    assert [c.kind for c in end.changes] == ["switch", "rewind", "lr", "stop", "switch"]


def test_what_was_undone_stays_on_record_over_a_resume(make_training, tmp_path):
    at = {2: [SetFault(Fault.NO_BACKWARD, True)], 5: [Undo()]}
    with RunDirectory.create(tmp_path, "run", "preset") as directory:
        session = made(make_training(), at, saving=Persistence(directory))
        session.run()
        state = CheckpointStore(directory.checkpoints).newest().state
        assert directory.read_outcome()[0]["undone"][0]["switches"] == ["no-backward"]
    again = Session(make_training(), state=state)
    assert again.latest().undone == session.latest().undone != ()


def test_a_pause_before_the_way_back_holds_behind_it(make_training):
    session = made(make_training(criterion=bad_at(5)), {}, on_nonfinite="ask", saving=EveryState())
    session.start()
    until(session, lambda s: s.trouble is not None)
    session.send(Pause())
    session.send(GoBack())
    until(session, lambda s: s.trouble is None)
    assert session.snapshot().state is State.PAUSED
    session.send(Resume())
    assert session.join(20)
    assert session.outcome.state is State.FINISHED


def test_undo_takes_back_a_fault_that_has_not_begun(make_training):
    session = made(make_training(), {2: [SetFault(Fault.NO_STEP, True), Undo()]})
    assert session.run().state is State.FINISHED
    assert session.latest().faults_so_far == ()


def test_a_fault_that_waits_for_the_next_batch_survives_a_rollback(make_training, tmp_path):
    forwards = []

    def ask(*_):
        forwards.append(1)
        if len(forwards) == 4:  # the gate before the loss hears of it, the one after it of the NaN
            session.send(SetFault(Fault.NO_STEP, True))

    with RunDirectory.create(tmp_path, "run", "preset") as directory:
        training = make_training(criterion=bad_at(4), epochs=1)
        training.model.register_forward_hook(ask)
        session = made(training, {}, on_nonfinite="rollback", saving=Persistence(directory))
        assert session.run().state is State.FINISHED
    assert session.latest().faults == (Fault.NO_STEP,)


class BadGradient(torch.autograd.Function):
    """Hands its input on, and no good gradient back."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0] * math.inf


@pytest.mark.parametrize("kernel", ["torch's", "missing"])
@pytest.mark.parametrize("parts", [{}, {"accumulate": 2, "clip_norm": 1.0}], ids=["plain", "full"])
def test_a_gradient_that_is_no_number_is_noticed_before_the_update(
    make_training, monkeypatch, parts, kernel
):
    if kernel == "missing":
        monkeypatch.delattr(torch, "_amp_foreach_non_finite_check_and_unscale_")
    training = make_training(validation=False, **parts)
    forwards = []

    def spoil(module, inputs, output):
        forwards.append(1)
        return BadGradient.apply(output) if len(forwards) == 9 else output

    training.model[1].register_forward_hook(spoil)
    outcome = Session(training).run()
    assert outcome.state is State.FAILED
    assert outcome.where == "epoch 2, batch 2, update, the gradient of 1.bias"
    assert all(torch.isfinite(p).all() for p in training.model.parameters())


def test_nothing_of_what_was_undone_is_shown(make_training):
    session = made(make_training(), {})
    for command in (
        Pause(),
        SetFault(Fault.NO_STEP, True),
        Show(layers=True, batch=True, view="batch"),
    ):
        session.send(command)
    session.start()
    until(session, lambda s: s.faults)
    session.send(Advance("batch"))
    trained = until(session, lambda s: s.batches_done == 1)
    assert trained.inside.batch.loss == trained.loss
    session.send(Undo())
    back = until(session, lambda s: s.batches_done == 0)
    shown = back.inside.batch
    assert (back.loss, back.batch_loss, back.grad_norm, back.recent, back.curves) == (
        (None, None, None, (), ())
    )
    assert (shown.features, shown.outputs, shown.loss) == ((), (), None)
    assert back.inside.picture.tensors == ()
    session.send(Stop("enough"))
    assert session.join(20)


def test_a_pause_tells_the_loss_and_the_norm_of_the_batch_at_hand(make_training):
    session = made(make_training(validation=False), {})
    session.send(Pause())
    session.start()
    until(session, lambda s: s.state is State.PAUSED)
    for _ in range(16):
        before = session.snapshot()
        session.send(Advance("phase"))
        s = until(
            session, lambda s, old=before: (s.step, s.batches_done) != (old.step, old.batches_done)
        )
        known = s.step in (Step.BACKWARD, Step.UPDATE, Step.OTHER)
        assert (s.batch_loss is not None) is known
        if s.step in (Step.UPDATE, Step.OTHER):
            assert s.grad_norm_batch == s.batches_done + 1
        elif s.step is Step.DATA:
            assert s.grad_norm_batch == s.batches_done
    session.send(Stop("enough"))
    assert session.join(20)


@pytest.mark.parametrize("fails", [False, True])
def test_a_batch_says_at_the_end_what_came_of_it(make_training, fails):
    training = make_training(epochs=1)
    calls = []

    def forward(*_):
        calls.append(1)
        if fails and len(calls) == 3:
            raise RuntimeError("broken")

    training.model.register_forward_hook(forward)
    session = made(training, {})
    session.send(Show(view="batch"))
    session.run()
    batch = session.latest().inside.picture
    assert batch.batch == (3 if fails else 7)
    assert (batch.loss is None) is fails
    assert batch.ended == ("forward failed" if fails else "the run ended before")
