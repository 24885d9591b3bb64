"""Large imports: what is there after them, and how they leave the garbage collector."""

from __future__ import annotations

import gc

import pytest
from doing import python  # tests is on the path

from fivestep.tui.terminal import imports as loading

READY = """
import gc, sys
from fivestep.tui.terminal.imports import claim_process, load_torch, under_way
claim_process()
load_torch()
assert not gc.isenabled()
under_way()
import torch
from fivestep.core.session.session import Session
from fivestep.presets import models
from fivestep.presets.recipe import load
from fivestep.tui.setup.plan import RecipePlan
before = len(sys.modules)
with torch.device("meta"):  # normal numbers there would load 800 modules
    models.gpt(torch.Size([16]), 11, layers=1, heads=1, width=8, dropout=0.0)
    models.lstm(torch.Size([16]), 11, layers=1, width=8, dropout=0.0)
print(len(sys.modules) - before < 20)
for optimizer in ("SGD", "Adam", "AdamW", "NAdam"):
    plan = RecipePlan(load("iris-mlp", {"epochs": 1, "optimizer.name": optimizer}))
    session = Session(plan.build())
    built = len(sys.modules)
    assert session.run().state == "finished"
    assert gc.isenabled()
    assert gc.get_freeze_count() > 100_000
    print(optimizer, len(sys.modules) - built < 20, "torch._dynamo" in sys.modules)
"""


def test_the_first_batch_finds_everything_imported_and_the_compiler_only_where_it_is_needed() -> (
    None
):
    told = python("-c", READY).stdout.splitlines()
    others = [f"{optimizer} True False" for optimizer in ("SGD", "Adam", "AdamW")]
    assert told == ["True", *others, "NAdam True True"]


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
