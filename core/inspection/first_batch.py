"""What a run's first batch gives away before anything is lost: parts that don't fit each other."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from ..training.data import batch_count, last_batch
from ..training.failure import failing_layer
from ..training.metrics import meter_for
from ..training.progress import map_tensors
from ..training.rng import everything_untouched
from ..training.training import Training
from ..training.unfit import UnfitError
from .eval_mode import eval_without_trace

Shapes = tuple[tuple[int, ...], tuple[int, ...]]


def stretched(criterion: Callable[..., Any], outputs: Any, labels: Any) -> Shapes | None:
    """The shapes of outputs and labels, (B, 1) and (B,) or the other way round, if the criterion
    compares every output with every label; None if it does not, or nobody can tell.

    Only for such shapes a copy of the criterion is called, with one number for each sample: if
    dealing the labels out in another order leaves the loss as it was, though other labels change
    it, it does not matter to it which label belongs to which sample.
    """
    if not isinstance(outputs, Tensor) or not isinstance(labels, Tensor):
        return None
    shapes = tuple(outputs.shape), tuple(labels.shape)
    if shapes[0] == shapes[1] or outputs.numel() != labels.numel() or not outputs.dim():
        return None
    try:
        whole = torch.broadcast_shapes(*shapes)
    except RuntimeError:
        return None
    if whole.numel() == outputs.numel() or shapes[0][:1] != shapes[1][:1]:
        return None
    numbers = torch.linspace(0.1, 0.9, len(outputs), device=outputs.device)  # (B,)
    if not labels.is_floating_point():
        numbers = torch.arange(len(outputs), device=outputs.device)

    def like(part: Tensor, values: Tensor) -> Tensor:
        """As `part`, each sample filled with one number."""
        each = values.view(-1, *[1] * (part.dim() - 1)).to(part.dtype)
        return each.expand(part.shape).contiguous()

    with suppress(Exception), torch.no_grad(), everything_untouched(outputs.device):
        given = like(outputs, numbers)
        again = copy.deepcopy(criterion)
        own, reordered, others = (
            float(again(given, like(labels, values)))
            for values in (numbers, numbers.flip(0), numbers[:1].expand(len(numbers)))
        )
        little = 1e-3 * abs(own)
        if abs(own - reordered) <= little < abs(own - others):
            return shapes
    return None


def check_loss(loss: Any) -> None:
    """Whether `backward()` can be called on what the criterion gave.

    Raises:
        UnfitError: it can't.
    """
    if not isinstance(loss, Tensor):
        raise UnfitError(
            f"the criterion gives a {type(loss).__name__}, not a tensor",
            "return the loss alone, as it was computed: without .item(), float() or a tuple",
        )
    if loss.numel() != 1:
        raise UnfitError(
            f"the criterion gives {tuple(loss.shape)} losses, not one",
            'take their mean: reduction="mean", or .mean()',
        )
    if not loss.requires_grad:
        raise UnfitError(
            "the loss depends on no parameter that learns",
            "look for detach(), no_grad() or requires_grad=False in the model and the criterion",
        )


def check_measures(training: Training, features: Any, outputs: Any, labels: Any, loss: Any) -> None:
    """Whether the task's metrics can be computed from what the model gives.

    In train mode a model may give more than in eval mode: that is asked only where it has to be.

    Raises:
        UnfitError: they can't, so that the first validation would fail.
    """
    task = training.task
    if training.validation is None or task.name == "custom" or loss.numel() != 1:
        return
    try:
        with torch.no_grad():
            meter_for(task, None, training.criterion).update(outputs, labels, loss)
    except (MemoryError, torch.OutOfMemoryError):
        return
    except Exception as error:
        told = error
    else:
        return
    with suppress(Exception), eval_without_trace(training) as model, training.autocast():
        meter_for(task, None, training.criterion).update(model(features), labels, loss)
        return
    raise UnfitError(
        f'Task("{task.name}") can\'t measure {task.metric_name}: {told}',
        "if it can't, leave the task out, and give the Training metrics of your own",
    ) from told


def check_last_batch(training: Training, features: Any) -> None:
    """Whether batch norm would fail at the end of the epoch, at a last batch of one sample.

    Only where one is coming a sample is run through the model, in train mode; the model, its
    buffers and the random generators are left as they are.

    Args:
        training: what is trained.
        features: (B, ...), or nested, of any batch.

    Raises:
        UnfitError: it would.
    """
    model = training.model
    norms = any("BatchNorm" in type(module).__name__ for module in model.modules())
    if not norms or any(map(is_lazy, model.parameters())):
        return
    if last_batch(training.batches, training.unpack) != 1:
        return
    layer = _refusing_norm(training, map_tensors(features, lambda part: part[:1]))
    if layer is None:
        return
    only = batch_count(training.batches) == 1 or getattr(training.batches, "batch_size", None) == 1
    which = "each batch" if only else "the last batch of an epoch"
    raise UnfitError(
        f"{which} is a single sample, and layer {layer}, a batch norm, needs two to be trained",
        "take larger batches"
        if only
        else "drop_last=True in the DataLoader, or another batch_size",
    )


def _refusing_norm(training: Training, one: Any) -> str | None:
    """The layer that refuses a batch of one in train mode; None if none does."""
    with eval_without_trace(training) as model, training.autocast():
        model.train()
        try:
            model(one)
        except ValueError as error:
            if "more than 1 value per channel" in str(error):
                return failing_layer(model, error.__traceback__) or "of the model"
        except Exception:  # a model that takes no single sample; the run itself will say so
            pass
    return None
