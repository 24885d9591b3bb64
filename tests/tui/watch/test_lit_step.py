"""The highlighted step is what really runs: lit as often as it takes time."""

from __future__ import annotations

import threading
from collections import Counter
from time import perf_counter

from fivestep.core.protocol.commands import Stop
from fivestep.core.protocol.steps import Step
from fivestep.core.session.clock import WINDOW
from fivestep.core.session.session import Session
from fivestep.presets.build import build
from fivestep.presets.recipe import load


def test_each_step_is_lit_as_often_as_its_share_of_time_on_digits_cnn():
    """Read as the screen reads it, only more often: 10 reads a second would take minutes."""
    session = Session(build(load("digits-cnn", {"epochs": 1000})))
    lit: Counter[Step] = Counter()
    sampling = threading.Event()
    session.start()
    try:
        session.snapshot()
        end = perf_counter() + WINDOW
        while perf_counter() < end:
            lit[session.now()[0]] += 1
            sampling.wait(0.0017)  # out of step with the batches
        phases = session.snapshot().phases
    finally:
        session.send(Stop())
        assert session.join(20)
    for phase in phases:
        seen = lit[phase.step] / lit.total()
        assert abs(phase.share - seen) < 0.05, (phase.step.name, phase.share, seen, lit.total())
