"""Views of a classifier: the plane that it divides, and what it takes for what."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..protocol.inside import ClassifiedImage, ConfusionMatrix, DecisionMap, GreyImage, Mistakes
from ..training.predictions import classes_of, predictions
from ..training.training import Training
from .base_view import View, predicted, probabilities
from .samples import CHUNK, Samples

COLUMNS: Final = 64
ROWS: Final = 31
"""Of a decision map: 1,984 cells, each a sample to the model."""
MARGIN: Final = 0.05
"""Shown around the data, as a share of its range."""
CLASSES: Final = 40
"""Of a confusion matrix."""


class DecisionView(View):
    """Where in the plane the model sees which class.

    Args:
        features: (N, 2), of the data to be drawn on the map.
        classes: (N,), of the same data; -1 leaves a point out.
        names: of all classes.

    Raises:
        ValueError: there is nothing to draw.
    """

    name, title = "decisions", "decision map"

    def __init__(self, features: Tensor, classes: Tensor, names: tuple[str, ...]) -> None:
        self._names = names
        self._points = tuple(
            (x, y, label)
            for (x, y), label in zip(features.tolist(), classes.tolist(), strict=True)
            if label >= 0 and math.isfinite(x) and math.isfinite(y)
        )
        if not self._points:
            raise ValueError("no points to draw")
        self._x, self._y = (_widened([p[i] for p in self._points]) for i in (0, 1))
        xs, ys = _middles(self._x, COLUMNS), _middles(self._y, ROWS)
        grid = torch.cartesian_prod(ys.flip(0), xs).flip(1)  # (ROWS * COLUMNS, 2)
        self._grid = grid.to(features.device, features.dtype)

    def see(self, model: nn.Module, training: Training) -> DecisionMap:
        grid = self._grid.to(training.device).split(CHUNK)  # (B, 2) each
        chances = torch.cat(
            [probabilities(predictions(model(part)), training.criterion) for part in grid]
        )
        classes, confidence = predicted(chances)
        return DecisionMap(
            x=self._x,
            y=self._y,
            columns=COLUMNS,
            rows=ROWS,
            classes=tuple(classes.tolist()),
            confidence=tuple(confidence.tolist()),
            points=self._points,
            names=self._names,
        )


class ConfusionView(View):
    """How often each class was taken for which."""

    name, title = "confusion", "confusion matrix"

    def __init__(self, samples: Samples, names: tuple[str, ...]) -> None:
        self._samples, self._names = samples, names

    def see(self, model: nn.Module, training: Training) -> ConfusionMatrix:
        classes = len(self._names)
        counts = torch.zeros(classes * classes, dtype=torch.long)
        for outputs, labels in self._samples.outputs(model, training.device):
            true = classes_of(labels, outputs.shape, training.criterion)
            guess, _ = predicted(probabilities(outputs, training.criterion))
            # Where a model gave NaN, the guess counts as its first class, as argmax has it.
            pairs = true[true >= 0] * classes + guess[true >= 0].clamp(min=0)
            counts += torch.bincount(pairs, minlength=classes * classes).cpu()
        table = counts.view(classes, classes)
        right = table.diagonal()
        shown = torch.arange(classes)
        if classes > CLASSES:
            mistakes = table.sum(0) + table.sum(1) - 2 * right
            shown = mistakes.argsort(descending=True, stable=True)[:CLASSES].sort().values
        return ConfusionMatrix(
            counts=tuple(map(tuple, table[shown][:, shown].tolist())),
            classes=tuple(shown.tolist()),
            right=int(right.sum()),
            samples=int(table.sum()),
            part=self._samples.part,
            names=self._names,
        )


def points_of(
    seen: tuple[Tensor, Tensor], outputs: Tensor, criterion: Any
) -> tuple[Tensor, Tensor]:
    """Features (N, 2) and classes (N,) of some data, for outputs such as these."""
    features, labels = seen
    return features, classes_of(labels, (len(labels), *outputs.shape[1:]), criterion)


def _widened(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = MARGIN * (high - low) or 1.0
    return low - margin, high + margin


def _middles(side: tuple[float, float], count: int) -> Tensor:
    """The middles of `count` equal cells from one edge to the other, (count,)."""
    low, high = side
    return low + (high - low) * (torch.arange(count) + 0.5) / count


IMAGES: Final = 24
LARGEST: Final = 32
"""Pixels that a shown image is high or wide; of larger ones blocks are averaged."""
_TINY: Final = 1e-30


class MistakesView(View):
    """Images with the label that they have and the one that they are given, the worst first.

    Args:
        samples: features (B, C, H, W) with one to four channels, or (B, H, W).
        names: of all classes.
    """

    name, title = "mistakes", "mistakes"

    def __init__(self, samples: Samples, names: tuple[str, ...]) -> None:
        self._samples, self._names = samples, names
        self._images = [image for features, _ in samples.batches for image in features]

    @staticmethod
    def fits(features: Any) -> bool:
        """Whether these are images."""
        if not isinstance(features, Tensor) or min(features.shape[-2:], default=0) < 2:
            return False
        if features.dim() == 4 and features.shape[1] > 4:
            return False
        return features.dim() in (3, 4) and (
            features.is_floating_point() or features.dtype is torch.uint8
        )

    def see(self, model: nn.Module, training: Training) -> Mistakes:
        found = []
        for outputs, labels in self._samples.outputs(model, training.device):
            chances = probabilities(outputs, training.criterion)  # (B, C)
            true = classes_of(labels, outputs.shape, training.criterion)  # (B,)
            guess, confidence = predicted(chances)
            right = chances.gather(1, true.clamp(min=0)[:, None])[:, 0]  # (B,)
            loss = -right.nan_to_num(0.0).clamp(min=_TINY).log()
            found.append(torch.stack([n.double() for n in (true, guess, confidence, loss)]).cpu())
        true, guess, confidence, loss = torch.cat(found, 1)  # (N,) each
        known, wrong = true >= 0, (true != guess) & (true >= 0)
        # Right ones come after all wrong ones, ignored ones last: no loss reaches 1e3.
        order = (loss + 1e3 * wrong - 1e6 * ~known).argsort(descending=True, stable=True)
        shown = [i for i in order[:IMAGES].tolist() if known[i]]
        return Mistakes(
            shown=tuple(
                ClassifiedImage(
                    image=grey_image(self._images[i]),
                    label=int(true[i]),
                    predicted=int(guess[i]),
                    confidence=float(confidence[i]),
                    loss=float(loss[i]),
                )
                for i in shown
            ),
            wrong=int(wrong.sum()),
            samples=int(known.sum()),
            part=self._samples.part,
            names=self._names,
        )


def grey_image(image: Tensor) -> GreyImage:
    """(H, W) or (C, H, W) as rows of grey values, the darkest 0 and the brightest 1."""
    grey = image.float().reshape(-1, *image.shape[-2:]).mean(0).nan_to_num()  # (H, W)
    tall, wide = grey.shape
    if max(tall, wide) > LARGEST:
        scale = LARGEST / max(tall, wide)
        size = max(1, round(tall * scale)), max(1, round(wide * scale))
        grey = F.adaptive_avg_pool2d(grey[None, None], size)[0, 0]
    low, high = grey.min(), grey.max()
    return tuple(map(tuple, ((grey - low) / (high - low).clamp(min=1e-9)).tolist()))
