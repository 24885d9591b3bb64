"""A user's own table, from a CSV file: numbers are standardised, categories become 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import printable, shown
from .csv_table import classes_of, table_columns
from .dataset import Dataset, draw_split, make_dataset
from .scaling import Scaling
from .table import Table, encode_column, feature_of

FEATURES = 5000
"""Columns after categories have become several."""
VALUES = 50_000_000


def csv(
    *,
    path: str,
    target: str,
    task: str,
    ignore: Sequence[str],
    categories: Sequence[str],
    decimal: str,
    missing: str,
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
    columns = table_columns(
        {
            "path": path,
            "target": target,
            "ignore": ignore,
            "categories": categories,
            "decimal": decimal,
            "missing": missing,
            "data_dir": data_dir,
        }
    )
    wanted, used = columns.target, columns.features
    rows = len(wanted.texts)
    split = draw_split(rows, validation, test, torch.Generator().manual_seed(seed))
    width = sum(1 if c.numbers is not None else len(c.different) for c in used)
    if width > FEATURES or width * rows > VALUES:
        raise ValueError(f"categories make {width:,} features of {rows:,} rows, which is too much")
    train = split[0].tolist()
    learned = tuple(feature_of(column, train, fills=missing == "median") for column in used)
    pairs = zip(learned, used, strict=True)
    features = torch.cat([encode_column(feature, column) for feature, column in pairs], 1)  # (N, D)
    names = [name for feature in learned for name in feature.names]
    called = f"{len(split[0]):,} rows, {width} features"
    drops = missing == "drop"
    if task == "regression":
        if wanted.numbers is None:
            raise ValueError(
                f"the column {shown(wanted.name)} has texts: no regression without numbers"
            )
        values = torch.tensor(wanted.numbers, dtype=torch.float64).view(-1, 1)  # (N, 1)
        scaling = Scaling.of(values[split[0]])
        table = Table(learned, wanted.name, scaling=scaling, drops=drops)
        about = f"{called}, regression of {printable(wanted.name, 40)}"
        labels = scaling.apply(values)  # (N, 1)
        return make_dataset(features, labels, split, 1, about, (), names, table)
    classes = classes_of(wanted)
    table = Table(learned, wanted.name, classes, drops=drops)
    about = f"{called}, {len(classes)} classes of {printable(wanted.name, 40)}"
    labels = torch.tensor(wanted.places)  # (N,)
    shown_names = [printable(text) for text in classes]
    return make_dataset(features, labels, split, len(classes), about, shown_names, names, table)
