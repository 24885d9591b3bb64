"""Views: pictures of what the model knows now, and which of them a training can have.

For the training's thread, at a gate, at most about once a second, outside the measured steps.
Nothing of the run is touched: see `looking`.
"""

from __future__ import annotations

from typing import Any, Final

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..training.training import Training
from .classifier_views import ConfusionView, DecisionView, points_of
from .looking import looking
from .outputs import is_choice, probabilities
from .samples import Samples, judged_samples, training_samples
from .view import View
from .views_of_images import MistakesView
from .views_of_text import TextView
from .views_of_values import FittedView, PredictionsView

__all__ = ["View", "views_for"]

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
    if any(is_lazy(p) for p in training.model.parameters()):
        return ()
    try:
        with looking(training) as model:
            judged = judged_samples(training, model)
            if judged is None:
                return ()
            few = judged.few()
            ((outputs, labels),) = few.outputs(model, training.device)
            return _choose(training, judged, few.batches[0][0], outputs, labels)
    except Exception:  # a person's own model or data; the run itself will say what is wrong
        return ()


def _choose(
    training: Training, judged: Samples, features: Any, outputs: Any, labels: Any
) -> tuple[View, ...]:
    task = _task(training)
    if task == "language-model":
        text = TextView.of(training, features, outputs)
        return () if text is None else (text,)
    if not isinstance(outputs, Tensor) or not isinstance(labels, Tensor):
        return ()
    if task == "regression":
        return _of_values(training, judged, features, outputs, labels)
    if task == "classification" and is_choice(outputs, labels, training.criterion):
        return _of_classes(training, judged, features, outputs)
    return ()


def _of_classes(
    training: Training, judged: Samples, features: Any, outputs: Tensor
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
            views.append(MistakesView(judged, names))
    return (*views, ConfusionView(judged, names))


def _of_values(
    training: Training, judged: Samples, features: Any, outputs: Tensor, labels: Tensor
) -> tuple[View, ...]:
    if outputs.numel() != labels.numel() or not outputs.is_floating_point():
        return ()
    views: list[View] = []
    if _numbers(features) and features.numel() == len(features) == outputs.numel():
        seen = _training_data(training)
        if seen is not None:
            views.append(FittedView(*seen))
    return (*views, PredictionsView(judged, POINTS))


def _training_data(training: Training) -> tuple[Tensor, Tensor] | None:
    """Features and labels to be drawn as points."""
    samples = training_samples(training, POINTS)
    return None if samples is None else samples.joined()


def _numbers(features: Any) -> bool:
    return isinstance(features, Tensor) and features.is_floating_point() and features.dim() > 0


def _task(training: Training) -> str:
    """The task; where none is named, what the criterion gives away."""
    if training.task.name != "custom":
        return training.task.name
    if isinstance(training.criterion, _CLASSES):
        return "classification"
    if isinstance(training.criterion, _VALUES):
        return "regression"
    return "custom"
