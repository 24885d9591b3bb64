"""The data sets: each function is named by an entry of the catalogue and takes its options.

A dash in an entry's name is an underscore in its function's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import RecipeError
from .csv_dataset import csv
from .dataset import Dataset, draw_split, make_dataset
from .images import fashion_mnist, mnist
from .scaling import Scaling
from .table import Table, number_features

__all__ = ["csv", "fashion_mnist", "mnist"]  # the catalogue's entries that are made elsewhere

Numbers = NDArray[np.float64]

IRIS = ("sepal length", "sepal width", "petal length", "petal width")
WINE = (
    "alcohol, malic acid, ash, alcalinity of ash, magnesium, total phenols, flavanoids, other "
    "phenols, proanthocyanins, colour intensity, hue, OD280/OD315, proline"
).split(", ")
CELLS = (
    "radius, texture, perimeter, area, smoothness, compactness, concavity, concave points, "
    "symmetry, fractal dimension"
).split(", ")
DIABETES = ("age", "sex", "BMI", "blood pressure", "TC", "LDL", "HDL", "TCH", "LTG", "glucose")


def line(
    *,
    samples: int,
    slope: float,
    intercept: float,
    noise: float,
    validation: float,
    test: float,
    seed: int,
) -> Dataset:
    """Points (x, slope * x + intercept + noise): x even in -1..1, the noise normal."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(samples, 1, generator=draw) * 2 - 1  # (N, 1)
    y = slope * x + intercept + noise * torch.randn(samples, 1, generator=draw)  # (N, 1)
    split = draw_split(samples, validation, test, draw)
    return make_dataset(x, y, split, 1, f"{len(split[0]):,} points on a line")


def spirals(
    *,
    arms: int,
    samples: int,
    turns: float,
    noise: float,
    validation: float,
    test: float,
    seed: int,
) -> Dataset:
    """Points in the plane on `arms` spirals that wind around each other, a class for each."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % arms  # (N,)
    radius = torch.rand(samples, generator=draw).sqrt()  # (N,) even along the arm
    angle = 2 * math.pi * (turns * radius + labels / arms)  # (N,)
    points = torch.stack((radius * angle.cos(), radius * angle.sin()), 1)  # (N, 2)
    points = points + noise * torch.randn(samples, 2, generator=draw)  # (N, 2)
    split = draw_split(samples, validation, test, draw)
    about = f"{len(split[0]):,} points, {arms} spirals"
    names = [f"arm {arm}" for arm in range(1, arms + 1)]
    return make_dataset(points, labels, split, arms, about, names)


def moons(*, samples: int, noise: float, validation: float, test: float, seed: int) -> Dataset:
    """Points in the plane on two half circles, each reaching into the other."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % 2  # (N,)
    angle = math.pi * torch.rand(samples, generator=draw)  # (N,)
    side = 1 - 2 * labels  # (N,) 1 for the upper moon, -1 for the lower one
    x = side * angle.cos() + labels  # (N,)
    y = side * angle.sin() + labels * 0.5  # (N,)
    points = torch.stack((x, y), 1)  # (N, 2)
    points = points + noise * torch.randn(samples, 2, generator=draw)  # (N, 2)
    split = draw_split(samples, validation, test, draw)
    about = f"{len(split[0]):,} points, 2 moons"
    return make_dataset(points, labels, split, 2, about, ("upper moon", "lower moon"))


def iris(*, validation: float, test: float, seed: int) -> Dataset:
    """Irises of three kinds by length and width of their sepals and petals.

    Source: R. A. Fisher, "The Use of Multiple Measurements in Taxonomic Problems", 1936.
    """
    table = _table("iris.csv", "iris")  # (150, 5)
    classes = ("setosa", "versicolor", "virginica")
    return _classes(table, classes, IRIS, "flowers", validation, test, seed)


def wine(*, validation: float, test: float, seed: int) -> Dataset:
    """Italian wines from the grapes of three growers, by a chemical analysis.

    Source: S. Aeberhard and M. Forina, "Wine", UCI Machine Learning Repository, 1992.
    """
    table = _table("wine_data.csv", "wine")  # (178, 14)
    classes = ("grower 1", "grower 2", "grower 3")
    return _classes(table, classes, WINE, "wines", validation, test, seed)


def breast_cancer(*, validation: float, test: float, seed: int) -> Dataset:
    """Tumours by the shape of their cell nuclei: mean, standard error and worst of each measure.

    Source: W. Wolberg, O. Mangasarian, N. Street and W. Street, "Breast Cancer Wisconsin
    (Diagnostic)", UCI Machine Learning Repository, 1993.
    """
    table = _table("breast_cancer.csv", "breast_cancer")  # (569, 31)
    names = [f"{kind} {cell}" for kind in ("mean", "error", "worst") for cell in CELLS]
    return _classes(table, ("malignant", "benign"), names, "tumours", validation, test, seed)


