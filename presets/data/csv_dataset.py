"""A user's own table, from a CSV file: numbers are standardised, categories become 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import printable, shown
from .csv_file import Column, categories, read_sheet, target_of
from .dataset import Dataset, draw_split, make_dataset, standardise

FEATURES = 5000
"""Columns after categories have become several."""
VALUES = 50_000_000


def csv(
    *,
    path: str,
    target: str,
    task: str,
    ignore: Sequence[str],
    data_dir: str,
    validation: float,
    test: float,
    seed: int,
) -> Dataset:
    """Every column but the target as features (N, D), standardised by the training part alone.

    A target of numbers is standardised too, (N, 1); one of classes is numbered, (N,).

    Raises:
        ValueError: the file can't be used, or has no such columns; one line.
    """
    columns = read_sheet(path, data_dir)
    wanted = target_of(columns, target)
    unknown = set(ignore) - {column.name for column in columns}
    if unknown:
        raise ValueError(f"ignore: no column is called {shown(min(unknown))}")
    used = [c for c in columns if c is not wanted and c.name not in ignore]
    if not used:
        raise ValueError("ignore: no column is left to learn from")
    rows = len(wanted.texts)
    split = draw_split(rows, validation, test, torch.Generator().manual_seed(seed))
    width = sum(1 if c.numbers is not None else len(categories(c)) for c in used)
    if width > FEATURES or width * rows > VALUES:
        raise ValueError(f"categories make {width:,} features of {rows:,} rows, which is too much")
    features = torch.cat([_features(column, split[0]) for column in used], 1)  # (N, D)
    names = [name for column in used for name in _names(column)]
    called = f"{len(split[0]):,} rows, {width} features"
    if task == "regression":
        if wanted.numbers is None:
            raise ValueError(
                f"the column {shown(wanted.name)} has texts: no regression without numbers"
            )
        values = torch.tensor(wanted.numbers, dtype=torch.float64).view(-1, 1)  # (N, 1)
        about = f"{called}, regression of {printable(wanted.name, 40)}"
        return make_dataset(features, standardise(values, split[0]), split, 1, about, (), names)
    classes = [printable(text) for text in categories(wanted)]
    about = f"{called}, {len(classes)} classes of {printable(wanted.name, 40)}"
    labels = torch.tensor(wanted.places)  # (N,)
    return make_dataset(features, labels, split, len(classes), about, classes, names)


def _features(column: Column, train: Tensor) -> Tensor:
    """(N, 1) for numbers, (N, K) for one of K categories."""
    if column.numbers is not None:
        values = torch.tensor(column.numbers, dtype=torch.float64).view(-1, 1)  # (N, 1)
        return standardise(values, train)
    places = torch.tensor(column.places)  # (N,)
    return torch.nn.functional.one_hot(places, len(column.different)).float()  # (N, K)


def _names(column: Column) -> list[str]:
    name = printable(column.name, 40)
    if column.numbers is not None:
        return [name]
    return [f"{name}={printable(text, 40)}" for text in column.different]
