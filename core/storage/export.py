"""A run's log as a table, for other programs."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, Final, Literal, TextIO

from .jsonfile import clean
from .log_file import Record, read_log
from .run_directory import RunDirectory
from .runname import RunError

Kind = Literal["batches", "epochs"]
_BATCHES: Final = ("epoch batch batches_done batches loss loss_min loss_max bad lr elapsed").split()
_EPOCHS: Final = (
    "epoch batches batches_done train_loss val_loss val_metric best_metric best_epoch "
    "best_val_loss seconds batches_per_second lr elapsed"
).split()


def export_rows(run: RunDirectory, kind: Kind) -> Iterator[dict[str, float | None]]:
    """One row of numbers for each epoch, or for each batch and each window of batches.

    A batch is a window of one. `loss` is a window's mean; the fields are otherwise those of
    `storage.logfields.METRICS_FIELDS`; each validation metric has a column "metrics.NAME".

    Raises:
        RunError: the log can't be read.
    """
    make = _batch if kind == "batches" else _epoch
    types = ("batch", "window") if kind == "batches" else ("epoch",)
    try:
        for record in read_log(run.metrics):
            if record.get("type") in types:
                yield make(record)
    except OSError as error:
        raise RunError(
            f"metrics.jsonl of run {run.name} can't be read: {error.strerror}"
        ) from error


def write_csv(run: RunDirectory, stream: TextIO, kind: Kind) -> int:
    """Write the rows as CSV (RFC 4180) with a header; how many there were.

    Cells are numbers or empty, so nothing in them can act as a formula.

    Args:
        stream: opened with newline="".

    Raises:
        RunError: the log can't be read.
        OSError: the stream takes no more.
    """
    columns = list(_BATCHES if kind == "batches" else _EPOCHS)
    if kind == "epochs":
        columns += sorted({name for row in export_rows(run, kind) for name in row} - set(columns))
    table = csv.DictWriter(stream, columns, restval=None, extrasaction="ignore")
    table.writeheader()
    count = 0
    for row in export_rows(run, kind):
        table.writerow(row)
        count += 1
    return count


def _batch(record: Record) -> dict[str, float | None]:
    row = {name: _number(record.get(name)) for name in _BATCHES}
    if record["type"] == "window":
        return row | {"loss": _number(record.get("loss_mean"))}
    loss = row["loss"]
    return row | {"batches": 1, "loss_min": loss, "loss_max": loss, "bad": int(loss is None)}


def _epoch(record: Record) -> dict[str, float | None]:
    row = {name: _number(record.get(name)) for name in _EPOCHS}
    metrics = record.get("metrics")
    if isinstance(metrics, dict):
        row |= {f"metrics.{clean(name)}": _number(value) for name, value in metrics.items()}
    return row


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
