"""`fivestep predict`: new rows of a table, with what a run has learned to say of them."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...presets.catalogue import DATASETS
from ...presets.data.csv_file import BYTES, Sheet, parse_sheet, read_sheet
from ...presets.errors import RecipeError, printable, reason, shown
from ..render.format import clean, counted
from ..setup.plan import RecipePlan
from ..terminal.imports import load_torch
from ..terminal.output import complain, stdout, written

if TYPE_CHECKING:
    from torch import Tensor

    from ...presets.data.table import Table
    from .evaluate import TrainedRun

PREDICTION: Final = "prediction"
BATCH: Final = 1024
"""Rows that go through the model at once."""

Rows = list[list[str]]


def predict_rows(trained: TrainedRun, run: str, rows: str) -> Rows:
    """The rows of a CSV file with the predictions of a run behind them, the header first.

    Args:
        trained: the run, with the weights to take.
        run: what the person calls it.
        rows: the file's path, or "-" for stdin.

    Raises:
        RecipeError: the run has not learned a table, its weights are not there, or the rows are
            not like those it was trained on; one line.
    """
    plan = trained.plan() if trained.from_recipe else None
    kind = DATASETS[plan.recipe.dataset.name].kind if isinstance(plan, RecipePlan) else "a file's"
    if not isinstance(plan, RecipePlan) or kind != "table":
        what = "came from a Python file" if plan is None else f"has learned {kind}"
        raise RecipeError(f"predict is for tables, and {printable(run)} {what}")
    try:
        sheet = _sheet(rows)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    if not sheet.lines:
        raise RecipeError(f"{sheet.called}: there are no rows below the header")
    load_torch()
    import torch

    from ...core.training.device import choose_device
    from ...core.training.evaluate import outputs_for
    from ...presets.build import make_model
    from ...presets.data.table import Table

    recipe, state = plan.recipe, trained.state()[0]
    try:
        table = Table.of((state.get("about") or {}).get("table"))
    except ValueError as error:
        raise RecipeError(f"{printable(run)}: {error}; train it again to predict") from error
    model = make_model(recipe, torch.Size((table.width,)), len(table.classes) or 1)
    trained.put_weights(model, state)
    try:
        features, left_out = table.encode(sheet)
        device = choose_device(recipe.device)
        amp = None if recipe.amp == "off" else recipe.amp
        outputs = outputs_for(model, features, BATCH, device, amp)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    header, answers = _answers(table, outputs, recipe.criterion.name == "CrossEntropyLoss")
    twice = [name for name in header if name in sheet.names]
    if twice:
        raise RecipeError(f"{sheet.called}: there is a column {shown(twice[0])} already; rename it")
    _remark(table, sheet, plan, left_out)
    blank = [""] * len(header)
    cells = zip(*sheet.cells, strict=True)
    return [
        [*sheet.names, *header],
        *(
            [*row, *(blank if place in left_out else answer)]
            for place, (row, answer) in enumerate(zip(cells, answers, strict=True))
        ),
    ]


def write_rows(rows: Rows, to: str | None, *, overwrite: bool) -> int:
    """Write rows as CSV to a file, or to stdout; the exit code.

    Raises:
        RecipeError: the file is there already, or can't be written.
    """
    if to is None:
        output = stdout()
        harmless = [[clean(cell) for cell in row] for row in rows] if output.is_terminal else rows
        return written(output, _as_csv(harmless))
    try:
        with Path(to).open("w" if overwrite else "x", encoding="utf-8", newline="") as stream:
            stream.write(_as_csv(rows))
    except FileExistsError:
        refuse_existing(to)
    except OSError as error:
        raise RecipeError(f"{shown(to)}: can't be written: {reason(error)}") from error
    return 0


def refuse_existing(file: str) -> None:
    """Raise RecipeError if there is such a file."""
    if Path(file).exists():
        raise RecipeError(f"{shown(file)} is there already; --overwrite replaces it")


def _sheet(rows: str) -> Sheet:
    if rows == "-":
        return parse_sheet(sys.stdin.buffer.read(BYTES + 1), "stdin", least=1)
    return read_sheet(rows, least=1)


def _as_csv(rows: Rows) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _answers(table: Table, outputs: Tensor, probable: bool) -> tuple[list[str], Rows]:
    """The columns that are added, and their cells; probabilities if the outputs tell any."""
    if table.scaling is not None:
        values = table.scaling.undo(outputs).flatten().tolist()
        return [PREDICTION], [[f"{value:.9g}"] for value in values]
    best = [table.classes[place] for place in outputs.argmax(1).tolist()]
    if not probable:
        return [PREDICTION], [[name] for name in best]
    shares = outputs.double().softmax(1).tolist()
    header = [PREDICTION, *(f"probability of {name}" for name in table.classes)]
    pairs = zip(best, shares, strict=True)
    return header, [[name, *(f"{share:.6g}" for share in row)] for name, row in pairs]


def _remark(table: Table, sheet: Sheet, plan: RecipePlan, left_out: frozenset[int]) -> None:
    """Say on stderr what a person may not expect of the rows."""
    ignored = plan.recipe.dataset.options.get("ignore")
    known = {table.target, *(one.name for one in table.features)}
    known |= set(map(str, ignored)) if isinstance(ignored, tuple) else set()
    extra = [printable(name, 40) for name in sheet.names if name not in known]
    if extra:
        more = f" and {len(extra) - 6} more" if len(extra) > 6 else ""
        complain(f"not learned from, only passed on: {', '.join(extra[:6])}{more}")
    if left_out:
        complain(f"{counted(len(left_out), 'row')} with missing values without a prediction")
