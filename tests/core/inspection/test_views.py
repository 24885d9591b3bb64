"""Pictures of what a model knows: what they show is true, and looking leaves no trace."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
)

from fivestep.core.inspection.eval_mode import eval_without_trace
from fivestep.core.inspection.views import views_for
from fivestep.core.protocol.inside import (
    ConfusionMatrix,
    DecisionMap,
    FittedLine,
    Mistakes,
    PredictionsTruth,
    WrittenText,
)
from fivestep.core.protocol.steps import Task
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.evaluate import evaluate
from fivestep.core.training.training import About, Training

MakeTraining = Callable[..., Training]
NAMES = About(label_names=("low", "middle", "high"))


def training(
    model: nn.Module, features: Any, labels: Any, criterion: Any, task: str = "custom", **more: Any
) -> Training:
    """One of these data, to train and to validate on."""
    batches = more.pop("batches") if "batches" in more else TensorBatches(features, labels, 8)
    parts: dict[str, Any] = {"validation": batches, "task": Task(task)}
    optimizer = torch.optim.SGD([*model.parameters(), nn.Parameter(torch.zeros(1))], lr=0.1)
    return Training(model, criterion, optimizer, batches, **(parts | more))


def pictures(of: Training) -> dict[str, Any]:
    return {view.name: view.compute(of) for view in views_for(of)}


class Sides(nn.Module):
    """Class 1 right of the middle, class 0 left of it, the surer the further away."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack((-4 * x[:, 0], 4 * x[:, 0]), 1)


def test_a_decision_map_shows_the_class_of_each_place() -> None:
    torch.manual_seed(0)
    features = torch.rand(500, 2) * torch.tensor([2.0, 6.0]) - 1  # x in -1..1, y in -1..5
    of = training(Sides(), features, (features[:, 0] > 0).long(), nn.CrossEntropyLoss())
    made = pictures(of)
    assert list(made) == ["decisions", "confusion"]
    drawn = made["decisions"]
    assert isinstance(drawn, DecisionMap)
    assert len(drawn.classes) == len(drawn.confidence) == drawn.columns * drawn.rows < 2000
    assert drawn.x[0] < -0.99 < 0.99 < drawn.x[1]
    for row in range(drawn.rows):
        start = row * drawn.columns
        left, right = (drawn.classes[start], drawn.classes[start + drawn.columns - 1])
        assert (left, right) == (0, 1)
        assert drawn.confidence[start] > 0.99
        assert drawn.confidence[start + drawn.columns // 2] < 0.7
    assert len(drawn.points) == 400
    assert all(label == (x > 0) for x, _, label in drawn.points)
    assert all(drawn.y[0] < y < drawn.y[1] for _, y, _ in drawn.points)


def test_the_upper_row_of_a_decision_map_is_the_upper_one() -> None:
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0, -9.0], [0.0, 9.0]]))
        model.bias.zero_()
    features = torch.rand(60, 2) * 2 - 1
    of = training(model, features, (features[:, 1] > 0).long(), nn.CrossEntropyLoss())
    drawn = pictures(of)["decisions"]
    assert (drawn.classes[0], drawn.classes[-1]) == (1, 0)


def test_a_confusion_matrix_counts_what_an_evaluation_counts(make_training: MakeTraining) -> None:
    of = make_training(about=NAMES)
    (view,) = views_for(of)
    drawn = view.compute(of)
    (judged,) = evaluate(of)
    assert isinstance(drawn, ConfusionMatrix)
    assert drawn.counts == judged.confusion
    assert drawn.names == NAMES.label_names
    assert (drawn.part, drawn.samples) == ("validation", 20)
    assert drawn.right / drawn.samples == pytest.approx(dict(judged.metrics)["accuracy"])


def test_without_validation_data_the_training_data_is_looked_at(
    make_training: MakeTraining,
) -> None:
    drawn = pictures(make_training(validation=None))["confusion"]
    assert (drawn.part, drawn.samples) == ("training", 50)


def test_ignored_labels_are_no_mistakes() -> None:
    labels = torch.tensor([0, 1, -100, 2, 2])
    criterion = nn.CrossEntropyLoss(ignore_index=2)
    of = training(nn.Identity(), torch.eye(3)[[0, 0, 1, 1, 2]], labels, criterion)
    drawn = pictures(of)["confusion"]
    assert drawn.counts == ((1, 0, 0), (1, 0, 0), (0, 0, 0))
    assert (drawn.right, drawn.samples) == (1, 2)


