"""From a recipe to a Training: what fits together, and what the seeds decide."""

from __future__ import annotations

import itertools
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from offline import OFFLINE
from torch import Tensor

from fivestep.core.session.run_length import check_reach
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.progress import Progress
from fivestep.core.training.training import Training
from fivestep.presets.build import build
from fivestep.presets.catalogue import DATASETS, MODELS, SCHEDULERS
from fivestep.presets.components import LOSSES
from fivestep.presets.recipe import RecipeError, load

MODELS_FOR = {
    "points": ["linear", "mlp"],
    "table": ["linear", "mlp"],
    "images": ["linear", "mlp", "cnn", "resnet"],
    "tokens": ["gpt", "lstm"],
}


def steps(training: Training, count: int) -> list[Tensor]:
    """The losses of a few batches of the guide's loop."""
    training.model.train()
    seen = []
    for features, labels in itertools.islice(training.batches, count):
        training.optimizer.zero_grad()
        loss = training.criterion(training.model(features), labels)
        loss.backward()
        training.optimizer.step()
        seen.append(loss.detach())
    return seen


@pytest.mark.parametrize(("dataset", "model"), itertools.product(DATASETS, MODELS))
def test_data_sets_and_models_combine_where_shapes_fit(
    dataset: str, model: str, published: Path, own_table: str
) -> None:
    changes = {"dataset.name": dataset, "model.name": model}
    if DATASETS[dataset].download:
        changes["dataset.data_dir"] = str(published)
    if dataset == "csv":
        changes["dataset.path"] = own_table
    if model in MODELS_FOR[DATASETS[dataset].kind]:
        training = build(load("digits-mlp", changes))
        assert all(loss.isfinite() for loss in steps(training, 2))
        assert training.task.name == (DATASETS[dataset].task or "classification")
        assert training.about.model == model
        return
    with pytest.raises(RecipeError) as caught:
        load("digits-mlp", changes)
    assert f"{model} takes " in str(caught.value)
    assert f"but {dataset} gives {DATASETS[dataset].kind} {DATASETS[dataset].shape};" in str(
        caught.value
    )
    assert "would fit" in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "loss"), itertools.product(["line", "spirals", "digits"], LOSSES)
)
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
def test_a_loss_trains_or_is_refused_in_one_line(dataset: str, loss: str) -> None:
    recipe = load(
        "digits-mlp", {"dataset.name": dataset, "dataset.seed": 1, "criterion.name": loss}
    )
    try:
        training = build(recipe)
    except RecipeError as error:
        refusal = str(error)
    else:
        assert len(steps(training, 2)) == 2
        return
    assert refusal.isprintable()
    assert f"{loss} can't take the outputs (B, " in refusal


@pytest.mark.parametrize(
    ("arms", "loss"), [(2, "MSELoss"), (2, "SoftMarginLoss"), (3, "L1Loss"), (2, "KLDivLoss")]
)
def test_labels_are_never_stretched_over_outputs(arms: int, loss: str) -> None:
    recipe = load("spirals-mlp", {"dataset.arms": arms, "criterion.name": loss})
    with pytest.raises(RecipeError, match=r"outputs \(B, [23]\) float32 .* labels \(B,\) int64"):
        build(recipe)


