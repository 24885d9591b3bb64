"""The data sets: each function is named by an entry of the catalogue and takes its options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import RecipeError


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data in memory, split into a part to train on and a part to validate on.

    Features are float32 (N, D) or (N, C, H, W), or int64 (N, T) tokens. Labels are int64 (N,)
    class numbers, float32 (N, 1) values, or int64 (N, T) next tokens.
    """

    features: Tensor
    labels: Tensor
    val_features: Tensor
    val_labels: Tensor
    outputs: int
    """What a model has to give for each sample (or token): values, or a logit for each class."""
    about: str
    """For example "1,438 images 8x8, 10 classes"."""
    label_names: tuple[str, ...] = ()
    """Names of the classes; for text, the vocabulary."""


def line(
    *, samples: int, slope: float, intercept: float, noise: float, validation: float, seed: int
) -> Dataset:
    """Points (x, slope * x + intercept + noise): x even in -1..1, the noise normal."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(samples, 1, generator=draw) * 2 - 1  # (N, 1)
    y = slope * x + intercept + noise * torch.randn(samples, 1, generator=draw)  # (N, 1)
    train, val = _split(samples, validation, draw)
    return Dataset(x[train], y[train], x[val], y[val], 1, f"{len(train):,} points on a line")


def spirals(
    *, arms: int, samples: int, turns: float, noise: float, validation: float, seed: int
) -> Dataset:
    """Points in the plane on `arms` spirals that wind around each other, a class for each."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % arms  # (N,)
    radius = torch.rand(samples, generator=draw).sqrt()  # (N,) even along the arm
    angle = 2 * math.pi * (turns * radius + labels / arms)  # (N,)
    points = torch.stack((radius * angle.cos(), radius * angle.sin()), 1)  # (N, 2)
    points = points + noise * torch.randn(samples, 2, generator=draw)  # (N, 2)
    train, val = _split(samples, validation, draw)
    about = f"{len(train):,} points, {arms} spirals"
    names = tuple(f"arm {arm}" for arm in range(1, arms + 1))
    return Dataset(points[train], labels[train], points[val], labels[val], arms, about, names)


def digits(*, validation: float, seed: int) -> Dataset:
    """Handwritten digits, 8x8, grey values 0 to 1, as scikit-learn carries them.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998 (the test part, 1,797 images).
    """
    table = torch.from_numpy(_digits_table())  # (N, 65)
    features = table[:, :64].float().div(16).view(-1, 1, 8, 8)  # (N, 1, 8, 8)
    labels = table[:, 64].long()  # (N,)
    train, val = _split(len(table), validation, torch.Generator().manual_seed(seed))
    return Dataset(
        features[train],
        labels[train],
        features[val],
        labels[val],
        10,
        f"{len(train):,} images 8x8, 10 classes",
        tuple("0123456789"),
    )


def docs(*, context: int, validation: float) -> Dataset:
    """The language reference that CPython carries, character by character; it predicts the next.

    Topics repeat whole paragraphs of each other: each is kept once, so that the text at the
    end, which is kept for validation, is new. Every Python version has its own text.
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
    cut = round(len(tokens) * (1 - validation))
    features, labels = _windows(tokens[:cut], context)  # (N, T), (N, T)
    val_features, val_labels = _windows(tokens[cut:], context)  # (M, T), (M, T)
    about = f"{cut:,} characters, {len(vocabulary)} different"
    return Dataset(
        features, labels, val_features, val_labels, len(vocabulary), about, tuple(vocabulary)
    )


def _windows(tokens: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Tokens (L,) cut into rows (N, length), and the same one token further on."""
    rows = (len(tokens) - 1) // length
    here, following = tokens[: rows * length], tokens[1 : rows * length + 1]
    return here.view(rows, length), following.view(rows, length)


def _split(samples: int, validation: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sample numbers to train on, and to validate on: at least one of each."""
    order = torch.randperm(samples, generator=generator)  # (N,)
    kept = min(max(round(samples * validation), 1), samples - 1)
    return order[: samples - kept], order[samples - kept :]


def _digits_table() -> NDArray[np.float64]:
    """Rows of 64 grey values 0 to 16 and the digit: (1797, 65).

    Read from scikit-learn's file: to import scikit-learn takes as long as to import torch.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise RecipeError("digits: the images are part of scikit-learn, which is not installed")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    found = load_digits()
    return cast("NDArray[np.float64]", np.column_stack((found.data, found.target)))
