"""Large imports: what is there after them, and how they leave the garbage collector."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from fivestep.tui.terminal import imports as loading

READY = """
import gc, sys
from fivestep.tui.terminal.imports import claim_process, load_torch, under_way
claim_process()
load_torch()
assert not gc.isenabled()
under_way()
there = set(sys.modules)
from fivestep.core.session.session import Session
from fivestep.presets.recipe import load
from fivestep.tui.setup.plan import RecipePlan
plan = RecipePlan(load("iris-mlp", {"epochs": 1, "optimizer.name": "%s"}))
session = Session(plan.build())
built = set(sys.modules)
assert session.run().state == "finished"
print(len(set(sys.modules) - built) < 20, gc.isenabled(), gc.get_freeze_count() > 100_000)
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize(("optimizer", "compiler"), [("AdamW", False), ("NAdam", True)])
def test_the_first_batch_finds_everything_imported(optimizer: str, compiler: bool) -> None:
    told = subprocess.check_output([sys.executable, "-c", READY % optimizer], text=True)
    assert told == f"True True True\n{compiler}\n"


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_left_as_it_was(on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    was_on, frozen = gc.isenabled(), gc.get_freeze_count()
    monkeypatch.setattr(loading, "_ours", False)
    try:
        gc.enable() if on else gc.disable()
        with loading.importing():
            assert not gc.isenabled()
        assert gc.isenabled() is on
        assert gc.get_freeze_count() == frozen  # the objects of others stay in its sight
    finally:
        gc.enable() if was_on else gc.disable()


def test_where_nothing_is_imported_the_collector_keeps_everything_in_sight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "_ours", True)
    frozen = gc.get_freeze_count()
    with loading.importing():
        kept = [[] for _ in range(1000)]
    assert gc.get_freeze_count() == frozen
    assert len(kept) == 1000
