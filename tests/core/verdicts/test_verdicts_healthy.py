"""No verdict on a run that has no fault: every preset, through the whole run."""

from __future__ import annotations

import pytest
from offline import OFFLINE
from verdict_runs import verdicts

from fivestep.presets.build import build
from fivestep.presets.recipe import load

FAST = ("breast-cancer-linear", "diabetes-mlp", "iris-mlp", "line-linear", "moons-mlp", "wine-mlp")
LONG = ("docs-gpt", "docs-lstm")


@pytest.mark.parametrize("preset", FAST)
def test_nothing_is_said_of_a_healthy_run(preset):
    said = verdicts(build(load(preset)))
    assert len(said) > 30
    assert set(said) == {()}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("preset", OFFLINE)
def test_nothing_is_said_of_any_preset_with_any_seed(preset):
    for seed in range(1 if preset in LONG else 5):
        said = verdicts(build(load(preset, {"seed": seed})), moments=60)
        assert set(said) == {()}, seed


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 4},
        {"batch_size": 128},
        {"optimizer.name": "SGD", "optimizer.lr": 0.05, "optimizer.momentum": 0.9},
        {"scheduler.name": "onecycle"},
        {"scheduler.name": "warmup-cosine"},
        {"accumulate": 4},
        {"clip_norm": 0.5},
    ],
    ids=["small", "large", "sgd", "onecycle", "warmup", "accumulate", "clip"],
)
@pytest.mark.parametrize("preset", FAST)
def test_nothing_is_said_of_other_ways_to_train_well(preset, change):
    assert set(verdicts(build(load(preset, change)))) == {()}