def diabetes(*, validation: float, test: float, seed: int) -> Dataset:
    """How far diabetes got within a year (25 to 346), by ten measurements at its beginning.

    The labels are standardised like the features. Source: B. Efron, T. Hastie, I. Johnstone and
    R. Tibshirani, "Least Angle Regression", 2004.
    """
    files = [_file(f"diabetes_{part}.csv.gz", "diabetes") for part in ("data_raw", "target")]
    if all(files):
        table = np.column_stack([np.loadtxt(str(file)) for file in files])  # (442, 11)
    else:
        table = _loaded("diabetes", scaled=False)
    split = draw_split(len(table), validation, test, torch.Generator().manual_seed(seed))
    numbers = torch.from_numpy(table)  # (442, 11)
    scaling = Scaling.of(numbers[split[0]])
    values = scaling.apply(numbers)  # (442, 11)
    about = f"{len(split[0]):,} patients, 10 features, progression after a year"
    *columns, target = scaling.columns()
    read = Table(number_features(DIABETES, columns), "progression", scaling=target)
    return make_dataset(values[:, :-1], values[:, -1:], split, 1, about, (), DIABETES, read)


def digits(*, validation: float, test: float, seed: int) -> Dataset:
    """Handwritten digits, 8x8, grey values 0 to 1, as scikit-learn carries them.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998 (the test part, 1,797 images).
    """
    table = torch.from_numpy(_table("digits.csv.gz", "digits", header=0))  # (1797, 65)
    features = table[:, :64].float().div(16).view(-1, 1, 8, 8)  # (N, 1, 8, 8)
    labels = table[:, 64].long()  # (N,)
    split = draw_split(len(table), validation, test, torch.Generator().manual_seed(seed))
    about = f"{len(split[0]):,} images 8x8, 10 classes"
    return make_dataset(features, labels, split, 10, about, "0123456789")


def _classes(
    table: Numbers,
    classes: Sequence[str],
    columns: Sequence[str],
    what: str,
    validation: float,
    test: float,
    seed: int,
) -> Dataset:
    """A table (N, D + 1) whose last column is the class."""
    split = draw_split(len(table), validation, test, torch.Generator().manual_seed(seed))
    numbers = torch.from_numpy(table[:, :-1])  # (N, D)
    scaling = Scaling.of(numbers[split[0]])
    labels = torch.from_numpy(table[:, -1]).long()  # (N,)
    about = f"{len(split[0]):,} {what}, {len(columns)} features, {len(classes)} classes"
    read = Table(number_features(columns, scaling.columns()), "class", tuple(classes))
    return make_dataset(
        scaling.apply(numbers), labels, split, len(classes), about, classes, columns, read
    )


def _table(name: str, loader: str, header: int = 1) -> Numbers:
    """Features and class (N, D + 1), from scikit-learn's file after `header` lines."""
    file = _file(name, loader)
    return _loaded(loader) if file is None else np.loadtxt(file, delimiter=",", skiprows=header)


def _file(name: str, loader: str) -> Path | None:
    """A data file of scikit-learn; None where this version keeps it elsewhere.

    Raises:
        RecipeError: scikit-learn is not installed.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise RecipeError(f"{loader} comes with scikit-learn, which is not installed")
    file = Path(package.origin).parent / "datasets" / "data" / name
    return file if file.is_file() else None


def _loaded(loader: str, **options: bool) -> Numbers:
    """The same table (N, D + 1) by scikit-learn itself, which takes as long to import as torch."""
    load = getattr(import_module("sklearn.datasets"), f"load_{loader}")
    features, labels = load(return_X_y=True, **options)  # (N, D), (N,)
    return np.column_stack((features, labels))


def docs(*, context: int, validation: float, test: float) -> Dataset:
    """The language reference that CPython carries, character by character; it predicts the next.

    Topics repeat whole paragraphs of each other: each is kept once, so that the text at the
    end, which is kept to validate and to test, is new. Every Python version has its own text.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise RecipeError("docs: this Python came without pydoc_data.topics") from error
    paragraphs = [p for text in topics.values() for p in text.split("\n\n")]
    text = "\n\n".join({" ".join(p.split()): p for p in paragraphs}.values())
    vocabulary = sorted(set(text))
    number = {character: i for i, character in enumerate(vocabulary)}
    tokens = torch.tensor([number[character] for character in text])
    cut = round(len(tokens) * (1 - validation - test))
    last = cut + round((len(tokens) - cut) * validation / (validation + test))
    features, labels = _windows(tokens[:cut], context)  # (N, T), (N, T)
    val_features, val_labels = _windows(tokens[cut:last], context)  # (M, T), (M, T)
    test_features, test_labels = _windows(tokens[last:], context)  # (L, T), (L, T)
    return Dataset(
        features,
        labels,
        val_features,
        val_labels,
        test_features,
        test_labels,
        len(vocabulary),
        f"{cut:,} characters, {len(vocabulary)} different",
        tuple(vocabulary),
    )


def _windows(tokens: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Tokens (L,) cut into rows (N, length), and the same one token further on."""
    rows = (len(tokens) - 1) // length
    here, following = tokens[: rows * length], tokens[1 : rows * length + 1]
    return here.view(rows, length), following.view(rows, length)
