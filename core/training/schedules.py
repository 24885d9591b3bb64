"""What can be said of a schedule before it moves."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any, Final

from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..protocol.steps import Task
from .part_checks import check_methods

FREE: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def required(owner: object) -> list[str]:
    """What `owner.step()` can't do without; empty where nobody can tell.

    The class's own method is asked: a schedule wraps its optimizer's, and hides what that takes.
    """
    try:
        parameters = list(signature(type(owner).step).parameters.values())[1:]  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.default is Parameter.empty and p.kind in FREE]


def check_scheduler(
    scheduler: object,
    per: str,
    metric: str,
    task: Task,
    metrics: Mapping[str, Any],
    *,
    validates: bool,
) -> None:
    """Refuse a schedule that can't be stepped.

    Args:
        scheduler, per, metric, task, metrics: of a `Training`.
        validates: there is validation data.

    Raises:
        TypeError: it is no schedule.
        ValueError: it waits for validations, and there are none, or none that measures its metric,
            or that metric's best is at the other end; or its step takes what nobody has.
    """
    name = type(scheduler).__name__
    if not isinstance(scheduler, ReduceLROnPlateau):
        needed = required(scheduler)
        if needed:
            raise ValueError(f"scheduler: {name}.step() needs {', '.join(needed)}; nothing has it")
        check_methods("scheduler", scheduler, "torch.optim.lr_scheduler")
        return
    if not validates:
        raise ValueError(
            f"scheduler: {name} waits for {metric} to get better, and there is no validation data; "
            "give validation=... or another schedule"
        )
    if per == "update":
        raise ValueError(
            f'scheduler: {name} is stepped once an epoch is validated, so scheduler_per="update" '
            "can't be; leave it out"
        )
    measured = dict.fromkeys((*task.schedule_metrics, *metrics))
    if metric not in measured:
        raise ValueError(
            f"scheduler_metric: there is no {metric!r}; validation measures {', '.join(measured)}"
        )
    if metric in metrics:
        return
    mode = "max" if task.rises(metric) else "min"
    if scheduler.mode != mode:
        raise ValueError(
            f"scheduler: {name} with mode {scheduler.mode!r} lowers the lr while {metric} gets "
            f"better; it needs mode={mode!r}"
        )
