"""What went wrong in a run, where, and what to try: one line each, for a person."""

from __future__ import annotations

import traceback
from contextlib import suppress
from types import TracebackType

from torch import Tensor, nn

from ..protocol.snapshot import Outcome
from ..protocol.steps import State, Step
from .advice import advise
from .layer_misfit import LayerMisfit, layer_misfit
from .nonfinite import NonFiniteError, NonFiniteGradientError
from .own_code import first_line, own_line
from .progress import Progress
from .unfit import UnfitError


def describe_failure(
    error: BaseException, model: nn.Module, progress: Progress, step: Step
) -> Outcome:
    """The outcome of a run that `error` ended during `step`."""
    if isinstance(error, NonFiniteGradientError):
        step = Step.UPDATE  # what it was kept from, whatever else comes before
    where = f"epoch {progress.epoch + 1}, batch {progress.batch + 1}, {step.info.name}"
    if step is Step.VALIDATE:
        where = f"epoch {progress.epoch + 1}, validation batch {progress.val_batch + 1}"
    advice, line = advise(error), own_line(error)
    misfit = None if isinstance(error, UnfitError) else _misfit(error, model, progress)
    if isinstance(error, (NonFiniteError, UnfitError)):
        reason = str(error).strip().split("\n", 1)[0].rstrip(".")
        place = error.place if isinstance(error, NonFiniteError) else ""
    elif misfit is not None:
        reason, place = misfit.text, ""
        advice, line = misfit.advice or advice, line or misfit.line
    else:
        reason = first_line(error)
        if step is Step.LOSS:
            reason += _shapes(progress)
        layer = failing_layer(model, error.__traceback__)
        place = f"layer {layer}" if layer is not None else ""
    if not advice and step is Step.LOSS and progress.outputs is None:
        advice = "the model gave None: forward() has to return its outputs"
    text = "".join(traceback.format_exception(error))
    where += f", {place}" if place else ""
    return Outcome(State.FAILED, reason, where, advice, text, line)


def _misfit(error: BaseException, model: nn.Module, progress: Progress) -> LayerMisfit | None:
    with suppress(Exception):  # whatever a model of one's own may be, its failure is told
        return layer_misfit(model, error.__traceback__, progress.features)
    return None


def _shapes(progress: Progress) -> str:
    """What the criterion was given, where both are single tensors."""
    outputs, labels = progress.outputs, progress.labels
    if not isinstance(outputs, Tensor) or not isinstance(labels, Tensor):
        return ""
    parts = (
        f"{name} {tuple(part.shape)} {str(part.dtype).removeprefix('torch.')}"
        for name, part in (("outputs", outputs), ("labels", labels))
    )
    return f" ({', '.join(parts)})"


def failing_layer(model: nn.Module, tb: TracebackType | None) -> str | None:
    """The qualified name of the innermost submodule whose code was running; None if none was."""
    names = {id(module): name for name, module in model.named_modules() if name}
    found = None
    while tb is not None:
        owner = tb.tb_frame.f_locals.get("self")
        found = names.get(id(owner), found)
        tb = tb.tb_next
    return found
