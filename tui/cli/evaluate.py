"""`fivestep eval`: a model evaluated without training it, as text or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...core.storage.run_directory import RunDirectory, RunError
from ...core.storage.run_index import newest
from ...presets.errors import RecipeError, printable
from ...presets.recipe import load
from ..headless.json_reporter import line
from ..render.bars import bar
from ..render.format import clean, count, counted, metric, number
from ..setup.metadata import changed_data, plan_facts
from ..setup.plan import Plan, RecipePlan
from ..setup.resume import refuse_loop
from ..terminal.imports import load_torch

if TYPE_CHECKING:
    from torch import nn

    from ...core.training.evaluate import Evaluation, Residuals
    from ...core.training.training import Training
    from ..terminal.output import Output


class TrainedRun:
    """A run whose weights are evaluated; another process may still be training it.

    Args:
        folder: where runs are kept.
        name: of the run, or the path of its directory; "" takes the last one.
        last: its newest weights instead of its best ones.

    Raises:
        RunError: there is no such run.
    """

    def __init__(self, folder: Path, name: str, *, last: bool) -> None:
        found = name or newest(folder, saved=True)
        if found is None:
            raise RunError(f"there is no run in {printable(str(folder))} that was saved")
        self._directory = RunDirectory.look(folder, found)
        self._last = last

    @property
    def from_recipe(self) -> bool:
        """Whether the run came from a recipe, not from a Python file."""
        return self._directory.read_recipe() is not None

    def plan(self) -> Plan:
        """What the run trained.

        Raises:
            RecipeError: it came from a Python file, which has to be named, or its recipe is bad.
        """
        directory = self._directory
        refuse_loop(directory, directory.read_meta()[0])
        if not self.from_recipe:
            raise RecipeError(
                f"{directory.name} came from a Python file: name it too, fivestep eval FILE --run "
                f"{directory.name}"
            )
        return RecipePlan(load(str(directory.recipe)))

    def changes(self) -> dict[str, Any]:
        """What was changed of the Python file that it came from."""
        return self._directory.read_meta()[0].get("changes") or {}

    def load_weights(self, training: Training, plan: Plan) -> tuple[str, tuple[str, ...]]:
        """Load the weights into a training that `plan` has built.

        Returns:
            A line that says which, and what has changed of the plan since they were trained.

        Raises:
            RecipeError: there are none, or they are another model's.
        """
        state, weights = self.state()
        self.put_weights(training.model, state)
        return weights, changed_data(state.get("about"), plan_facts(plan))

    def state(self) -> tuple[dict[str, Any], str]:
        """What its checkpoint holds, and a line that says which one that is.

        Raises:
            RecipeError: there is none that can be read.
        """
        from ...core.storage.checkpoint import CheckpointError, CheckpointStore

        store, notes = CheckpointStore(self._directory.checkpoints), ""
        try:
            state: dict[str, Any] | None = None if self._last else store.best()
        except CheckpointError as error:
            state, notes = None, f" (no best one: {error})"
        try:
            if state is None:
                loaded = store.newest()
                state = loaded.state
                notes += "".join(f" (passed over {one})" for one in loaded.skipped)
        except CheckpointError as error:
            raise RecipeError(f"{self._directory.name}: {error}") from error
        at = state["progress"]
        which = "last" if self._last or notes else "best"
        return state, (
            f"the weights of run {self._directory.name}, {which} checkpoint: "
            f"{counted(at['epoch'], 'epoch')}, batch {at['batches_done']:,}{notes}"
        )

    def put_weights(self, model: nn.Module, state: Mapping[str, Any]) -> None:
        """Load the weights of a state into a model. Raises RecipeError if they are another's."""
        from ...core.session.state import StateError, put_model

        try:
            put_model(model, state)
        except StateError as error:
            raise RecipeError(f"{self._directory.name}: {error}") from error


FRESH: Final = "the model is freshly initialised: nothing has been trained"
MOST_PAIRS: Final = 10
"""Pairs of classes that are listed where the matrix has no room."""
WIDEST_MATRIX: Final = 100
"""Cells that a matrix may take where no terminal has an end."""
LONGEST_BAR: Final = 40
"""Cells of the longest bar of a histogram."""


