"""A run does again what it did the first time, up to one batch, whatever was done to it by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from listeners import Silent  # tests is on the path
from states import until as reached

from fivestep.core.protocol.commands import (
    Advance,
    Command,
    Pause,
    Resume,
    ScaleLR,
    SetFault,
    SetLR,
    Stop,
)
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.steps import State, Step
from fivestep.core.session.readings import Readings
from fivestep.core.session.replay import FirstTime, first_time
from fivestep.core.session.session import Session
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.log_file import line
from fivestep.core.storage.persistence import Persistence, Policy
from fivestep.core.storage.run_directory import RunDirectory

BY_HAND: dict[int, Command] = {
    2: ScaleLR(3.0),
    5: SetFault(Fault.NO_ZERO_GRAD, on=True),
    8: SetFault(Fault.NO_ZERO_GRAD, on=False),
    9: SetFault(Fault.LR_TIMES_100, on=True),
    11: SetFault(Fault.LR_TIMES_100, on=False),
    12: SetLR(0.00123),
}
"""By the batches done when it is asked for."""


class Hand(Silent):
    """Steers a run, and keeps its weights after every batch."""

    def __init__(self, training) -> None:
        self.session: Session | None = None
        self.training, self.weights = training, [digest(training)]

    def batch(self, epoch, batch, batches_done, loss, lr) -> None:
        self.weights.append(digest(self.training))
        if batches_done in BY_HAND:
            self.session.send(BY_HAND[batches_done])


def digest(training) -> bytes:
    parts = [p.detach().flatten() for p in training.model.parameters()]
    return torch.cat(parts).numpy().tobytes()


@pytest.fixture
def cosine(make_training) -> Callable[[], object]:
    def schedule(optimizer):
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 21)

    return lambda **more: make_training(scheduler=schedule, scheduler_per="update", **more)


def held(training, then: FirstTime, batch: int, state=None) -> Session:
    session = Session(training, on_nonfinite="ignore", state=state, replay=(then, batch))
    session.start()
    reached(session, lambda s: s.state is State.PAUSED)
    return session


def test_any_batch_of_a_steered_run_comes_again_bit_for_bit(cosine, tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path, "run", "preset") as directory:
        training = cosine()
        hand = Hand(training)
        saving = Persistence(directory, Policy(float("inf"), epochs=1, keep=9))
        hand.session = Session(training, hand, saving=saving)
        assert hand.session.run().state is State.FINISHED
    states = [None, _epoch(directory, 1), _epoch(directory, 2)]
    for batch in (1, 4, 10, 14, 21):
        then = first_time(directory.metrics, directory.events, batch)
        before = [one for one in states if one is None or one["progress"]["batches_done"] < batch]
        for state in (before[0], before[-1]):
            again = cosine()
            session = held(again, then, batch, state)
            s = session.snapshot()
            assert (s.batches_done, s.step) == (batch - 1, Step.UPDATE)
            assert s.batch_loss == then.losses[batch]
            assert digest(again) == hand.weights[batch - 1]
            told = [change.text for change in s.changes if change.kind == "replay"]
            assert len(told) == 1
            assert "the same, bit for bit" in told[0]
            session.send(Resume())
            session.join()


@pytest.mark.parametrize("late", [False, True], ids=["at once", "as on a GPU"])
def test_a_learning_rate_set_inside_a_batch_is_logged_with_the_update_that_uses_it(
    make_training, tmp_path: Path, monkeypatch, late: bool
) -> None:
    first = Readings.__init__

    def made(self, *args, **kwargs) -> None:
        first(self, *args, **kwargs)
        self._immediate = not late

    monkeypatch.setattr(Readings, "__init__", made)
    lr, places = make_training().optimizer.param_groups[0]["lr"], (Step.BACKWARD, Step.UPDATE)
    with RunDirectory.create(tmp_path, "run", "preset") as directory:
        training = make_training()
        session = Session(training, saving=Persistence(directory))
        session.send(Pause())
        session.start()
        for k, place in enumerate(places, start=1):
            while (s := reached(session, lambda s: s.state is State.PAUSED)).step is not place:
                session.send(Advance("phase"))
                reached(session, lambda s, was=s.step: s.step is not was)
            session.send(SetLR(lr * 10 * k))
            if place is not places[-1]:
                session.send(Advance("batch"))
                reached(session, lambda s, k=k: s.batches_done == k)
        session.send(Advance("batch"))
        reached(session, lambda s: s.batches_done == len(places))
        weights = digest(training)
        session.send(Stop("enough"))
        session.join()
    then = first_time(directory.metrics, directory.events, 9)
    assert then.lrs == {k: lr * 10 * k for k in range(1, len(places) + 1)}
    again = make_training()
    session = held(again, then, len(places))
    session.send(Advance("phase"))
    reached(session, lambda s: s.step is Step.OTHER)
    assert digest(again) == weights
    session.send(Resume())
    session.join()


def test_what_was_broken_is_known_by_its_name_and_in_older_logs_by_its_text(tmp_path: Path) -> None:
    def faults(*events: dict[str, object]) -> dict[int, frozenset[Fault]]:
        path = tmp_path / "events.jsonl"
        path.write_bytes(b"".join(line({"type": "change"} | one) for one in events))
        return dict(first_time(path, path, 99).faults)

    step, label = frozenset({Fault.NO_STEP}), Fault.NO_STEP.info.label
    named = {"kind": "switch", "text": "in other words", "batches_done": 3, "switches": ["no-step"]}
    back = {"kind": "rewind", "text": "went back", "batches_done": 2, "switches": []}
    assert faults(named) == {3: step}
    assert faults(named, back) == {2: frozenset()}
    assert faults(named | {"switches": None}) == {}
    old = {"kind": "switch", "text": f"broken on purpose: {label}", "batches_done": 3}
    assert faults(old) == {3: step}
    assert faults(old, {"kind": "rewind", "text": "undone: back", "batches_done": 2}) == {}


def _epoch(directory: RunDirectory, epoch: int):
    return (
        CheckpointStore(directory.checkpoints)
        .newest(lambda state: "" if state["progress"]["epoch"] == epoch else "another")
        .state
    )


@pytest.mark.parametrize("amount", [{"accumulate": 4}, {"clip_norm": 0.1}])
def test_it_holds_behind_the_backward_pass_of_batches_of_every_kind(
    make_training, amount: dict[str, float]
) -> None:
    session = held(make_training(**amount), FirstTime({}, {}), 3)
    s = session.snapshot()
    assert s.batches_done == 2
    assert s.batch_loss is not None
    assert s.grad_norm is not None or "accumulate" in amount
    assert "the log has no loss of it" in s.changes[-1].text


def test_another_loss_is_told_with_both_figures(make_training) -> None:
    session = held(make_training(), FirstTime({1: 7.5, 2: None}, {}), 2)
    told = [change.text for change in session.snapshot().changes if change.kind == "warning"]
    assert told[0].startswith("not as the first time: batch 1 has loss 1.")
    assert told[0].endswith("and was 7.5 in the log")
