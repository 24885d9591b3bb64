"""`fivestep ctl`: steers a run that another process trains, and answers when it has done so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ...core.protocol.commands import (
    Advance,
    Command,
    Pause,
    Resume,
    Save,
    ScaleLR,
    SetLR,
    Stop,
    Validate,
)
from ...core.protocol.parameter_groups import lr_text
from ...core.protocol.record_fields import batch_at, status_values
from ...core.protocol.snapshot import Change, RunInfo, Snapshot
from ...core.protocol.steps import INSIDE_BATCH, State
from ...presets.components import lr_option
from ..render.format import clean, metric, number
from ..terminal.output import FAILED, REFUSED, Output, complain

if TYPE_CHECKING:
    from ...core.serving.client import RemoteRun

ACTIONS: Final = ("pause", "resume", "step", "lr", "save", "validate", "stop", "status")
LR: Final = lr_option(0.01)
_FACTOR: Final = re.compile(r"(?P<by>[×x*÷/])\s*(?P<number>.+)")


class NotDoneError(Exception):
    """Why a run has not done what it was asked for: one line, and the exit code."""

    def __init__(self, why: str, code: int = FAILED) -> None:
        super().__init__(why)
        self.code = code


def learning_rate(text: str) -> float | tuple[float]:
    """What `lr` is to be: a number, or (in a tuple) what it is to be multiplied by.

    Raises:
        ValueError: neither.
    """
    match = _FACTOR.fullmatch(text.strip())
    value = float(match["number"] if match else text)
    if match is None:
        return float(LR.check(value))
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return (1 / value if match["by"] in "÷/" else value,)


def control(remote: RemoteRun, action: str, lr: str | None, after: str, output: Output) -> int:
    """Have a run do something, wait until it has, and say so in a line; the exit code."""
    try:
        text = _done(remote, action, lr, after)
    except NotDoneError as error:
        complain(f"{clean(remote.name)}: {error}")
        return error.code
    output.write(clean(f"{remote.name}: {text}") + "\n")
    return 0


def status(remote: RemoteRun, output: Output, *, as_object: bool) -> int:
    """Say what a run is doing now; the exit code."""
    from ...core.serving.client import UnreachableError

    try:
        picture = _now(remote)
    except UnreachableError as error:
        complain(f"{clean(remote.name)}: {error}")
        return FAILED
    if as_object:
        values = status_values(remote.name, remote.info, picture)
        output.write(json.dumps(values, allow_nan=False) + "\n")
    else:
        output.write(clean(f"{remote.name}: {in_a_line(remote.info, picture)}") + "\n")
    return 0


def _now(remote: RemoteRun) -> Snapshot:
    """A picture of now: the first to come may be as old as the last person's look."""
    first = remote.picture(None)
    return first if first.state is State.PAUSED else remote.picture(first)


def in_a_line(info: RunInfo, picture: Snapshot) -> str:
    """What a run is doing, for a person."""
    parts = [f"{picture.state} {_place(info, picture)}"]
    if picture.loss is not None:
        parts.append(f"loss {number(picture.loss)}")
    parts += [f"{name} {metric(name, value)}" for name, value in picture.metrics]
    parts.append(f"lr {lr_text(picture.lr, picture.lrs, number)}")
    if picture.stopping:
        parts.append(f"stops after this {picture.stopping}")
    if picture.trouble is not None:
        parts.append(f"waits for an answer: {picture.trouble.reason}")
    return ", ".join(parts)


def _place(info: RunInfo, picture: Snapshot) -> str:
    epochs = f"/{info.epochs}" if info.epochs else ""
    place = f"in epoch {picture.epoch}{epochs}, batch {batch_at(info, picture)}"
    return f"{place}, before {picture.step.info.name}" if picture.state is State.PAUSED else place


