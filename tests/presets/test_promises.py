"""What each recipe promises, over three seeds (make slow)."""

from __future__ import annotations

import math

import pytest
from offline import OFFLINE

from fivestep.core.protocol.snapshot import Change, EpochSummary
from fivestep.core.protocol.steps import State, Task
from fivestep.core.session.session import Session
from fivestep.presets.build import build, load_data
from fivestep.presets.recipe import Recipe, load

SEEDS = (0, 1, 2)


class Epochs:
    """Keeps what every epoch came to."""

    def __init__(self) -> None:
        self.metrics: list[float] = []

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        pass

    def epoch(self, summary: EpochSummary) -> None:
        assert summary.val_metric is not None
        self.metrics.append(summary.val_metric)

    def change(self, change: Change) -> None:
        pass


def trained(recipe: Recipe) -> list[float]:
    """The validation metric after every epoch."""
    epochs = Epochs()
    outcome = Session(build(recipe), epochs).run()
    assert outcome.state is State.FINISHED
    assert len(epochs.metrics) == recipe.epochs
    return epochs.metrics


def unigram_perplexity() -> float:
    """Of the validation text, by how often each character comes in the training text."""
    data = load_data(load("docs-gpt"))
    counts = data.labels.flatten().bincount(minlength=data.outputs).double() + 1  # (V,)
    surprise = -(counts / counts.sum()).log()[data.val_labels.flatten()]  # (M * T,)
    return math.exp(surprise.mean())


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("preset", [name for name in OFFLINE if name != "docs-gpt"])
def test_a_recipe_keeps_its_promise(preset: str, seed: int) -> None:
    recipe = load(preset, {"seed": seed})
    assert recipe.expect is not None
    assert recipe.expect.value is not None
    metric = trained(recipe)[-1]
    better = Task(recipe.task).higher_is_better
    assert metric >= recipe.expect.value if better else metric <= recipe.expect.value


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", SEEDS)
def test_docs_gpt_leaves_the_unigrams_far_behind(seed: int) -> None:
    recipe = load("docs-gpt", {"seed": seed})
    assert recipe.expect is not None
    assert recipe.expect.value is not None
    perplexities = trained(recipe)
    assert unigram_perplexity() == pytest.approx(26, abs=3)
    assert perplexities[0] < 10
    assert perplexities[-1] <= recipe.expect.value
