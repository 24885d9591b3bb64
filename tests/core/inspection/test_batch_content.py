"""What is in a batch: its samples as they are, and a loss of each whose average is the loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fivestep.core.inspection.batch_content import batch_content
from fivestep.core.protocol.at_hand import BatchContent
from fivestep.core.training.progress import Progress
from fivestep.core.training.training import Training
from fivestep.presets.build import build
from fivestep.presets.recipe import load


def content(of: Training, upto: str = "loss") -> BatchContent:
    """The first batch of a training, its steps taken up to this one."""
    progress = Progress()
    features, labels = of.unpack(next(iter(of.batches)))
    progress.begin_batch(features, labels)
    if upto != "data":
        progress.outputs = of.model(features)
    if upto == "loss":
        progress.loss = of.criterion(progress.outputs, labels)
    before = torch.get_rng_state()
    found = batch_content(of, progress)
    assert torch.equal(before, torch.get_rng_state())
    return found


@pytest.mark.parametrize("preset", ["line-linear", "iris-mlp", "digits-cnn"])
def test_the_loss_is_the_average_of_the_losses_that_are_shown(preset: str) -> None:
    found = content(build(load(preset)))
    assert found.average == pytest.approx(found.loss, rel=1e-4)
    assert len(found.losses) == min(24, found.samples)
    assert found.criterion in ("MSELoss", "CrossEntropyLoss")


def test_a_batch_is_shown_before_there_are_outputs() -> None:
    iris = build(load("iris-mlp"))
    found = content(iris, upto="data")
    features, labels = next(iter(build(load("iris-mlp")).batches))
    assert [tensor.told for tensor in found.tensors] == ["float32 (16, 4) cpu", "int64 (16,) cpu"]
    assert found.tensors[0].rows == tuple(map(tuple, features.tolist()))
    assert found.labels == tuple(iris.about.label_names[n] for n in labels.tolist())
    assert found.columns == iris.about.feature_names
    assert len(found.columns) == 4
    assert (found.loss, found.losses, found.predicted) == (None, (), ())


def test_images_and_texts_are_shown_as_such() -> None:
    digits = content(build(load("digits-cnn")), upto="outputs")
    assert (len(digits.images), len(digits.images[0])) == (24, 8)
    assert all(name.isdigit() and 0 < sure <= 1 for name, sure in digits.predicted)
    gpt = build(load("docs-gpt", {"model.layers": 1}))
    features, labels = gpt.batches.features, gpt.batches.labels
    found = content(gpt, upto="data")
    text, following = found.texts[0]
    assert text[1:] == following[:-1]
    assert len(text) == features.shape[1] == labels.shape[1]


def test_nested_batches_and_a_criterion_of_ones_own_are_shown_as_far_as_can_be() -> None:
    class Twofold(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)

        def forward(self, features: dict[str, Tensor]) -> Tensor:
            return self.layer(features["x"])

    def unpack(batch: Any) -> Any:
        return {"x": batch[0], "words": "abc"}, batch[1]

    pairs = [(torch.ones(4, 3), torch.zeros(4, 1))]
    model = Twofold()
    found = content(
        Training(
            model,
            lambda outputs, labels: (outputs - labels).square().mean(),
            torch.optim.SGD(model.parameters(), lr=0.1),
            pairs,
            unpack=unpack,
        )
    )
    names = [tensor.name for tensor in found.tensors]
    assert names == ["features['x']", "features['words']", "labels", "outputs"]
    assert found.tensors[1].told == "str"
    assert found.tensors[0].rows == ((1.0, 1.0, 1.0),) * 4
    assert (found.average, found.losses) == (None, ())
    assert found.criterion == "<lambda>"
