"""What is printed of a run once its screen was left, and the exit code."""

from __future__ import annotations

import math

from ...core.protocol.parameter_groups import lr_text
from ...core.protocol.snapshot import Outcome, RunInfo, Snapshot
from ...core.protocol.steps import State
from ..headless.reporter import Ending, tell_unkept
from ..headless.text_reporter import best_weights, closing, resume_hint, stopped_early
from ..render.faults import what_was_broken
from ..render.format import clean, metric, number
from ..setup.launch import Launch
from ..terminal.output import FAILED, complain, tell_left


def report(launch: Launch, signal: int | None) -> int:
    """Print how the run ended; the exit code. `signal` is the one that ended the screen."""
    if launch.session is None:
        if signal is None and launch.outcome is not None:
            complain(launch.outcome.headline)  # it could not be built
            return FAILED
        tell_left(launch.builder.abandon())
        return 128 + signal if signal else 0
    last, outcome = launch.session.latest(), launch.outcome
    assert last is not None
    for line in summary(launch.info, last, outcome):
        print(clean(line))
    for line in lines_kept(launch, last, outcome):
        print("  " + clean(line))
    failed = outcome is not None and outcome.state is State.FAILED
    code = 128 + signal if signal is not None else FAILED if failed else 0
    return tell_unkept(launch.builder, launch.session, code)


def lines_kept(launch: Launch, last: Snapshot, outcome: Outcome | None) -> list[str]:
    """Where the run is kept, and how to go on with it unless it is finished."""
    kept = launch.kept
    if not kept.place:
        return []
    finished = outcome is not None and outcome.state is State.FINISHED
    lines = [f"kept in {kept.place}"]
    if outcome is not None and stopped_early(launch.info, last, outcome):
        lines.append(best_weights(last, kept.place))
    return lines if finished else [*lines, resume_hint(kept.resume_command, last)]


def summary(info: RunInfo, last: Snapshot, outcome: Outcome | None) -> tuple[str, str]:
    """What happened, in two lines."""
    if outcome is None:
        outcome = Outcome(State.STOPPED, "left in the middle of a batch")
    first = f"{info.name}: {closing(info, Ending(outcome.state, outcome, last))}"
    if outcome.state is State.FAILED:
        where = f" in {outcome.place}" if outcome.place else ""
        first = f"{info.name}: failed{where}: {outcome.reason}"
    parts = []
    if last.last is not None:
        parts.append(f"train loss {number(last.last.train_loss)}")
    elif last.loss is not None:
        parts.append(f"loss {number(last.loss)}")
    if last.val_loss is not None:
        parts.append(f"val loss {number(last.val_loss)}")
    parts += [f"{name} {metric(name, value)}" for name, value in last.metrics]
    hand = f" (by hand ×{last.lr_factor:g})" if last.lr_factor != 1 else ""
    if not math.isnan(last.lr):  # of a script whose optimizer is gone
        parts.append(f"lr {lr_text(last.lr, last.lrs, number)}{hand}")
    if outcome.state is State.FAILED and (broken := what_was_broken(last)):
        parts.append(f"broken on purpose: {broken}")  # else the first line says so
    return first, "  last: " + (", ".join(parts) or "nothing is known")