@pytest.mark.parametrize(
    ("outputs", "criterion", "zero"),
    [
        (torch.tensor([-2.0, 3.0, 0.3, -1.0]), nn.BCEWithLogitsLoss(), 0.0),
        (torch.tensor([-2.0, 3.0, 0.3, -1.0])[:, None], nn.BCEWithLogitsLoss(), 0.0),
        (torch.tensor([0.1, 0.9, 0.6, 0.4]), nn.BCELoss(), 0.0),
        (torch.tensor([0.1, 0.9, 0.6, 0.4])[:, None], F.binary_cross_entropy, 0.0),
        (torch.tensor([-2.0, 3.0, 0.3, -1.0]), nn.SoftMarginLoss(), -1.0),
    ],
)
def test_one_output_is_a_choice_between_two(outputs: Tensor, criterion: Any, zero: float) -> None:
    labels = torch.tensor([zero, 1.0, 1.0, 1.0]).view_as(outputs)
    of = training(nn.Identity(), outputs, labels, criterion, "classification")
    assert pictures(of)["confusion"].counts == ((1, 0), (1, 2))


def test_probabilities_may_be_labels() -> None:
    outputs = torch.tensor([[2.0, 1.0], [0.0, 5.0]])
    labels = torch.tensor([[0.9, 0.1], [0.6, 0.4]])
    of = training(nn.Identity(), outputs, labels, nn.CrossEntropyLoss())
    assert pictures(of)["confusion"].counts == ((1, 1), (0, 0))


def test_a_class_for_each_position_is_counted_everywhere() -> None:
    outputs = torch.randn(3, 4, 5, 6)  # (B, C, H, W)
    of = training(nn.Identity(), outputs, outputs.argmax(1), nn.CrossEntropyLoss())
    made = pictures(of)
    assert list(made) == ["confusion"]
    assert (made["confusion"].right, made["confusion"].samples) == (90, 90)


def test_of_very_many_classes_those_with_mistakes_stay() -> None:
    outputs = torch.eye(100)
    labels = torch.arange(100)
    labels[70] = 20
    drawn = pictures(training(nn.Identity(), outputs, labels, nn.CrossEntropyLoss()))["confusion"]
    assert len(drawn.classes) == len(drawn.counts) == 40
    assert drawn.counts[drawn.classes.index(20)][drawn.classes.index(70)] == 1
    assert (drawn.right, drawn.samples, len(drawn.names)) == (99, 100, 100)


@pytest.mark.parametrize(
    "criterion",
    [nn.BCEWithLogitsLoss(), nn.MultiLabelSoftMarginLoss()],
    ids=lambda c: type(c).__name__,
)
def test_several_questions_at_once_are_no_classes(criterion: nn.Module) -> None:
    outputs = torch.randn(6, 3)
    of = training(nn.Identity(), outputs, (outputs > 0).float(), criterion, "classification")
    assert views_for(of) == ()


def test_mistakes_come_worst_first_and_then_what_is_least_sure() -> None:
    images = torch.zeros(6, 1, 8, 8)
    logits = torch.tensor([[9.0, 0], [8.0, 0], [0, 1.0], [0, 3.0], [0, 0.5], [0, 2.0]])
    for i in range(6):
        images[i, 0, i, i] = 1.0
        images[i, 0, 7, :2] = logits[i]

    class Reader(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, 0, 7, :2]

    labels = torch.tensor([0, 1, 1, 0, 1, -100])
    of = training(Reader(), images, labels, nn.CrossEntropyLoss(), about=About(label_names=("a",)))
    made = pictures(of)
    assert list(made) == ["mistakes", "confusion"]
    drawn = made["mistakes"]
    assert isinstance(drawn, Mistakes)
    assert (drawn.wrong, drawn.samples, drawn.names) == (2, 5, ("a", "1"))
    seen = [(x.label, x.predicted) for x in drawn.shown]
    assert seen == [(1, 0), (0, 1), (1, 1), (1, 1), (0, 0)]
    losses = [x.loss for x in drawn.shown]
    assert losses[:2] == sorted(losses[:2], reverse=True)
    assert losses[0] == pytest.approx(8.0, abs=1e-3)
    assert losses[2:] == sorted(losses[2:], reverse=True)
    assert all(0 <= v <= 1 for x in drawn.shown for row in x.image for v in row)
    assert all(len(x.image) == len(x.image[0]) == 8 for x in drawn.shown)


def test_large_and_coloured_images_are_made_small_and_grey() -> None:
    images = torch.rand(3, 3, 64, 96)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 96, 2))
    drawn = pictures(training(model, images, torch.zeros(3).long(), nn.CrossEntropyLoss()))
    image = drawn["mistakes"].shown[0].image
    assert (len(image), len(image[0])) == (21, 32)


