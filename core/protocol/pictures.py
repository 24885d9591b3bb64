"""Pictures of what a model knows: frozen numbers and texts of bounded size, never tensors.

Needs no torch, so that a screen can be laid out before it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

Image = tuple[tuple[float, ...], ...]
"""Rows of grey values, 0 to 1."""
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class DecisionMap:
    """Which class the model sees where in the plane, over a grid of cells."""

    x: tuple[float, float]
    """Left and right edge, in the units of the first feature."""
    y: tuple[float, float]
    """Lower and upper edge, in those of the second."""
    columns: int
    rows: int
    classes: tuple[int, ...]
    """Predicted at the middle of each cell, row by row, the upper one first; -1 where the model
    gave NaN."""
    confidence: tuple[float, ...]
    """Probability of that class, 0 to 1."""
    points: tuple[tuple[float, float, int], ...]
    """Some of the training data: both features and the class."""
    names: tuple[str, ...]
    """Of all classes."""


@dataclass(frozen=True, slots=True)
class FittedLine:
    """What the model predicts over the range of its one feature."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    """May be NaN or infinite."""
    points: tuple[Point, ...]
    """Some of the training data: feature and label."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An image with what it shows and what the model takes it for."""

    image: Image
    label: int
    predicted: int
    """-1 where the model gave NaN."""
    confidence: float
    """Probability of the predicted class, 0 to 1."""
    loss: float
    """Minus the log of the label's probability."""


@dataclass(frozen=True, slots=True)
class Mistakes:
    """Images that the model takes for something else, worst first; then the least sure ones."""

    shown: tuple[Judged, ...]
    wrong: int
    samples: int
    """How many were looked at."""
    part: str
    """Of the data: validation or training."""
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfusionMatrix:
    """How often each class was taken for which."""

    counts: tuple[tuple[int, ...], ...]
    """[label][prediction], of the `classes`."""
    classes: tuple[int, ...]
    """Their numbers: all, or of very many those with the most mistakes."""
    right: int
    """Of all classes."""
    samples: int
    """With a known label, of all classes."""
    part: str
    names: tuple[str, ...]
    """Of all classes."""


@dataclass(frozen=True, slots=True)
class PredictionsTruth:
    """Predictions against labels, in the labels' units."""

    points: tuple[Point, ...]
    """Label and prediction, of some samples."""
    r2: float
    """Of all samples looked at; NaN if the labels don't vary."""
    mae: float
    """Mean absolute error of them."""
    samples: int
    part: str


@dataclass(frozen=True, slots=True)
class WrittenText:
    """A text that the model writes on from a prompt; luck is the same each time."""

    prompt: str
    """From the validation data."""
    text: str
    temperature: float
    bad: bool = False
    """The model gave NaN or infinity, so that the text means nothing."""


Picture = DecisionMap | FittedLine | Mistakes | ConfusionMatrix | PredictionsTruth | WrittenText
