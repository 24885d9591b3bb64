"""`Dataset`, and how samples are split into those to train, to validate and to test on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .table import Table


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data in memory: samples to train on, to validate on while training, to test on at the end.

    Features are float32 (N, D) or (N, C, H, W), or int64 (N, T) tokens. Labels are int64 (N,)
    class numbers, float32 (N, 1) values, or int64 (N, T) next tokens.
    """

    features: Tensor
    labels: Tensor
    val_features: Tensor
    val_labels: Tensor
    test_features: Tensor
    test_labels: Tensor
    outputs: int
    """What a model has to give for each sample (or token): values, or a logit for each class."""
    about: str
    """For example "1,438 images 8x8, 10 classes"."""
    label_names: tuple[str, ...] = ()
    """Names of the classes; for text, the vocabulary."""
    feature_names: tuple[str, ...] = ()
    """Names of a table's columns."""
    table: Table | None = None
    """How rows of a table become features, and outputs values; None for what is no table."""


Split = tuple[Tensor, Tensor, Tensor]
"""Sample numbers to train on, to validate on, and to test on."""


def draw_split(samples: int, validation: float, test: float, draw: torch.Generator) -> Split:
    """Split the samples at random, at least one to each part; `validation` and `test` are shares.

    Raises:
        ValueError: fewer than three samples.
    """
    if samples < 3:
        raise ValueError(f"expected at least 3 samples, one for each part, not {samples}")
    order = torch.randperm(samples, generator=draw)  # (N,)
    kept = min(max(round(samples * (validation + test)), 2), samples - 1)
    tested = min(max(round(kept * test / (validation + test)), 1), kept - 1)
    return order[:-kept], order[-kept:-tested], order[-tested:]


def make_dataset(
    features: Tensor,
    labels: Tensor,
    split: Split,
    outputs: int,
    about: str,
    label_names: Sequence[str] = (),
    feature_names: Sequence[str] = (),
    table: Table | None = None,
) -> Dataset:
    """Features (N, ...) and labels (N, ...) as a `Dataset` that is split in this way."""
    train, val, test = split
    return Dataset(
        features[train],
        labels[train],
        features[val],
        labels[val],
        features[test],
        labels[test],
        outputs,
        about,
        tuple(label_names),
        tuple(feature_names),
        table,
    )