def test_a_fitted_line_goes_through_the_range_of_the_data() -> None:
    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.bias.fill_(-1.0)
    x = torch.linspace(-3, 5, 50)[:, None]
    of = training(model, x, 2 * x - 1, nn.MSELoss())
    made = pictures(of)
    assert list(made) == ["fit", "predictions"]
    drawn = made["fit"]
    assert isinstance(drawn, FittedLine)
    assert (drawn.x[0], drawn.x[-1]) == (-3.0, 5.0)
    assert all(
        y == pytest.approx(2 * x - 1, abs=1e-5) for x, y in zip(drawn.x, drawn.y, strict=True)
    )
    assert len(drawn.points) == 50
    assert isinstance(made["predictions"], PredictionsTruth)
    assert made["predictions"].r2 == pytest.approx(1.0)


def test_predictions_stand_against_the_truth_as_an_evaluation_measures_them() -> None:
    torch.manual_seed(0)
    features = torch.randn(700, 5)
    of = training(nn.Linear(5, 1), features, features[:, :1] * 3, nn.MSELoss(), "regression")
    drawn = pictures(of)["predictions"]
    (judged,) = evaluate(of)
    assert drawn.r2 == pytest.approx(dict(judged.metrics)["r2"])
    assert drawn.mae == pytest.approx(dict(judged.metrics)["mae"])
    assert (drawn.samples, len(drawn.points)) == (700, 400)


class Next(nn.Module):
    """Knows that after each letter comes the next one; (B, T) to (B, V, T) or (B, T, V)."""

    def __init__(self, *, last: bool, logit: float = 50.0) -> None:
        super().__init__()
        self.last, self.logit = last, logit

    def forward(self, tokens: Tensor) -> Tensor:
        logits = F.one_hot((tokens + 1) % 5, 5) * self.logit  # (B, T, V)
        return logits if self.last else logits.transpose(1, 2)


@pytest.mark.parametrize("last", [False, True])
def test_a_language_model_writes_on_from_the_validation_data(last: bool) -> None:
    tokens = torch.arange(33).view(3, 11) % 5
    about = About(label_names=tuple("abcde"))
    of = training(
        Next(last=last), tokens, tokens + 1, F.cross_entropy, "language-model", about=about
    )
    drawn = pictures(of)["text"]
    assert isinstance(drawn, WrittenText)
    assert drawn.prompt == "abcdeabcdea"
    assert drawn.text.startswith("bcdeabcde")
    assert len(drawn.text) == 160
    assert not drawn.bad


def test_what_is_written_differs_only_by_what_was_learned() -> None:
    tokens = torch.arange(33).view(3, 11) % 5
    about = About(label_names=tuple("abcde"))
    of = training(
        Next(last=True, logit=0.5), tokens, tokens, F.cross_entropy, "language-model", about=about
    )
    (view,) = views_for(of)
    texts = {view.compute(of).text, view.compute(of).text}
    assert len(texts) == 1
    of.model.logit = 0.9
    assert view.compute(of).text not in texts
    of.model.logit = math.nan
    assert view.compute(of).bad


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_model_that_broke_still_has_pictures(value: float) -> None:
    features = torch.rand(30, 2)
    model = nn.Linear(2, 3)
    of = training(model, features, torch.zeros(30).long(), nn.CrossEntropyLoss())
    views = views_for(of)
    with torch.no_grad():
        model.weight.fill_(value)
    drawn, counts = (view.compute(of) for view in views)
    assert set(drawn.classes) == {-1}
    assert sum(map(sum, counts.counts)) == 30
    images = training(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 2)),
        torch.rand(9, 1, 8, 8),
        torch.zeros(9).long(),
        nn.CrossEntropyLoss(),
    )
    views = views_for(images)
    with torch.no_grad():
        images.model[1].weight.fill_(value)
    assert [x.predicted for x in views[0].compute(images).shown] == [-1] * 9


# A person's own data.


class Drawing(Dataset[tuple[Tensor, int]]):
    """Draws its samples from every generator that there is, and counts them."""

    def __init__(self) -> None:
        self.own, self.given = torch.Generator().manual_seed(3), 0

    def __len__(self) -> int:
        return 300

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        self.given += 1
        noise = torch.rand(2) + torch.rand(2, generator=self.own)
        return noise + random.random() + np.random.rand(), i % 3


