"""Views of a regression: the line that it fits, and its predictions against the truth."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from ..protocol.inside import FittedLine, PredictionsTruth
from ..training.training import Training
from .samples import Samples
from .view import View

PLACES: Final = 129
"""Of a fitted line."""


class FittedView(View):
    """What the model predicts over the range of its one feature.

    Args:
        features: (N, 1) or (N,), of the data to be drawn beside the line.
        labels: (N, 1) or (N,)

    Raises:
        ValueError: there is nothing to draw.
    """

    name, title = "fit", "fitted line"

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        pairs = zip(features.flatten().tolist(), labels.flatten().tolist(), strict=True)
        self._points = tuple(p for p in pairs if all(map(math.isfinite, p)))
        if not self._points:
            raise ValueError("no points to draw")
        xs = [x for x, _ in self._points]
        x = torch.linspace(min(xs), max(xs), PLACES, dtype=torch.float64)
        self._x = x.to(features.device, features.dtype).view(-1, *features.shape[1:])

    def see(self, model: nn.Module, training: Training) -> FittedLine:
        predicted = model(self._x.to(training.device)).flatten()
        return FittedLine(
            tuple(self._x.flatten().tolist()), tuple(predicted.tolist()), self._points
        )


class PredictionsView(View):
    """Predictions against labels: on the diagonal where they are right.

    Args:
        samples: with labels of as many values as the model gives.
        most: points in the picture.
    """

    name, title = "predictions", "predictions against truth"

    def __init__(self, samples: Samples, most: int) -> None:
        self._samples, self._most = samples, most

    def see(self, model: nn.Module, training: Training) -> PredictionsTruth:
        pairs = [
            torch.stack((labels.flatten().double().cpu(), outputs.flatten().double().cpu()))
            for outputs, labels in self._samples.outputs(model, training.device)
        ]
        truth, guess = torch.cat(pairs, 1)  # (N,) each
        errors = guess - truth
        spread = (truth - truth.mean()).square().sum()
        r2 = 1 - errors.square().sum() / spread if spread > 0 else truth.new_tensor(math.nan)
        count = min(self._most, len(truth))
        chosen = torch.arange(count) * len(truth) // count
        points = torch.stack((truth, guess), 1)[chosen].tolist()
        return PredictionsTruth(
            points=tuple((x, y) for x, y in points),
            r2=float(r2),
            mae=float(errors.abs().mean()),
            samples=len(truth),
            part=self._samples.part,
        )
