"""`fivestep lr`: the learning-rate range test, as a chart and a suggestion, or as JSON."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ...core.protocol.snapshot import Curve
from ...core.training.unfit import UnfitError
from ...presets.errors import RecipeError
from ..headless.json_reporter import line
from ..render.charts import ChartSeries, ChartView, Mark, chart
from ..render.format import clean, learned, wrap
from ..setup.plan import RecipePlan
from ..terminal.imports import load_torch

if TYPE_CHECKING:
    from ...core.training.lr_range import LrRange
    from ..setup.plan import Plan
    from ..terminal.output import Output

WIDEST, HEIGHT = 88, 18
FIELDS: Final = {
    "preset": "name of the recipe",
    "suggestion": "a learning rate to begin with; null where the loss falls nowhere",
    "reason": "why, in a sentence",
    "diverged": "whether the sweep ended early: the loss had grown too large, or was not finite",
    "lrs": "learning rate of each update, the largest of all parameter groups",
    "losses": "before each update; means over its batches",
    "smooth": "the same as means over the updates around each",
}
"""The object of `--json`."""


def sweep_learning_rates(
    plan: Plan, words: Sequence[str], output: Output, *, json: bool = False
) -> None:
    """Build the run, sweep its learning rate, write what was found. Nothing is kept.

    Args:
        plan: what to build.
        words: of the command line that asked for it, without the command.
        output: where to write.
        json: write one object instead of text.

    Raises:
        RecipeError: it can't be built, or has no learning rate.
    """
    load_torch()
    from ...core.session.session import describe_run
    from ...core.training.lr_range import lr_range

    training = plan.build()
    info = describe_run(training)
    try:
        found = lr_range(training)
    except UnfitError as error:
        raise RecipeError(f"{plan.name}: {error}; {error.advice}") from error
    points = found.points
    if json:
        values = (
            info.name, found.suggestion, found.reason, found.diverged, [p.lr for p in points],
            [p.loss for p in points], [p.smooth for p in points],
        )  # fmt: skip
        output.write(line("lr", **dict(zip(FIELDS, values, strict=True))))
        return
    width = min(WIDEST, output.columns) if output.is_terminal else WIDEST
    rows = [
        f"learning-rate range test of {plan.headline}",
        f"{info.data}; {learned(info.parameters)}",
    ]
    rows = [row for text in rows for row in wrap(clean(text), width)]
    rows += ["".join(part for part, _ in row).rstrip() for row in _drawn(found, width)]
    told, command = f"no suggestion: {found.reason}", ""
    if found.suggestion is not None:
        largest = " in the group that has the largest" if info.groups else ""
        told = f"try lr {found.suggestion:g}{largest}: {found.reason}"
        if isinstance(plan, RecipePlan) or "lr" in plan.run.settings.known:
            told += "; to train with it:"
            command = _command(words, found.suggestion)
    rows += [*wrap(clean(told), width), *filter(None, [command])]
    output.write("".join(clean(row) + "\n" for row in rows))


def _command(words: Sequence[str], lr: float) -> str:
    """The command that trains what was tested, with another learning rate."""
    sets_lr = any(word.removeprefix("--set=").startswith("optimizer.lr=") for word in words)
    changed = ["--set", f"optimizer.lr={lr:g}"] if sets_lr else ["--lr", f"{lr:g}"]
    given = (word for word in words if word != "--traceback")
    return shlex.join(["fivestep", "train", *given, *changed])


def _drawn(found: LrRange, width: int) -> list[tuple[tuple[str, str], ...]]:
    """The smoothed loss over the learning rate."""
    x = tuple(math.log10(point.lr) for point in found.points)
    smooth = tuple(point.smooth for point in found.points)
    curve = Curve(x, smooth, smooth, smooth, (0,) * len(x))
    view = ChartView(across="learning rate", label=lambda power: f"1e{power:g}")
    marks = [] if found.suggestion is None else [Mark(math.log10(found.suggestion), "suggested")]
    return chart([ChartSeries(curve, "train")], width, HEIGHT, view, marks)