def evaluate_plan(
    plan: Plan, output: Output, *, json: bool = False, trained: TrainedRun | None = None
) -> None:
    """Build the run, evaluate its model as it is, and write the results.

    Args:
        plan: what to build.
        output: where to write.
        json: write one object instead of text.
        trained: gives the model its weights; None evaluates it untrained.

    Raises:
        RecipeError: it can't be built, or has no data to evaluate on.
    """
    load_torch()
    from ...core.training.evaluate import evaluate

    training = plan.build()
    nothing: tuple[str, ...] = ()
    weights, changed = trained.load_weights(training, plan) if trained else (FRESH, nothing)
    found = evaluate(training)
    if not found:
        raise RecipeError(f"{plan.name}: there is neither validation nor test data to judge by")
    room = output.columns if output.is_terminal else WIDEST_MATRIX
    output.write(
        _as_json(plan, training, found, weights if trained else None, changed)
        if json
        else _as_lines(plan, training, found, room, weights, changed)
    )


def _as_lines(
    plan: Plan,
    training: Training,
    found: tuple[Evaluation, ...],
    room: int,
    weights: str,
    changed: tuple[str, ...],
) -> str:
    lines = [plan.headline, weights]
    if changed:
        lines.append(f"changed since they were trained: {', '.join(changed)}")
    for part in found:
        facts = [counted(part.samples, "sample"), f"loss {number(part.loss)}"]
        facts += [f"{n} {metric(n, v)}" for n, v in part.metrics if n != "val_loss"]
        lines.append(f"{part.part}: {', '.join(facts)}")
    last = found[-1]
    if last.confusion is not None:
        lines += ["", *_confusion(last, training.about.label_names, room)]
    if last.residuals is not None:
        lines += ["", *_residuals(last.part, last.residuals)]
    return "".join(clean(row) + "\n" for row in lines)


def _as_json(
    plan: Plan,
    training: Training,
    found: tuple[Evaluation, ...],
    weights: str | None,
    changed: tuple[str, ...],
) -> str:
    own = training.task.metric_name
    parts = []
    for part in found:
        metrics = dict(part.metrics)
        parts.append(
            {
                "part": part.part,
                "samples": part.samples,
                "loss": part.loss,
                "metric": metrics.get(own),
                "metrics": metrics,
                "confusion": part.confusion,
                "residuals": part.residuals and asdict(part.residuals),
            }
        )
    return line(
        "eval",
        preset=plan.name,
        trained=weights is not None,
        weights=weights,
        changed=changed,
        parameters=training.parameters,
        task=training.task.name,
        metric_name=own,
        label_names=training.about.label_names,
        seed=training.seed,
        device=str(training.device),
        parts=parts,
    )


def _confusion(part: Evaluation, names: tuple[str, ...], room: int) -> list[str]:
    """Counts by label (rows) and prediction (columns), or the pairs that are confused most."""
    counts = part.confusion
    assert counts is not None
    if len(names) != len(counts):
        names = tuple(str(i) for i in range(len(counts)))
    first = max(len("label"), *(len(name) for name in names))
    cell = 2 + max(len(name) for name in (*names, *(count(n) for r in counts for n in r)))
    if first + cell * len(counts) <= room:
        head = "label".ljust(first) + "".join(name.rjust(cell) for name in names)
        rows = [
            name.ljust(first) + "".join(count(n).rjust(cell) for n in row)
            for name, row in zip(names, counts, strict=True)
        ]
        return [f"{part.part}, labels down, predictions across:", head, *rows]
    pairs = sorted(
        ((n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j),
        reverse=True,
    )
    return [
        f"{part.part}, what is confused most:",
        *(f"{names[i]} taken for {names[j]}: {count(n)}" for n, i, j in pairs[:MOST_PAIRS]),
    ]


def _residuals(part: str, found: Residuals) -> list[str]:
    facts = (
        f"mean {number(found.mean)}, deviation {number(found.deviation)}, "
        f"median {number(found.median)}"
    )
    lines = [f"{part}, residuals (label - prediction): {facts}"]
    step, most = (found.high - found.low) / len(found.counts), max(found.counts)
    for i, samples in enumerate(found.counts):
        start, end = found.low + i * step, found.low + (i + 1) * step
        span = f"{number(start):>9} to {number(end):>9}"
        drawn = bar(samples / most, LONGEST_BAR).rstrip()
        lines.append(f"{span}  {count(samples):>6}  {drawn}".rstrip())
    return lines
