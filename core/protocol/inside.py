"""What a face may know of the inside of a batch: frozen numbers and texts, never tensors.

Needs no torch, so that a screen can be laid out before it is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .at_hand import AtHand
from .steps import Step

GreyImage = tuple[tuple[float, ...], ...]
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
class ClassifiedImage:
    """An image with what it shows and what the model takes it for."""

    image: GreyImage
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

    shown: tuple[ClassifiedImage, ...]
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


ViewResult = DecisionMap | FittedLine | Mistakes | ConfusionMatrix | PredictionsTruth | WrittenText


GradWord = Literal["cleared", "filled", "added to", "clipped", "unchanged"]
WeightWord = Literal["moved", "unchanged"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How the finite values of some tensors are spread over equal bins."""

    low: float
    """The lowest finite value; 0 if there is none."""
    high: float
    counts: tuple[int, ...]
    """In equal bins from `low` to `high`; of large tensors, of values evenly spaced in them."""
    bad: int = 0
    """How many values are NaN or infinite, of all of them."""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A module that owns parameters, an activation whose units can die, or dropout."""

    name: str
    """Qualified, such as "features.0"."""
    kind: str
    """The class, such as "Conv2d"."""
    shapes: str = ""
    """Of its matrices, such as "64x128"; empty where it has no parameters."""
    parameters: int = 0
    """Biases among them; those that an earlier row has counted already are left out."""
    weight_norm: float | None = None
    """Of all its parameters together; None without any."""
    grad_norm: float | None = None
    """None where there is no gradient: it has been cleared, or never was."""
    update_ratio: float | None = None
    """Norm of the last update over the norm of the weights before it; None until known."""
    against: float | None = None
    """Cosine between the last update and minus the gradient: 1 is straight against it, -1
    straight along it. None until known, and where either is zero."""
    dead_share: float | None = None
    """Share (0 to 1) of units that gave 0 for every sample of the batch; None if not measured."""
    weights: Histogram | None = None
    grads: Histogram | None = None
    mode: str = ""
    """What its mode makes of a layer that behaves differently in train and eval mode: "zeros 20%"
    or "off" of dropout, "(eval)" of a norm that goes by the averages it has kept."""
    frozen: bool = False
    """None of its parameters learns: they ask for no gradient, or no optimizer has them."""
    groups: frozenset[str] = frozenset()
    """The parameter groups that it learns with, where there are several."""
    editions: tuple[int, int] | None = None
    """Numbers of the weights' and the gradients' content, each another one as soon as any value
    is another; None where nobody compared."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What happened to one layer between two looks."""

    before: LayerRow
    after: LayerRow
    weights: WeightWord
    grads: GradWord

    @property
    def word(self) -> str:
        """What matters most: weights that moved, else what became of the gradients."""
        return self.weights if self.weights != "unchanged" else self.grads


def compare(
    before: Sequence[LayerRow], after: Sequence[LayerRow], step: Step | None = None
) -> tuple[Difference, ...]:
    """What changed from one look to a later one, layer by layer.

    Exact where both looks were (`editions`); otherwise two equal norms count as no change.

    Args:
        step: the phase that ran in between. Gradients that change in OTHER were clipped.
    """
    earlier = {row.name: row for row in before}
    return tuple(
        Difference(earlier[row.name], row, _weights(earlier[row.name], row), grads)
        for row in after
        if row.name in earlier
        for grads in (_grads(earlier[row.name], row, step),)
    )


def _weights(before: LayerRow, after: LayerRow) -> WeightWord:
    return "moved" if _other(before, after, 0) else "unchanged"


def _grads(before: LayerRow, after: LayerRow, step: Step | None) -> GradWord:
    had, has = before.grad_norm, after.grad_norm
    if had is None:
        return "unchanged" if has is None else "filled"
    if has is None:
        return "cleared"
    if not _other(before, after, 1):
        return "unchanged"
    if had == 0:
        return "filled"
    if has == 0:
        return "cleared"
    return "clipped" if step is Step.CLIP else "added to"


def _other(before: LayerRow, after: LayerRow, which: int) -> bool:
    """Whether the weights (0) or the gradients (1) hold other values."""
    if before.editions is not None and after.editions is not None:
        return before.editions[which] != after.editions[which]
    had, has = ((row.weight_norm, row.grad_norm)[which] for row in (before, after))
    if had is None or has is None:
        return had is not has
    return had != has and not (math.isnan(had) and math.isnan(has))


@dataclass(frozen=True, slots=True)
class TensorFact:
    """A tensor of the batch under way."""

    path: str
    """Where it is in a nested batch, such as "['image']" or "[0]"; empty if it is all there is."""
    dtype: str
    """Such as "float32"; of what is no tensor, its class."""
    shape: tuple[int, ...] | None
    """None for what is no tensor."""

    @property
    def text(self) -> str:
        """In one line: "float32 (32, 1, 8, 8)"."""
        return self.dtype if self.shape is None else f"{self.dtype} {self.shape}"


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """What the lines of the loop have in their hands at this gate."""

    features: tuple[TensorFact, ...]
    """At most `batch_facts.MOST` of each; empty before there are any."""
    labels: tuple[TensorFact, ...]
    outputs: tuple[TensorFact, ...]
    loss: float | None
    """None before the loss is computed; may be NaN or infinite."""
    grad_norm: float | None
    """As clipping computed it; None where nothing has clipped yet."""
    epoch: int
    """Epochs completely trained."""
    batch: int
    """Batches finished in this epoch."""
    batches_done: int
    samples_done: int
    updates: int


@dataclass(frozen=True, slots=True)
class Inside:
    """What is shown of the inside of a batch, as `commands.Show` asks for it; empty by default."""

    layers: tuple[LayerRow, ...] = ()
    """In the model's order: exact in a pause, else sampled behind an update."""
    differences: tuple[Difference, ...] = ()
    """What changed since the last pause."""
    batch: BatchFacts | None = None
    views: tuple[tuple[str, str], ...] = ()
    """Name and title of each picture of what the model knows, the most telling first."""
    view: str | None = None
    """The name of `picture`."""
    picture: ViewResult | AtHand | None = None
    """What the model knows now, or what the loop has in its hands."""
    problem: str = ""
    """Why there is no picture."""
    part: str = ""
    """What of the layers was read; "" is all of them."""
