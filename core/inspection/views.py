"""Views: pictures of what the model knows now, and which of them a training can have.

For the training's thread, at a gate, at most about once a second, outside the measured steps.
Nothing of the run is touched: see `eval_without_trace`.
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor, nn

from ..protocol.inside import FittedLine, PredictionsTruth, WrittenText
from ..training.device import estimate_work
from ..training.lazy import unmade
from ..training.predictions import predictions
from ..training.training import Training
from .base_view import View, is_choice, probabilities
from .classifier_views import ConfusionView, DecisionView, MistakesView, points_of
from .eval_mode import eval_without_trace
from .samples import Samples, spaced, training_samples, validation_samples

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
        predicted = predictions(model(self._x.to(training.device))).flatten()
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
        points = torch.stack((truth, guess), 1)[spaced(len(truth), self._most)].tolist()
        return PredictionsTruth(
            points=tuple((x, y) for x, y in points),
            r2=float(r2),
            mae=float(errors.abs().mean()),
            samples=len(truth),
            part=self._samples.part,
        )


TEMPERATURE: Final = 0.8
LONGEST: Final = 160
"""Tokens written at most."""
SHORTEST: Final = 24
WORK: Final = 4e9
"""Multiply-adds of one text; a larger model writes less."""
PROMPT: Final = 24
"""Tokens shown of what the model goes on from."""
SEED: Final = 0


class TextView(View):
    """What the model writes, token by token, after the beginning of the validation data.

    It always reads as many tokens as a sample has. Luck is drawn once, so that two texts differ
    by what was learned in between and by nothing else.

    Args:
        start: (T,) the tokens to go on from.
        vocabulary: the text of each token.
        last: whether the vocabulary is the last dimension of the outputs, (B, T, V), instead of
            the second, (B, V, T).
        length: tokens to write.
    """

    name, title = "text", "written text"

    def __init__(
        self, start: Tensor, vocabulary: tuple[str, ...], *, last: bool, length: int
    ) -> None:
        self._start, self._vocabulary, self._last = start, vocabulary, last
        self._luck = torch.rand(length, generator=torch.Generator().manual_seed(SEED))

    @classmethod
    def of(cls, training: Training, features: Any, outputs: Any) -> TextView | None:
        """The view, if the data are rows of tokens and each token has a name."""
        vocabulary = training.about.label_names
        if not isinstance(features, Tensor) or not isinstance(outputs, Tensor) or not vocabulary:
            return None
        if features.dim() != 2 or features.is_floating_point() or outputs.dim() != 3:
            return None
        samples, tokens = features.shape
        if outputs.shape not in (
            (samples, len(vocabulary), tokens),
            (samples, tokens, len(vocabulary)),
        ):
            return None
        last = outputs.shape[1] != len(vocabulary)
        work = estimate_work(training.model, features[:1])
        length = int(min(LONGEST, max(SHORTEST, WORK / max(1.0, work))))
        return cls(features[0], vocabulary, last=last, length=length)

    def see(self, model: nn.Module, training: Training) -> WrittenText:
        luck = self._luck.to(training.device)
        tokens = self._start.to(training.device)  # (T,)
        size = len(tokens)
        bad = torch.zeros((), dtype=torch.bool, device=training.device)
        for place in range(len(luck)):
            outputs = predictions(model(tokens[None, -size:]))[0]  # (V, T) or (T, V)
            logits = outputs[-1] if self._last else outputs[:, -1]  # (V,)
            bad |= ~logits.isfinite().all()
            chances = (logits.float() / TEMPERATURE).softmax(0).cumsum(0)  # (V,)
            # Counted rather than drawn by torch.multinomial, which an accelerator can't survive
            # being given NaN.
            token = (chances < luck[place] * chances[-1]).sum().clamp(max=len(chances) - 1)
            tokens = torch.cat((tokens, token[None].to(tokens.dtype)))
        names = [self._vocabulary[token] for token in tokens.tolist()]
        return WrittenText(
            "".join(names[max(0, size - PROMPT) : size]),
            "".join(names[size:]),
            TEMPERATURE,
            bool(bad),
        )


POINTS: Final = 400
"""Of the data, drawn into a picture."""
_VALUES: Final = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.SmoothL1Loss)
_CLASSES: Final = (nn.CrossEntropyLoss, nn.NLLLoss)


def views_for(training: Training) -> tuple[View, ...]:
    """The views that apply, the most telling first; none where the data can't tell.

    The data itself decides, and one look at what the model gives. Samples of `TensorBatches` are
    sliced; of a `DataLoader` over a data set with an index they are read from the data set in
    this thread, up to 400 and for half a second, once; a list of batches is taken as it is. Of a
    stream, or behind a sampler of one's own, nothing is looked at, since reading it might take
    something from the run; nor is a model whose layers are not made yet (lazy ones).

    What fails has no views: data sets and models may be anything.
    """
    if unmade(training.model):
        return ()
    try:
        with eval_without_trace(training) as model:
            samples = validation_samples(training, model)
            if samples is None:
                return ()
            few = samples.few()
            ((outputs, labels),) = few.outputs(model, training.device)
            return _choose(training, samples, few.batches[0][0], outputs, labels)
    except Exception:  # a person's own model or data; the run itself will say what is wrong
        return ()


def _choose(
    training: Training, samples: Samples, features: Any, outputs: Any, labels: Any
) -> tuple[View, ...]:
    task = task_of(training)
    if task == "language-model":
        text = TextView.of(training, features, outputs)
        return () if text is None else (text,)
    if not isinstance(outputs, Tensor) or not isinstance(labels, Tensor):
        return ()
    if task == "regression":
        return _of_values(training, samples, features, outputs, labels)
    if task == "classification" and is_choice(outputs, labels, training.criterion):
        return _of_classes(training, samples, features, outputs)
    return ()


def _of_classes(
    training: Training, samples: Samples, features: Any, outputs: Tensor
) -> tuple[View, ...]:
    chances = probabilities(outputs, training.criterion)  # (N, C)
    given, classes = training.about.label_names, chances.shape[1]
    names = tuple(given[i] if i < len(given) else str(i) for i in range(classes))
    views: list[View] = []
    if len(chances) == len(outputs):  # one class for each sample
        if _numbers(features) and features.dim() == 2 and features.shape[1] == 2:
            seen = _training_data(training)
            if seen is not None:
                points = points_of(seen, outputs, training.criterion)
                views.append(DecisionView(*points, names))
        if MistakesView.fits(features):
            views.append(MistakesView(samples, names))
    return (*views, ConfusionView(samples, names))


def _of_values(
    training: Training, samples: Samples, features: Any, outputs: Tensor, labels: Tensor
) -> tuple[View, ...]:
    if outputs.numel() != labels.numel() or not outputs.is_floating_point():
        return ()
    views: list[View] = []
    if _numbers(features) and features.numel() == len(features) == outputs.numel():
        seen = _training_data(training)
        if seen is not None:
            views.append(FittedView(*seen))
    return (*views, PredictionsView(samples, POINTS))


def _training_data(training: Training) -> tuple[Tensor, Tensor] | None:
    """Features and labels to be drawn as points."""
    samples = training_samples(training, POINTS)
    return None if samples is None else samples.joined()


def _numbers(features: Any) -> bool:
    return isinstance(features, Tensor) and features.is_floating_point() and features.dim() > 0


def task_of(training: Training) -> str:
    """The task; where none is named, what the criterion gives away."""
    if training.task.name != "custom":
        return training.task.name
    if isinstance(training.criterion, _CLASSES):
        return "classification"
    if isinstance(training.criterion, _VALUES):
        return "regression"
    return "custom"