def _done(remote: RemoteRun, action: str, lr: str | None, after: str) -> str:
    """Have it done; what to say of it. Raises NotDoneError."""
    from ...core.serving.client import UnreachableError

    try:
        before = _now(remote)
        if action == "validate" and not remote.info.validates:
            raise NotDoneError("there is no validation data")
        problem = remote.taken(remote.send(_command(action, lr, after, before)))
        if problem:
            raise NotDoneError(problem)
        now = remote.picture(None)
        inside = now.state is State.PAUSED and now.step in INSIDE_BATCH
        if action in ("save", "validate") and inside:
            raise NotDoneError(f"paused inside a batch: it will {action} at the end of it")
        while (said := _said(action, before, now)) is None:
            if now.outcome is not None:
                raise NotDoneError(f"the run has ended: {now.outcome.reason}")
            now = remote.picture(now)
    except UnreachableError as error:
        raise NotDoneError(str(error)) from error
    if action == "stop":
        remote.wait()  # for its files, and its lock
        assert now.outcome is not None
        if now.outcome.state is State.FAILED:
            raise NotDoneError(f"failed: {now.outcome.reason}")
        return f"{now.outcome.state}: {now.outcome.reason}"
    return said or in_a_line(remote.info, now)


def _command(action: str, lr: str | None, after: str, now: Snapshot) -> Command:
    match action:
        case "lr":
            wanted = learning_rate(lr or "")
            if isinstance(wanted, float):
                return SetLR(wanted)
            return ScaleLR(_within_bounds(lr or "", wanted[0], now) * now.lr_factor)
        case "stop":
            return Stop(after="epoch" if after == "epoch" else "batch")
    plain: dict[str, Callable[[], Command]] = {
        "pause": Pause,
        "resume": Resume,
        "step": lambda: Advance("phase"),
        "save": Save,
        "validate": Validate,
    }
    return plain[action]()


def _within_bounds(said: str, factor: float, now: Snapshot) -> float:
    """The factor, if a learning rate may be what it makes of the run's. Raises NotDoneError."""
    try:
        LR.check(now.lr * factor if now.lr > 0 else LR.high)  # at 0 it is the schedule's affair
    except ValueError:
        would_be = f"lr {clean(said)} makes {number(now.lr)} {now.lr * factor:.3g}"
        raise NotDoneError(f"{would_be}: expected {LR.expected}", REFUSED) from None
    return factor


def _said(action: str, before: Snapshot, now: Snapshot) -> str | None:
    """What to say once it is done ("" for the run's own state); None while it is not.

    Raises:
        NotDoneError: the run says why it can't be.
    """
    new = _new(before.changes, now.changes)
    match action:
        case "pause" | "step":
            return "" if now.state is State.PAUSED else None
        case "resume":
            return "" if now.state is not State.PAUSED else None
        case "lr":
            return next((c.text for c in new if c.kind == "lr"), "")
        case "stop":
            return "" if now.outcome is not None else None
        case "validate" if now.validations > before.validations:
            return ", ".join(f"{name} {metric(name, value)}" for name, value in now.metrics)
    for change in new:
        if action == "save" and change.kind == "save":
            return change.text
        about = "checkpoint" in change.text or "saved" in change.text
        if change.kind == "warning" and (action == "validate" or about):
            raise NotDoneError(change.text)
    return None


def _new(before: tuple[Change, ...], now: tuple[Change, ...]) -> list[Change]:
    return [change for change in now if change not in before]


def check(action: str, lr: str | None) -> str:
    """What is wrong with the words of a command line; "" if nothing is."""
    if action not in ACTIONS:
        return f"expected one of {', '.join(ACTIONS)}, not {clean(action)}"
    if (lr is None) is (action == "lr"):
        return "lr needs a value, such as 0.001 or ×0.5" if lr is None else f"{action} has no value"
    try:
        learning_rate(lr or "1")
    except (ValueError, ZeroDivisionError, OverflowError):
        return f"lr: expected {LR.expected}, or a factor such as ×0.5, not {clean(lr or '')}"
    return ""