@pytest.fixture(params=OFFLINE)
def preset(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_seed_decides_everything(preset: str) -> None:
    losses = steps(build(load(preset)), 3)
    torch.manual_seed(99)
    again = build(load(preset))
    assert all(torch.equal(a, b) for a, b in zip(losses, steps(again, 3), strict=True))
    other = build(load(preset, {"seed": 1}))
    assert not torch.equal(losses[0], steps(other, 1)[0])


def test_the_seed_leaves_the_data_alone(preset: str) -> None:
    one, other = build(load(preset)).validation, build(load(preset, {"seed": 1})).validation
    assert isinstance(one, TensorBatches)
    assert isinstance(other, TensorBatches)
    assert torch.equal(one.features, other.features)


def test_trying_out_leaves_no_trace(preset: str) -> None:
    """Weights are the first that the seed gives, buffers are new, the model is in train mode."""
    training = build(load(preset))
    after = torch.get_rng_state()
    fresh = build(load(preset, {"batch_size": 1}))  # tries a single sample as well
    assert torch.equal(torch.get_rng_state(), after)
    for (name, a), b in zip(
        training.model.state_dict().items(), fresh.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
        if "num_batches_tracked" in name:
            assert a == 0
    assert training.model.training


def test_settings_reach_the_training() -> None:
    changes: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 7,
        "accumulate": 2,
        "clip_norm": 0.5,
        "threads": 1,
        "device": "cpu",
        "seed": 4,
        "amp": "fp16",
        "compile": True,
    }
    plain, training = build(load("digits-mlp", {"seed": 4})), build(load("digits-mlp", changes))
    for a, b in zip(plain.model.parameters(), training.model.parameters(), strict=True):
        assert torch.equal(a, b), "mixed precision was tried out, and left no trace"
    batches = training.batches
    assert isinstance(batches, TensorBatches)
    assert batches.batch_size == 7
    assert batches.generator is not None
    assert batches.generator.initial_seed() == 4
    seen = {field.name: getattr(training, field.name) for field in fields(training)}
    del changes["batch_size"]
    assert changes == {key: seen[key] for key in changes} | {"device": "cpu"}
    assert training.device == torch.device("cpu")
    assert training.about.name == "digits-mlp"
    assert training.about.data == "1,438 images 8x8, 10 classes"
    assert training.about.label_names == tuple("0123456789")


@pytest.mark.parametrize(
    ("preset", "metric", "mode"),
    [
        ("iris-mlp", "accuracy", "max"),
        ("iris-mlp", "f1", "max"),
        ("iris-mlp", "val_loss", "min"),
        ("line-linear", "mae", "min"),
    ],
)
def test_a_plateau_waits_for_its_metric_to_get_better(preset: str, metric: str, mode: str) -> None:
    options = {"name": "plateau", "metric": metric, "patience": 3, "min_lr": 1e-5, "cooldown": 2}
    training = build(load(preset, {f"scheduler.{key}": value for key, value in options.items()}))
    scheduler: Any = training.scheduler
    assert (training.scheduler_metric, scheduler.mode) == (metric, mode)
    assert (scheduler.patience, scheduler.cooldown, scheduler.min_lrs) == (3, 2, [1e-5])


@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_a_recipe_s_schedule_ends_where_the_run_does(schedule: str) -> None:
    changes = {"scheduler.name": schedule, "accumulate": 3, "epochs": 7}
    assert check_reach(build(load("iris-mlp", changes)), Progress()) == ()


def test_validation_and_test_see_what_training_does_not(preset: str) -> None:
    training = build(load(preset))
    assert isinstance(training.batches, TensorBatches)
    assert isinstance(training.validation, TensorBatches)
    assert training.validation.generator is None
    assert isinstance(training.test, TensorBatches)
    trained = {row.tobytes() for row in training.batches.features.flatten(1).numpy()}
    for held in (training.validation, training.test):
        seen = [row.tobytes() in trained for row in held.features.flatten(1).numpy()]
        assert sum(seen) / len(seen) < 0.04  # two irises are the same in every measure


def test_frozen_parameters_stay_as_they_were() -> None:
    training = build(load("digits-cnn", {"freeze": ["features.0.*", "*.bias"]}))
    model = training.model
    for a, b in zip(model.parameters(), build(load("digits-cnn")).model.parameters(), strict=True):
        assert torch.equal(a, b), "freezing changes no first weight"
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {
        n for n, _ in model.named_parameters() if n.startswith("features.0.") or "bias" in n
    }
    sizes = [p.numel() for n, p in model.named_parameters() if n not in frozen]
    assert training.parameters == sum(sizes)
    held = training.optimizer.param_groups[0]["params"]
    assert [p.numel() for p in held] == sizes
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    steps(training, 3)
    same = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    assert same == frozen


def test_what_the_device_can_not_compute_in_half_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = torch.nn.functional.cross_entropy

    def refuse(*arguments: Any, **options: Any) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("not implemented for 'Half'\nand much more")
        return plain(*arguments, **options)

    recipe = load("iris-mlp", {"amp": "fp16"})
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", refuse)
    with pytest.raises(RecipeError) as told:
        build(recipe)
    assert str(told.value) == (
        "iris-mlp: amp: mlp with CrossEntropyLoss can't be computed in fp16 on cpu: "
        "not implemented for 'Half'"
    )
