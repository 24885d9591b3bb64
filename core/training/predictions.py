"""What a model's outputs say: which of them are the predictions, and which class each names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NAMES: Final = ("logits", "out", "prediction", "predictions")
"""What the predictions are called among several outputs; the first that is there is taken."""
PROBABILITIES: Final = (nn.BCELoss, F.binary_cross_entropy)
"""Criteria whose outputs are probabilities already."""


def predictions(outputs: Any) -> Tensor:
    """The logits or values in what a model gives: (B, ...).

    Of a dict, a named tuple, a dataclass or any other object (such as those of Hugging Face) it is
    the tensor of one of `NAMES`, or else the only tensor of floats that has a first dimension.

    Raises:
        TypeError: there is none, or nobody can tell which one it is.
    """
    if isinstance(outputs, Tensor):
        return outputs
    parts = dict(_parts(outputs))
    found = {
        name: part
        for name, part in parts.items()
        if isinstance(part, Tensor) and part.dim() and part.is_floating_point()
    }
    named = next((found[name] for name in NAMES if name in found), None)
    if named is None and len(found) == 1:
        (named,) = found.values()
    if named is None:
        names = ", ".join(str(name) for name in parts)
        of = f" of {len(parts) if 0 in parts else names}" if parts else ""
        raise TypeError(
            f"the model gives a {type(outputs).__name__}{of}, in which nobody can tell what the "
            'predictions are; have it give one tensor, or a dict with "logits"'
        )
    return named


def _parts(outputs: Any) -> Iterable[tuple[Any, Any]]:
    """What an object of several parts is made of, by name."""
    if isinstance(outputs, Mapping):
        return outputs.items()
    if isinstance(outputs, (tuple, list)):
        return zip(getattr(outputs, "_fields", range(len(outputs))), outputs, strict=True)
    return getattr(outputs, "__dict__", {}).items()


def classes_of(labels: Tensor, shape: Sequence[int], criterion: Any) -> Tensor:
    """The class that each label names, (N,); -1 where the criterion ignores it.

    Args:
        labels: class numbers (B, ...), or a probability for each class, as the outputs are.
        shape: of the outputs.
    """
    if is_single(shape):
        return (labels > 0.5).flatten().long()
    if labels.shape == torch.Size(shape):
        return labels.movedim(1, -1).flatten(0, -2).argmax(1)
    labels = labels.flatten().long()
    known = (labels >= 0) & (labels < shape[1])
    known &= labels != getattr(criterion, "ignore_index", -1)
    return torch.where(known, labels, -1)


def chosen_classes(outputs: Tensor, labels: Tensor, criterion: Any) -> tuple[Tensor, Tensor, int]:
    """The class that each label names and the one that the outputs choose, (N,) each, and how many
    there are; -1 in the place of a label that the criterion ignores.

    Args:
        outputs: (B, C, ...), or a single one (B,) or (B, 1, ...) for the second of two classes: a
            logit, or a probability where the criterion says so.
        labels: class numbers (B, ...), or a probability for each class, as the outputs are.

    Raises:
        TypeError: there is not one label for each choice.
    """
    if is_single(outputs.shape):
        half = 0.5 if is_one_of(criterion, PROBABILITIES) else 0.0
        chosen, classes = (outputs > half).flatten().long(), 2
    else:
        chosen, classes = outputs.argmax(1).flatten(), outputs.shape[1]
    true = classes_of(labels, outputs.shape, criterion)
    if len(true) != len(chosen):
        raise TypeError(
            f"labels {tuple(labels.shape)} don't name one class for each of the outputs "
            f"{tuple(outputs.shape)}"
        )
    return true, chosen, classes


def is_single(shape: Sequence[int]) -> bool:
    """Whether outputs of this shape are one number for two classes."""
    return len(shape) == 1 or shape[1] == 1


def is_one_of(criterion: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether a criterion is one of these functions, or a module of one of these classes."""
    return criterion in kinds or type(criterion) in kinds
