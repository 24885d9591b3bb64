"""Large imports: what is there after them, and how they leave the garbage collector."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from fivestep.tui import loading

READY = """
import gc, sys
from fivestep.tui.loading import claim_process, load_torch
claim_process()
load_torch()
there = set(sys.modules)
import torch
from torch import nn
model = nn.Linear(2, 1)
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
optimizer.zero_grad()
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
print(len(set(sys.modules) - there) < 20, gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


def test_the_first_optimizer_finds_everything_imported() -> None:
    done = subprocess.run([sys.executable, "-c", READY], capture_output=True, text=True, check=True)
    assert done.stdout == "True True True\n"


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
