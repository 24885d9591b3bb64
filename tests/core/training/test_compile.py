"""Compiled models: in place, under their own names, and looked at as they were written."""

from __future__ import annotations

import pytest
import torch
from states import EveryState, every_state, finished  # tests/core is on the path
from torch import nn

from fivestep.core.inspection.eval_mode import eval_without_trace
from fivestep.core.protocol.steps import State, Step
from fivestep.core.session.session import Session
from fivestep.core.training.compile import (
    COMPILED_ANEW,
    COMPILING,
    compile_in_place,
    eager,
    is_compiled,
)


@pytest.fixture
def calls(monkeypatch):
    """In the place of torch.compile: which calls of a model went through compiled code."""
    calls = []

    def compile(function):
        def compiled(*args):
            calls.append(torch.is_grad_enabled())
            return function(*args)

        return compiled

    monkeypatch.setattr(torch, "compile", compile)
    return calls


def test_a_run_trains_and_validates_compiled_and_says_so(make_training, calls):
    keeper = EveryState()
    session = Session(make_training(compile=True, epochs=1), saving=keeper)
    assert session.info.compile
    assert not is_compiled(session.training.model)  # only in the run's own thread
    assert session.run().state is State.FINISHED
    assert calls == [True] * 7 + [False] * 3
    assert [c.text for c in session.latest().changes if c.kind == "compile"] == [COMPILING]


def test_a_checkpoint_has_the_names_of_a_plain_model(make_training, calls):
    states, _ = every_state(make_training(compile=True))
    plain = make_training()
    for state in states:
        assert state["model"].keys() == plain.model.state_dict().keys()
    finished(plain, state=states[9])
    assert not is_compiled(plain.model)


def test_going_on_says_that_other_code_may_give_other_bits(make_training, calls):
    states, _ = every_state(make_training(compile=True))
    session = Session(make_training(compile=True), state=states[9])
    session.run()
    assert [c.text for c in session.latest().changes if c.kind == "compile"] == [
        COMPILING,
        COMPILED_ANEW,
    ]


def test_it_is_off_by_default(make_training, calls):
    Session(make_training()).run()
    assert not calls


def test_whoever_looks_sees_the_model_as_it_was_written(make_training, calls):
    training = make_training()
    compile_in_place(training.model)
    compile_in_place(training.model)  # once is enough
    features = training.batches.features
    with eval_without_trace(training) as model:
        model(features)
    assert not calls
    training.model(features)
    assert calls == [True]


@pytest.mark.parametrize("way", ["in place", "module.compile", "wrapped"])
def test_every_way_to_compile_is_known_and_can_be_set_aside(make_training, way):
    model = make_training().model
    counted = []

    def compiled(*args):
        counted.append(1)
        return model._call_impl(*args)

    outer = model
    if way == "in place":
        model.forward = compiled
    elif way == "module.compile":
        model._compiled_call_impl = compiled
    else:
        outer = nn.Module()
        outer._orig_mod = model
        outer.forward = compiled
    assert is_compiled(outer)
    with eager(outer) as inside:
        assert inside is model
        inside(torch.randn(4, 6))
        assert not counted
    assert is_compiled(outer)


def test_a_compiler_that_fails_is_told_with_advice(make_training, monkeypatch):
    module = {"__module__": "torch._inductor.exc"}
    failure = type("InvalidCxxCompiler", (RuntimeError,), module)

    def compile(function):
        def compiled(*args):
            raise failure("No working C++ compiler found\n\nand much more")

        return compiled

    monkeypatch.setattr(torch, "compile", compile)
    outcome = Session(make_training(compile=True)).run()
    assert outcome.state is State.FAILED
    assert outcome.reason == "InvalidCxxCompiler: No working C++ compiler found"
    assert outcome.where == "epoch 1, batch 1, forward"
    assert outcome.advice.endswith("leave out --compile")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
@pytest.mark.parametrize("amp", [None, "bf16"])
def test_real_code_is_made_and_takes_the_same_way(make_training, amp):
    from torch._dynamo.utils import counters  # takes seconds

    def run(**options):
        training = make_training(amp=amp, samples=44, **options)
        training.model[3].p = 0.0  # compiled dropout draws other numbers
        session = Session(training)
        spent: set[Step] = set()
        session.start()
        while not session.join(0.01):
            spent.add(session.now()[0])
        assert session.outcome.state is State.FINISHED, session.outcome
        return session, spent

    counters.clear()
    compiled, spent = run(compile=True)
    assert counters["stats"]["unique_graphs"] > 0
    assert Step.FORWARD in spent  # where the compiler works, that is what is lit
    plain, _ = run()
    assert compiled.latest().val_loss == pytest.approx(plain.latest().val_loss, rel=0.1)
    assert all(
        torch.equal(a.isfinite(), b.isfinite())
        for a, b in zip(
            compiled.training.model.state_dict().values(),
            plain.training.model.state_dict().values(),
            strict=True,
        )
    )
    assert compiled.latest().recent[0] == pytest.approx(plain.latest().recent[0], rel=0.02)
