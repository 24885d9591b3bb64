"""The data sets: each function is named by an entry of the catalogue and takes its options.

A dash in an entry's name is an underscore in its function's.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import RecipeError
from .dataset import Dataset, dealt, split
from .images import fashion_mnist, mnist
from .own_table import csv
from .packaged import packaged
from .tables import breast_cancer, diabetes, iris, wine

__all__ = [
    "breast_cancer",
    "csv",
    "diabetes",
    "digits",
    "docs",
    "fashion_mnist",
    "iris",
    "line",
    "mnist",
    "moons",
    "spirals",
    "wine",
]


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
    parts = split(samples, validation, test, draw)
    return dealt(x, y, parts, 1, f"{len(parts[0]):,} points on a line")


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
    parts = split(samples, validation, test, draw)
    about = f"{len(parts[0]):,} points, {arms} spirals"
    names = [f"arm {arm}" for arm in range(1, arms + 1)]
    return dealt(points, labels, parts, arms, about, names)


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
    parts = split(samples, validation, test, draw)
    about = f"{len(parts[0]):,} points, 2 moons"
    return dealt(points, labels, parts, 2, about, ("upper moon", "lower moon"))


def digits(*, validation: float, test: float, seed: int) -> Dataset:
    """Handwritten digits, 8x8, grey values 0 to 1, as scikit-learn carries them.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998 (the test part, 1,797 images).
    """
    table = torch.from_numpy(_digits_table())  # (N, 65)
    features = table[:, :64].float().div(16).view(-1, 1, 8, 8)  # (N, 1, 8, 8)
    labels = table[:, 64].long()  # (N,)
    parts = split(len(table), validation, test, torch.Generator().manual_seed(seed))
    about = f"{len(parts[0]):,} images 8x8, 10 classes"
    return dealt(features, labels, parts, 10, about, "0123456789")


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


def _digits_table() -> NDArray[np.float64]:
    """Rows of 64 grey values 0 to 16 and the digit: (1797, 65)."""
    file = packaged("digits.csv.gz", "digits: the images")
    if file is not None:
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    found = load_digits()
    return cast("NDArray[np.float64]", np.column_stack((found.data, found.target)))
