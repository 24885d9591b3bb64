"""Real tables that scikit-learn carries, standardised with what the training part alone shows."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import torch
from numpy.typing import NDArray

from .dataset import Dataset, dealt, split, standardised
from .packaged import packaged

Table = NDArray[np.float64]

DATA = "the tables"

IRIS = ("sepal length", "sepal width", "petal length", "petal width")
WINE = (
    "alcohol",
    "malic acid",
    "ash",
    "alcalinity of ash",
    "magnesium",
    "total phenols",
    "flavanoids",
    "other phenols",
    "proanthocyanins",
    "colour intensity",
    "hue",
    "OD280/OD315",
    "proline",
)
CELLS = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
DIABETES = ("age", "sex", "BMI", "blood pressure", "TC", "LDL", "HDL", "TCH", "LTG", "glucose")


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
    return _classes(table, ("malignant", "benign"), tuple(names), "tumours", validation, test, seed)


def diabetes(*, validation: float, test: float, seed: int) -> Dataset:
    """How far diabetes got within a year (25 to 346), by ten measurements at its beginning.

    The labels are standardised like the features. Source: B. Efron, T. Hastie, I. Johnstone and
    R. Tibshirani, "Least Angle Regression", 2004.
    """
    files = [packaged(f"diabetes_{part}.csv.gz", DATA) for part in ("data_raw", "target")]
    if all(files):
        table = np.column_stack([np.loadtxt(str(file)) for file in files])  # (442, 11)
    else:
        table = _loaded("diabetes", scaled=False)
    parts = split(len(table), validation, test, torch.Generator().manual_seed(seed))
    values = standardised(torch.from_numpy(table), parts[0])  # (442, 11)
    about = f"{len(parts[0]):,} patients, 10 features, progression after a year"
    return dealt(values[:, :-1], values[:, -1:], parts, 1, about, (), DIABETES)


def _classes(
    table: Table,
    classes: tuple[str, ...],
    columns: tuple[str, ...],
    what: str,
    validation: float,
    test: float,
    seed: int,
) -> Dataset:
    """A table (N, D + 1) whose last column is the class."""
    parts = split(len(table), validation, test, torch.Generator().manual_seed(seed))
    features = standardised(torch.from_numpy(table[:, :-1]), parts[0])  # (N, D)
    labels = torch.from_numpy(table[:, -1]).long()  # (N,)
    about = f"{len(parts[0]):,} {what}, {len(columns)} features, {len(classes)} classes"
    return dealt(features, labels, parts, len(classes), about, classes, columns)


def _table(name: str, loader: str) -> Table:
    """Features and class (N, D + 1), from the file, or by scikit-learn where it has moved."""
    file = packaged(name, DATA)
    if file is None:
        return _loaded(loader)
    return np.loadtxt(file, delimiter=",", skiprows=1)


def _loaded(loader: str, **options: bool) -> Table:
    """The same by scikit-learn itself, which takes as long to import as torch."""
    load = getattr(import_module("sklearn.datasets"), f"load_{loader}")
    features, labels = load(return_X_y=True, **options)  # (N, D), (N,)
    return np.column_stack((features, labels))