def test_a_loaders_data_set_is_read_without_moving_anything() -> None:
    data = Drawing()
    order = torch.Generator().manual_seed(1)
    loader = DataLoader(data, 10, shuffle=True, generator=order)
    of = training(nn.Linear(2, 3), None, None, nn.CrossEntropyLoss(), batches=loader)
    before = (
        torch.get_rng_state(),
        order.get_state(),
        data.own.get_state(),
        torch.tensor(random.getstate()[1]),
        torch.from_numpy(np.random.get_state()[1].astype(np.int64)),
    )
    made = pictures(of)
    after = (
        torch.get_rng_state(),
        order.get_state(),
        data.own.get_state(),
        torch.tensor(random.getstate()[1]),
        torch.from_numpy(np.random.get_state()[1].astype(np.int64)),
    )
    assert list(made) == ["decisions", "confusion"]
    assert made["confusion"].samples == 300
    assert data.given == 0
    assert all(map(torch.equal, before, after))


def test_a_subsets_sampler_is_obeyed_and_large_tensors_are_not_copied() -> None:
    features = torch.arange(40.0)[:, None].expand(40, 4).clone()
    data = TensorDataset(features, torch.zeros(40).long())
    loader = DataLoader(data, 8, sampler=SubsetRandomSampler(range(30, 40)))
    of = training(nn.Linear(4, 2), None, None, nn.CrossEntropyLoss(), batches=loader)
    (view,) = views_for(of)
    assert view.compute(of).samples == 10
    seen = [x for batch, _ in view._samples.batches for x in batch[:, 0].tolist()]
    assert sorted(seen) == list(range(30, 40))


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    def __iter__(self) -> Any:
        raise AssertionError("nobody may ask")


class OwnSampler(Sampler[int]):
    """Knows itself what it gives."""

    def __iter__(self) -> Any:
        raise AssertionError("nobody may ask")

    def __len__(self) -> int:
        return 9


@pytest.mark.parametrize(
    "batches",
    [
        DataLoader(Stream(), batch_size=None),
        (batch for batch in ()),
        DataLoader(TensorDataset(torch.rand(9, 2)), sampler=OwnSampler()),
        DataLoader([{"image": torch.rand(2)}] * 4, batch_size=2),
    ],
    ids=["stream", "generator", "sampler", "unknown batches"],
)
def test_what_can_not_be_known_has_no_views(batches: Any) -> None:
    of = training(nn.Linear(2, 2), None, None, nn.CrossEntropyLoss(), batches=batches)
    assert views_for(of) == ()


def test_nested_features_and_lists_of_batches_have_a_confusion_matrix() -> None:
    class First(nn.Module):
        def forward(self, batch: dict[str, Tensor]) -> Tensor:
            return batch["x"]

    batches = [({"x": torch.eye(3)}, torch.tensor([0, 1, 1]))] * 2
    of = training(First(), None, None, nn.CrossEntropyLoss(), batches=batches)
    made = pictures(of)
    assert list(made) == ["confusion"]
    assert made["confusion"].counts == ((2, 0, 0), (0, 2, 2), (0, 0, 0))


def test_a_lazy_model_is_not_brought_to_life() -> None:
    torch.manual_seed(0)
    of = training(nn.Flatten(), torch.rand(4, 2), torch.zeros(4).long(), nn.CrossEntropyLoss())
    of.model = nn.LazyLinear(2)
    state = torch.get_rng_state()
    assert views_for(of) == ()
    assert of.model.has_uninitialized_params()
    assert torch.equal(torch.get_rng_state(), state)


class Restless(nn.Module):
    """Draws, counts and replaces in eval mode what no model should."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.fails = nn.Linear(2, 2), False
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = x[0] + torch.rand(2) + random.random()
        if self.fails:
            raise RuntimeError("no")
        return self.layer(x)


@pytest.mark.parametrize("fails", [False, True])
def test_modes_buffers_and_generators_come_back_whatever_happens(fails: bool) -> None:
    model = Restless()
    of = training(model, torch.rand(6, 2), torch.zeros(6).long(), nn.CrossEntropyLoss())
    views = views_for(of)
    assert views
    model.train()
    model.layer.eval()
    model.fails = fails
    last, rng, python = model.last, torch.get_rng_state(), random.getstate()
    grads = torch.is_grad_enabled()
    for view in views:
        if fails:
            with pytest.raises(RuntimeError, match="no"):
                view.compute(of)
        else:
            view.compute(of)
    assert (model.training, model.layer.training) == (True, False)
    assert model.calls.item() == 0
    assert model.last is last
    assert torch.equal(last, torch.zeros(2))
    assert torch.equal(torch.get_rng_state(), rng)
    assert random.getstate() == python
    assert torch.is_grad_enabled() == grads
    assert all(p.grad is None for p in model.parameters())


def test_what_is_looked_at_is_judged_in_eval_mode(make_training: MakeTraining) -> None:
    of = make_training()
    of.model.train()
    with eval_without_trace(of) as model:
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
    (view,) = views_for(of)
    assert view.compute(of) == view.compute(of)  # no dropout
    assert all(module.training for module in of.model.modules())
