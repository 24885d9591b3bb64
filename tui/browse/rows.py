"""A run of a list as cells of text."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import Any, Final

from rich.cells import cell_len

from ...core.storage.run_index import RunSummary
from ..render.format import clean, counted, fit, metric, size
from ..setup.attach import far_away, out_of_reach
from ..setup.options import folder_words

GAP: Final = "  "
HEAD: Final = ("run", "state", "epochs", "best", "size", "started", "")
RIGHT: Final = frozenset((2, 3, 4))
"""Columns that end flush: numbers."""


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines with columns."""
    last = len(HEAD) - 1
    widths = [max(cell_len(row[i]) for row in rows) for i in range(last)]
    return [
        GAP.join(
            [*(fit(row[i], widths[i], right=i in RIGHT) for i in range(last)), row[-1]]
        ).rstrip()
        for row in rows
    ]


def cells(run: RunSummary) -> tuple[str, ...]:
    """What a list says of a run, by column of `HEAD`."""
    if run.path is None:
        nothing = (run.name, run.state, "", "", "not kept", when(run.started))
        return (*nothing, command(run, "attach"))
    planned = "?" if run.epochs_planned is None else str(run.epochs_planned)
    best = "" if run.best is None else metric(run.metric_name, run.best)
    if run.best_epoch is not None:
        best += f" @{run.best_epoch}"
    epochs = f"{run.epochs}/{planned}"
    return (run.name, state(run), epochs, best, size(run.size), when(run.started), remark(run))


def state(run: RunSummary) -> str:
    """Its state, for a person."""
    return "paused" if run.paused else run.state


def remark(run: RunSummary) -> str:
    """Why it ended, or how to go on with it."""
    if run.state == "finished":
        return ""
    if run.state == "running":
        far = "" if run.path is None else clean(out_of_reach(run.path)).removeprefix("is ")
        return far or command(run, "attach")
    if run.state == "crashed" and run.elsewhere is not None:
        return far_away(run) + (f"; {resuming(run)}" if run.resumable else "")
    if run.state == "crashed" and run.resumable:
        return f"its process ended in the middle; {resuming(run)}"
    if run.state == "crashed":
        anew = f"; {command(run, 'resume', '--force')} trains it from the start"
        why = "its process ended before anything was saved" + (anew if run.preset else "")
        return clean(run.reason) or why
    return clean(run.reason)


def command(run: RunSummary, verb: str, *options: str) -> str:
    """What to type to do something with a run, wherever it is kept."""
    where = [] if run.path is None else folder_words(run.path.parent)
    return clean(shlex.join(["fivestep", verb, run.name, *options, *where]))


def resuming(run: RunSummary) -> str:
    """How to go on with a run, and what of it is trained again then."""
    words, last = command(run, "resume"), run.batches_done
    if run.saved is None or run.saved >= last:
        return words
    if run.saved + 1 == last:
        return f"{words} (trains batch {last:,} again)"
    return f"{words} (trains batches {run.saved + 1:,} to {last:,} again)"


def epochs_of(run: RunSummary) -> str:
    """How many were trained, of how many: "1 of 20 epochs"."""
    planned = run.epochs_planned
    return f"{run.epochs} of {'? epochs' if planned is None else counted(planned, 'epoch')}"


def when(seconds: Any) -> str:
    """Local time, to the minute."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(float(seconds)))
    except (TypeError, ValueError, OverflowError, OSError):
        return "?"
