"""What went wrong in a run, where, and what to try: one line each, for a person."""

from __future__ import annotations

import pickle
import traceback
from types import TracebackType
from typing import Final

import torch
from torch import nn

from ..protocol.snapshot import Outcome
from ..protocol.steps import State, Step
from .nonfinite import NonFiniteError, NonFiniteGradientError
from .progress import Progress

WORKER: Final = "a data worker died (out of memory?): try fewer; num_workers=0 shows its error"

UNSENDABLE: Final = (
    "spawned data workers are sent the data set and collate_fn by name: take functions and classes "
    "of the file's top level, no lambdas"
)


class UnfitError(ValueError):
    """Data, model and task don't fit each other, seen before anything is lost by it.

    Args:
        text: what doesn't fit.
        advice: what to do.
    """

    def __init__(self, text: str, advice: str) -> None:
        super().__init__(text)
        self.advice = advice


def describe_failure(
    error: BaseException, model: nn.Module, progress: Progress, step: Step
) -> Outcome:
    """The outcome of a run that `error` ended during `step`."""
    if isinstance(error, NonFiniteGradientError):
        step = Step.UPDATE  # what it was kept from, whatever else comes before
    where = f"epoch {progress.epoch + 1}, batch {progress.batch + 1}, {step.info.name}"
    if step is Step.VALIDATE:
        where = f"epoch {progress.epoch + 1}, validation batch {progress.val_batch + 1}"
    first_line = str(error).strip().split("\n", 1)[0]
    if isinstance(error, NonFiniteError):
        reason = first_line
        where += f", {error.place}" if error.place else ""
    elif isinstance(error, UnfitError):
        reason = first_line
    else:
        reason = f"{type(error).__name__}: {first_line}".rstrip(": ")
        layer = failing_layer(model, error.__traceback__)
        where += f", layer {layer}" if layer is not None else ""
    text = "".join(traceback.format_exception(error))
    return Outcome(State.FAILED, reason, where, advise(error), text)


def failing_layer(model: nn.Module, tb: TracebackType | None) -> str | None:
    """The qualified name of the innermost submodule whose code was running; None if none was."""
    names = {id(module): name for name, module in model.named_modules() if name}
    found = None
    while tb is not None:
        owner = tb.tb_frame.f_locals.get("self")
        found = names.get(id(owner), found)
        tb = tb.tb_next
    return found


def advise(error: BaseException) -> str:
    """What a person could try; empty where nothing sensible can be said."""
    text = str(error)
    if isinstance(error, UnfitError):
        return error.advice
    if isinstance(error, NonFiniteError):
        return "try a lower learning rate, clip the gradients, or look for NaN in the data"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text:
        return "try a smaller batch size, with accumulate to make up for it, or a smaller model"
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return "torch.compile failed (it needs a C++ compiler such as g++): leave out --compile"
    if lost_worker(error):
        return WORKER
    if isinstance(error, pickle.PicklingError) or "local object" in text:
        return UNSENDABLE
    if "shapes cannot be multiplied" in text or "size mismatch" in text or "must match" in text:
        return "the shapes of data and model do not fit: compare them in the traceback"
    if "more than 1 value per channel" in text:
        return (
            "batch norm can't be trained on a batch of one: drop_last=True in the DataLoader, or "
            "another batch_size"
        )
    if "out of bounds" in text or "out of range" in text:
        return "a label or token lies outside what the model's outputs cover: check the classes"
    if "expected scalar type" in text or "same dtype" in text:
        return "the types differ: labels for classes are int64, all else float32"
    return ""


def lost_worker(error: BaseException) -> bool:
    """Whether a data worker died, or the other end went away while a batch came from it."""
    if not isinstance(error, (ConnectionError, EOFError)):
        return isinstance(error, RuntimeError) and "DataLoader worker (pid" in str(error)
    return any(
        "multiprocessing" in frame.filename for frame in traceback.extract_tb(error.__traceback__)
    )
