"""The data sets: what they hold, and that their seed decides it."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from fivestep.presets.catalogue import DATASETS
from fivestep.presets.data import builtin
from fivestep.presets.data.dataset import Dataset, draw_split
from fivestep.presets.data.scaling import Scaling
from fivestep.presets.errors import RecipeError


def options(name: str, **changes: Any) -> dict[str, Any]:
    return {key: option.default for key, option in DATASETS[name].options.items()} | changes


def made(name: str, **changes: Any) -> Dataset:
    data: Dataset = getattr(builtin, name.replace("-", "_"))(**options(name, **changes))
    return data


def test_the_line_is_the_one_asked_for() -> None:
    data = builtin.line(**options("line", noise=0.0, slope=3.0, intercept=-1.0))
    assert torch.allclose(data.labels, 3 * data.features - 1)
    assert data.features.shape == data.labels.shape == (800, 1)
    assert data.val_features.shape == data.test_features.shape == (100, 1)
    assert data.about == "800 points on a line"


@pytest.mark.parametrize("arms", [2, 3])
def test_spirals_wind_around_each_other(arms: int) -> None:
    """Turned by one arm, a noiseless arm lies on the next."""
    data = builtin.spirals(**options("spirals", arms=arms, noise=0.0, samples=600))
    assert data.labels.bincount().sum() == len(data.features) == 480
    assert data.outputs == arms == len(data.label_names)
    radius = data.features.norm(dim=1)  # (N,)
    angle = torch.atan2(data.features[:, 1], data.features[:, 0])  # (N,)
    expected = 2 * torch.pi * (radius + data.labels / arms)  # (N,)
    assert torch.allclose((angle - expected).cos(), torch.ones(480), atol=1e-4)


def test_digits_are_the_real_ones() -> None:
    from sklearn.datasets import load_digits

    data = builtin.digits(**options("digits"))
    real = load_digits()
    ours = torch.cat((data.features, data.val_features, data.test_features))
    ours = ours.view(-1, 64) * 16  # (1797, 64)
    labels = torch.cat((data.labels, data.val_labels, data.test_labels))  # (1797,)
    rows = {(*row, label) for row, label in zip(ours.tolist(), labels.tolist(), strict=True)}
    assert rows == {(*r, t) for r, t in zip(real.data.tolist(), real.target.tolist(), strict=True)}
    assert data.features.shape == (1438, 1, 8, 8)
    assert data.features.min() == 0
    assert data.features.max() == 1
    assert data.about == "1,438 images 8x8, 10 classes"


def test_digits_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="digits comes with scikit-learn, which is not installed"):
        builtin.digits(**options("digits"))


def test_docs_predict_the_next_character() -> None:
    data = builtin.docs(**options("docs", context=32))
    assert data.features.shape == data.labels.shape
    assert data.features.shape[1] == 32
    assert torch.equal(data.features[:, 1:], data.labels[:, :-1])
    assert torch.equal(data.features[1:, 0], data.labels[:-1, -1])
    text = "".join(data.label_names[i] for i in data.features[:200].flatten())
    assert "mapping" in text
    assert data.outputs == len(data.label_names) == len(set(data.label_names))


def test_docs_keep_every_paragraph_once(monkeypatch: pytest.MonkeyPatch) -> None:
    topics = ModuleType("pydoc_data.topics")
    topics.topics = {"a": "one\n\ntwo", "b": " two\n\nthree\n\none"}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", topics)
    data = builtin.docs(context=1, validation=0.1, test=0.1)
    text = "".join(data.label_names[i] for i in data.features.flatten())
    assert text.count("one") == text.count("two") == 1


def test_docs_say_when_python_came_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pydoc_data"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RecipeError, match="this Python came without"):
        builtin.docs(context=8, validation=0.1, test=0.1)


@pytest.mark.parametrize(
    "name", ["line", "spirals", "moons", "iris", "wine", "breast-cancer", "diabetes", "digits"]
)
def test_the_seed_of_a_data_set_decides_it(name: str) -> None:
    one, again, other = made(name), made(name), made(name, seed=1)
    assert torch.equal(one.features, again.features)
    assert not torch.equal(one.val_features, other.val_features)


@pytest.mark.parametrize("name", DATASETS)
def test_an_entry_tells_the_truth_about_its_data(
    name: str, published: Path, own_table: str
) -> None:
    entry = DATASETS[name]
    elsewhere = {"path": own_table} if name == "csv" else {}
    data = made(name, **({"data_dir": str(published)} if entry.download else elsewhere))
    places = entry.shape.strip("()").split(", ")
    assert len(places) == data.features.dim()
    for place, size in list(zip(places, data.features.shape, strict=True))[1:]:
        assert place in ("T", "D") or int(place) == size
    floating = entry.kind != "tokens"
    assert data.features.is_floating_point() == floating
    assert data.labels.is_floating_point() == (entry.task == "regression")


@pytest.mark.parametrize(
    ("samples", "validation", "test", "parts"),
    [
        (10, 0.01, 0.01, (8, 1, 1)),
        (10, 0.45, 0.45, (1, 5, 4)),
        (11, 0.01, 0.45, (6, 1, 4)),
        (1000, 0.1, 0.3, (600, 100, 300)),
    ],
)
def test_every_part_has_a_sample(
    samples: int, validation: float, test: float, parts: tuple[int, ...]
) -> None:
    data = builtin.line(**options("line", samples=samples, validation=validation, test=test))
    assert parts == (len(data.features), len(data.val_features), len(data.test_features))


def test_moons_are_two_half_circles() -> None:
    data = builtin.moons(**options("moons", noise=0.0))
    assert data.features.shape == (1600, 2)
    centre = torch.tensor([[0.0, 0.0], [1.0, 0.5]])[data.labels]  # (N, 2)
    from_centre = data.features - centre  # (N, 2)
    assert torch.allclose(from_centre.norm(dim=1), torch.ones(1600), atol=1e-5)
    assert ((from_centre[:, 1] >= -1e-6) == (data.labels == 0)).all()


TABLES = {
    "iris": ("setosa", 150),
    "wine": ("grower 1", 178),
    "breast-cancer": ("malignant", 569),
    "diabetes": (None, 442),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_the_real_ones(name: str) -> None:
    """Standardising keeps which of two values is larger, so the ranks are scikit-learn's."""
    import sklearn.datasets

    load = getattr(sklearn.datasets, f"load_{name.replace('-', '_')}")
    real, target = load(return_X_y=True)
    data = made(name)
    parts = draw_split(len(real), 0.2, 0.2, torch.Generator().manual_seed(0))
    ours = torch.cat((data.features, data.val_features, data.test_features))
    theirs = torch.from_numpy(real)[torch.cat(parts)]
    for mine, right in zip(ours.T, theirs.T, strict=True):
        assert torch.corrcoef(torch.stack((mine.double(), right)))[0, 1] > 1 - 1e-9
    labels = torch.cat((data.labels, data.val_labels, data.test_labels)).flatten()
    wanted = torch.from_numpy(target)[torch.cat(parts)]
    assert torch.corrcoef(torch.stack((labels.double(), wanted.double())))[0, 1] > 1 - 1e-9
    first, count = TABLES[name]
    assert len(ours) == count
    assert data.label_names[:1] == (() if first is None else (first,))
    assert len(data.feature_names) == real.shape[1] == len(set(data.feature_names))


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_standardised_by_what_the_training_part_shows(name: str) -> None:
    data = made(name)
    assert torch.allclose(data.features.mean(0), torch.zeros(data.features.shape[1]), atol=1e-5)
    spread = data.features.std(0, correction=0)
    assert torch.allclose(spread, torch.ones(data.features.shape[1]), atol=1e-5)
    assert not torch.allclose(data.val_features.mean(0), torch.zeros(1), atol=1e-3)


@pytest.mark.parametrize("name", [*TABLES, "digits"])
def test_tables_come_from_scikit_learn_itself_where_their_files_moved(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = made(name)
    moved = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(builtin, "find_spec", lambda _: moved)
    found = made(name)
    assert torch.equal(usual.features, found.features)
    assert torch.equal(usual.test_labels, found.test_labels)


def test_a_column_that_never_varies_becomes_zero() -> None:
    values = torch.tensor([[3.0, 1.0], [3.0, 2.0], [5.0, 9.0]])
    scaled = Scaling.of(values[:2]).apply(values)
    assert torch.equal(scaled, torch.tensor([[0.0, -1.0], [0.0, 1.0], [2.0, 15.0]]))


@pytest.mark.parametrize("name", ["line", "spirals", "moons", "digits", "docs", "breast-cancer"])
def test_no_part_has_what_another_has(name: str) -> None:
    data = made(name)
    parts = [data.features, data.val_features, data.test_features]
    rows = [{row.tobytes() for row in part.flatten(1).numpy()} for part in parts]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]


def test_too_few_samples_for_three_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 samples"):
        draw_split(2, 0.1, 0.1, torch.Generator())
