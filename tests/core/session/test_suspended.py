"""A process that was stopped and goes on: the time away is none of training's."""

from __future__ import annotations

import pytest
from listeners import Keeper  # tests is on the path
from torch import nn

from fivestep.core.protocol.commands import Pause, Stop
from fivestep.core.protocol.steps import State, Step
from fivestep.core.session import clock as clocks
from fivestep.core.session import engine, session
from fivestep.core.session.clock import Clock
from fivestep.core.session.session import Session

AWAY = 60.0


class FakeTime:
    """In the place of `perf_counter`: a millisecond goes by with each look at it."""

    now = 1000.0

    def __call__(self) -> float:
        self.now += 1e-3
        return self.now


@pytest.fixture
def time(monkeypatch):
    made = FakeTime()
    for module in (clocks, engine, session):
        monkeypatch.setattr(module, "perf_counter", made)
    return made


def test_a_stop_in_the_middle_of_a_phase_is_not_training_time(make_training, time):
    calls = []

    def criterion(outputs, labels):
        calls.append(len(outputs))
        if len(calls) == 9:
            run.beat()
            time.now += AWAY
            run.awake(time())
        return nn.functional.cross_entropy(outputs, labels)

    keeper = Keeper()
    run = Session(make_training(criterion=criterion, validation=False), keeper)
    assert run.run().state is State.FINISHED
    end = run.latest()
    assert end.elapsed > AWAY
    assert end.active < AWAY
    assert [epoch.seconds < 1 for epoch in keeper.epochs] == [True] * 3
    assert all(phase.seconds < 1 for phase in end.phases if phase.seconds is not None)
    (told,) = [change for change in keeper.changes if change.kind == "suspended"]
    assert told.text == "the process was stopped for 60 s, which count as waiting"
    assert told.batch == 8


def test_a_stop_that_ends_in_the_middle_of_a_beat_is_told(make_training, time):
    run = Session(make_training(epochs=1))
    run.beat()
    time.now += AWAY
    since = time()
    run.beat()  # its caller had looked for the signal just before it came
    run.awake(since)
    run.run()
    (told,) = run.latest().changes
    assert told.text == "the process was stopped for 60 s, which count as waiting"


def test_a_stop_during_a_pause_counts_once(time):
    clock = Clock()
    before = clock.counted(Step.LOSS, time.now)
    clock.waited += AWAY  # the pause was longer than the stop in it
    clock.leave_out(AWAY - 1, before)
    assert clock.waited == AWAY
    assert clock.spent[Step.LOSS] == 0


def test_a_moments_stop_is_not_told(make_training, time):
    run = Session(make_training(epochs=1))
    run.beat()
    run.awake(time())
    run.run()
    assert not run.latest().changes


def test_a_run_that_is_paused_is_told_of_it_too(make_training, time):
    run = Session(make_training(epochs=1))
    run.send(Pause())
    run.start()
    run.snapshot()
    run.beat()
    time.now += AWAY
    run.awake(time())
    assert any(change.kind == "suspended" for change in run.snapshot().changes)
    run.send(Stop())
    assert run.join(20)
