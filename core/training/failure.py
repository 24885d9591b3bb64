"""What went wrong in a run, where, and what to try: one line each, for a person."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from types import TracebackType

from torch import nn

from ..protocol.snapshot import Outcome
from ..protocol.steps import State, Step
from .advice import advise
from .nonfinite import NonFiniteError, NonFiniteGradientError
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
    told = str(error).strip()
    if "in DataLoader worker process" in told.split("\n", 1)[0]:
        told = told.rsplit("\n", 1)[-1].removeprefix(f"{type(error).__name__}: ")
    first_line = told.split("\n", 1)[0].rstrip(".")
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
    advice = advise(error)
    if not advice and step is Step.LOSS and progress.outputs is None:
        advice = "the model gave None: forward() has to return its outputs"
    return Outcome(State.FAILED, reason, where, advice, text)


def failing_layer(model: nn.Module, tb: TracebackType | None) -> str | None:
    """The qualified name of the innermost submodule whose code was running; None if none was."""
    names = {id(module): name for name, module in model.named_modules() if name}
    found = None
    while tb is not None:
        owner = tb.tb_frame.f_locals.get("self")
        found = names.get(id(owner), found)
        tb = tb.tb_next
    return found


def own_line(error: BaseException) -> str:
    """The innermost line of a person's own code that an exception came through, as "file.py line 7:
    code"; "" if there is none.
    """
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    libraries = [sysconfig.get_path(name) for name in names]
    ours = [str(Path(__file__).parents[2] / floor) for floor in ("core", "tui")]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((*libraries, *ours, "<frozen")):
            place = f"{Path(frame.filename).name} line {frame.lineno}"
            return f"{place}: {frame.line}" if frame.line else place
    return ""
