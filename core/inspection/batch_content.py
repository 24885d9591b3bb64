"""What is in the batch: numbers, images or texts of its first samples, what the model makes of
them, and the loss of each.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from ..protocol.at_hand import BatchContent, BatchTensor
from ..training.predictions import predictions
from ..training.progress import Progress, as_number, samples_in
from ..training.training import Training
from .base_view import is_choice, predicted, probabilities
from .batch_facts import fact, leaves
from .classifier_views import MistakesView, grey_image
from .views import task_of

SAMPLES: Final = 24
"""Of a batch, looked at one by one."""
NUMBERS: Final = 12
"""Of each, kept."""
LONGEST: Final = 200
"""Tokens of a text."""
MOST: Final = 2**20
"""Numbers in the outputs up to which the loss of every sample is computed."""


def criterion_name(criterion: Any) -> str:
    """What people call it: "CrossEntropyLoss", or the name of a function."""
    name = getattr(criterion, "__name__", None)
    return name if isinstance(name, str) else type(criterion).__name__


@torch.no_grad()
def batch_content(training: Training, progress: Progress) -> BatchContent:
    """What the loop has in its hands now; waits for an accelerator.

    Nothing of the run is touched: the model isn't called, and of torch's own criteria a copy is.

    Args:
        training: of the model.
        progress: has the batch.
    """
    parts = (
        ("features", progress.features),
        ("labels", progress.labels),
        ("outputs", progress.outputs),
    )
    content = BatchContent(
        progress.place[0] + 1,
        progress.place[1] + 1,
        tuple(tensor for name, part in parts for tensor in _tensors(name, part)),
        training.about.feature_names,
        loss=as_number(progress.loss),
        criterion=criterion_name(training.criterion),
        samples=samples_in(progress.features, progress.labels),
    )
    features, labels = progress.features, progress.labels
    if MistakesView.fits(features):
        content = replace(content, images=tuple(map(grey_image, features[:SAMPLES])))
    names = training.about.label_names
    if task_of(training) == "language-model":
        content = replace(content, texts=_texts(features, labels, names))
    elif isinstance(labels, Tensor) and labels.dim() == 1 and not labels.is_floating_point():
        content = replace(
            content, labels=tuple(_named(names, n) for n in labels[:SAMPLES].tolist())
        )
    with suppress(Exception):  # a person's own outputs or criterion; the run itself goes on
        content = _judged(training, content, predictions(progress.outputs), labels)
    return content


def _judged(
    training: Training, content: BatchContent, outputs: Tensor, labels: Any
) -> BatchContent:
    """With the classes that the outputs choose, and the loss of each sample."""
    criterion, names = training.criterion, training.about.label_names
    some = outputs[:SAMPLES]
    if task_of(training) == "classification" and is_choice(outputs, labels, criterion):
        chances = probabilities(some, criterion)  # (N, C)
        if len(chances) == len(some):
            guesses, sure = (part.tolist() for part in predicted(chances))
            chosen = [(_named(names, n) if n >= 0 else "NaN") for n in guesses]
            content = replace(content, predicted=tuple(zip(chosen, sure, strict=True)))
    alone = None if content.loss is None else _each(criterion)
    if alone is None:
        return content
    with training.autocast():
        losses = _per_sample(alone(some, labels[:SAMPLES]), len(some))  # (N,)
        content = replace(content, losses=tuple(losses.tolist()))
        if outputs.numel() <= MOST:
            every = _per_sample(alone(outputs, labels), len(outputs))  # (B,)
            content = replace(content, average=float(every.double().mean()))
    return content


def _each(criterion: Any) -> Any:
    """One of torch's criteria that averages, made to give every sample's own loss; else None."""
    if type(criterion) not in vars(nn).values() or getattr(criterion, "reduction", "") != "mean":
        return None
    alone = copy.copy(criterion)
    alone.reduction = "none"
    return alone


def _per_sample(losses: Tensor, samples: int) -> Tensor:
    return losses.reshape(samples, -1).float().mean(1)


def _tensors(name: str, part: Any) -> list[BatchTensor]:
    return [
        BatchTensor(
            f"{name}{path}",
            f"{fact(path, leaf).text} {leaf.device}"
            if isinstance(leaf, Tensor)
            else type(leaf).__name__,
            *_rows(leaf),
        )
        for path, leaf in leaves(part)
    ]


def _rows(leaf: Any) -> tuple[tuple[tuple[float, ...], ...], int]:
    """The first numbers of the first samples, and how many each has."""
    if not isinstance(leaf, Tensor) or not leaf.dim() or not leaf.numel() or leaf.is_complex():
        return (), 0
    if leaf.layout is not torch.strided:
        return (), 0
    rows = leaf[:SAMPLES].reshape(min(SAMPLES, len(leaf)), -1)  # (N, D)
    return tuple(map(tuple, rows[:, :NUMBERS].tolist())), rows.shape[1]


def _texts(features: Any, labels: Any, vocabulary: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Tokens of the first samples, and those that are to be predicted, as they are written."""

    def written(tokens: Any) -> list[str]:
        if not isinstance(tokens, Tensor) or tokens.dim() != 2 or tokens.is_floating_point():
            return []
        rows = tokens[:SAMPLES, :LONGEST].tolist()
        return ["".join(_named(vocabulary, token) for token in row) for row in rows]

    return tuple(zip(written(features), written(labels), strict=False)) if vocabulary else ()


def _named(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else str(number)
