"""Lazy layers, whose weights the first batch makes: trained, told, kept and gone on with."""

from __future__ import annotations

import math

import pytest
import torch
from digest import digest
from listeners import Keeper
from states import EveryState, bare, every_state, finished, until  # tests/core is on the path
from torch import nn

from fivestep.core.protocol.commands import (
    Pause,
    Resume,
    Save,
    SetBreakpoints,
    SetFault,
    Show,
    Undo,
    Validate,
)
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.session.state import StateError

SIZE = 6 * 16 + 16 + 16 + 16 + 16 * 3 + 3


@pytest.fixture
def make(make_training):
    def make(**options):
        model = nn.Sequential(
            nn.LazyLinear(16), nn.LazyBatchNorm1d(), nn.ReLU(), nn.Dropout(0.3), nn.LazyLinear(3)
        )

        def optimizer(_, lr):
            return torch.optim.Adam(model.parameters(), lr=lr)

        return make_training(model=model, optimizer=optimizer, **options)

    return make


def assert_same(training, other):
    ours, theirs = training.model.state_dict(), other.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_watched_and_looked_into_they_train_as_in_the_bare_loop(make):
    session = Session(make())
    assert session.info.parameters is None
    session.send(Show(layers=True, histograms=True, batch=True, view=""))
    session.send(Pause())
    session.send(Validate())  # would draw the weights in the first batch's place
    session.start()
    until(session, lambda s: s.state is State.PAUSED and s.changes[-1].kind == "warning")
    before = session.snapshot()
    assert "can't be validated: its lazy layers are made by the first batch" in (
        before.changes[-1].text
    )
    assert "its lazy layers are made by the first batch" in before.inside.problem
    session.send(Resume())
    assert session.join(20)
    assert_same(session.training, bare(make()))
    end = session.latest()
    assert session.info.parameters == SIZE
    assert [row.name for row in end.inside.layers if row.parameters] == ["0", "1", "4"]
    assert (
        f"has made the lazy layers: parameters: {SIZE}"
        in {c.kind: c.text for c in end.changes}["model"]
    )


@pytest.mark.parametrize("accumulate", [1, 3])
def test_they_go_on_from_any_batch(make, accumulate):
    states, whole = every_state(make(accumulate=accumulate))
    assert states[0]["progress"]["batches_done"] == 1
    marks = [digest(state) for state in states]
    for start in (0, 1, 9, len(states) - 1):
        torch.manual_seed(start)
        met, session = every_state(make(accumulate=accumulate), state=states[start])
        assert list(dict.fromkeys(digest(state) for state in met)) == marks[start:]
        assert_same(session.training, whole.training)


def test_moments_that_do_not_fit_what_comes_are_refused(make):
    (state, *_), _ = every_state(make())
    state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(5)
    with pytest.raises(StateError, match=r"optimizer\.0\.exp_avg is \(5,\), not \(16, 6\)"):
        Session(make(), state=state)


def test_nothing_is_saved_before_they_are_made(make):
    saving = EveryState()
    session = Session(make(), saving=saving)
    session.send(Save())
    session.run()
    assert saving.refused == ["its lazy layers are made by the first batch"]
    assert saving.states[0]["progress"]["batches_done"] == 1


def test_nothing_is_broken_before_they_are_made(make):
    session = Session(make(), Keeper())
    session.send(SetFault(Fault.EVAL_MODE, True))
    session.send(SetBreakpoints(("batch >= 4",)))
    session.start()
    seen = until(session, lambda s: s.state is State.PAUSED)
    assert (seen.faults, seen.undo) == ((Fault.EVAL_MODE,), True)
    for command in (SetBreakpoints(()), Undo(), Resume()):
        session.send(command)
    assert session.join(20)
    assert session.outcome.state is State.FINISHED
    changes = {change.kind: change for change in session.latest().changes}
    assert changes["switch"].batch == 1
    assert changes["rewind"].text.startswith("undone: back from batch 3 to 1")


def test_a_nan_in_the_first_batch_ends_the_run_there(make):
    def criterion(outputs, labels):
        return nn.functional.cross_entropy(outputs, labels) * math.nan

    session = Session(make(criterion=criterion), on_nonfinite="rollback", saving=EveryState())
    assert session.run().reason.startswith("the loss is nan")


def test_a_layer_that_no_batch_meets_does_not_keep_the_rest_from_being_kept(make):
    def parts():
        training = make()
        training.model.add_module("unused", nn.ModuleList([nn.LazyLinear(2)]))
        training.model.forward = lambda x: nn.Sequential.forward(training.model[:5], x)
        return training

    states, whole = every_state(parts())
    assert whole.info.parameters is None
    assert "some layers still wait" in whole.latest().changes[-1].text
    again = finished(parts(), state=states[3])
    assert torch.equal(again.training.model[0].weight, whole.training.model[0].weight)
