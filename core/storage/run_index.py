"""The runs in a folder, summed up: what each was, how far it came, whether it can go on."""

from __future__ import annotations

import csv
import math
import os
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from .files import clean, open_regular, refusal
from .log_file import LogRecord, lines_backwards, read_log, unseal
from .run_directory import (
    ENDINGS,
    Elsewhere,
    RunDirectory,
    RunError,
    checked_name,
    is_run,
    saved_at,
    shown,
)

_TAIL: Final = 32 << 20
"""Most bytes of a log that are searched for its last epoch: more than any 100,000 batches take."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run of a list. Its texts are clean, its numbers finite."""

    name: str
    path: Path | None
    """None where nothing is kept, and no more is known than below it is told."""
    preset: str = ""
    state: str = "unreadable"
    """finished, stopped, failed, interrupted; running; crashed: no process trains it and it never
    ended; or unreadable: run.json or outcome.json is damaged, a newer fivestep kept it, or the
    folder can't be read."""
    started: float | None = None
    """Seconds since 1970."""
    epochs: int = 0
    epochs_planned: int | None = None
    batches_done: int = 0
    metric_name: str = ""
    best: float | None = None
    """Best value of the metric."""
    best_epoch: int | None = None
    """Counted from 1."""
    val_loss: float | None = None
    """Latest."""
    size: int = 0
    """Bytes of all its files."""
    checkpoints: int = 0
    """Checkpoints it has, the best one too, which holds only weights; whether they are good shows
    when one is loaded."""
    saved: int | None = None
    """Batches done in the newest one to go on from, by its name; null where no name says it."""
    reason: str = ""
    """Why it ended, or can't be read; empty if it has not."""
    paused: bool = False
    """Whether it is running and held, by its events."""
    reachable: bool = False
    """Whether `fivestep attach` reaches it: it is being trained on this machine."""
    resumable: bool = False
    """Whether `fivestep resume` can go on with it as it is: it has a checkpoint to go on from, has
    not reached its end, and is not being trained."""
    elsewhere: Elsewhere | None = None
    """Of one without an end that another machine trains, or did: what is known of it here."""


def list_runs(folder: Path) -> list[RunSummary]:
    """Every run in a folder, the newest first. What is no run's folder is passed over."""
    try:
        runs = [path for path in folder.iterdir() if _is_name(path.name)]
    except OSError:
        return []
    found = [run for path in runs if not path.is_symlink() and (run := _run_at(path))]
    return sorted(found, key=lambda run: (_age(run), run.name), reverse=True)


def _run_at(path: Path) -> RunSummary | None:
    """The run in a folder; one that can't be read says so instead of hiding the others."""
    try:
        return summary(path) if is_run(path) else None
    except OSError as error:
        return RunSummary(path.name, path, reason=refusal(error))


def newest(folder: Path, *, saved: bool = False) -> str | None:
    """The name of the run that was started last, if `saved` of those that have a checkpoint."""
    runs = (run for run in list_runs(folder) if run.checkpoints or not saved)
    return next((run.name for run in runs), None)


def run_named(folder: Path, name: str | None) -> RunDirectory:
    """A run to read only.

    Args:
        folder: the runs folder.
        name: of the run, or a path to it; None is the last one.

    Raises:
        RunError: there is none.
    """
    found = name or newest(folder)
    if found is None:
        raise RunError(f"there is no run in {shown(str(folder))}; --runs-dir names another")
    return RunDirectory.look(folder, found)


def summary(path: Path) -> RunSummary:
    """One run's folder, summed up. Damage shows in `state`, nothing is raised."""
    run = RunDirectory(path)
    (meta, damage), (outcome, more) = run.read_meta(), run.read_outcome()
    try:
        run.check_format()
    except RunError as error:
        return RunSummary(run.name, path, started=_number(meta.get("started")), reason=str(error))
    far = run.elsewhere
    running = run.running or (far is not None and far.alive)
    damage = damage or more
    state = outcome.get("state") or "crashed"
    if running:
        state = "running"
    elif damage or state not in (*ENDINGS, "crashed"):
        state = "unreadable"
    if running or not outcome:
        outcome = _so_far(run.metrics)
    size, names = _weigh(run)
    saved = [done for name in names if (done := saved_at(name)) is not None]
    whole = bool(saved) or any(name.startswith("epoch-") for name in names)
    reason = damage or _text(outcome.get("reason"))
    if state == "crashed" and meta.get("kind") == "loop":
        reason = "its process ended in the middle; a loop of your own resumes by itself"
    return RunSummary(
        name=run.name,
        path=path,
        preset=_text(meta.get("preset")),
        state=state,
        started=_number(meta.get("started")),
        epochs=_count(outcome.get("epochs")) or 0,
        epochs_planned=_count(meta.get("epochs")),
        batches_done=_count(outcome.get("batches")) or 0,
        metric_name=_text(meta.get("metric_name")),
        best=_number(outcome.get("best_metric")),
        best_epoch=_count(outcome.get("best_epoch")),
        val_loss=_number(outcome.get("val_loss")),
        size=size,
        checkpoints=len(names),
        saved=max(saved, default=None),
        reason=reason,
        paused=running and (run.paused if far is None else far.paused),
        reachable=running and (run.answers_at or ("",))[0] == socket.gethostname(),
        elsewhere=far,
        resumable=whole and state in ("stopped", "failed", "interrupted", "crashed"),
    )


def _so_far(metrics: Path) -> dict[str, Any]:
    """What the end of a log says, under the names of an outcome."""
    last: LogRecord | None = None
    epoch: LogRecord | None = None
    try:
        with open_regular(metrics) as file:
            for _, _, text in lines_backwards(file, _TAIL):
                if last is not None and not text.startswith(b'{"type":"epoch"'):
                    continue
                record = unseal(text) or {}
                if last is None and "batches_done" in record:
                    last = record
                if record.get("type") == "epoch":
                    epoch = record
                    break
    except OSError:
        pass
    if last is None:
        return {}
    begun = _count(last.get("epoch")) or 1
    found: dict[str, Any] = {"batches": last["batches_done"], "epochs": begun - 1}
    if epoch is not None:
        found["epochs"] = epoch.get("epoch")
        found |= {key: epoch.get(key) for key in ("best_metric", "best_epoch", "val_loss")}
    return found


def _weigh(run: RunDirectory) -> tuple[int, list[str]]:
    """Bytes of a run's files, and the names of the checkpoints among them."""
    size, checkpoints = 0, list[str]()
    for folder in (run.path, run.checkpoints):
        if folder.is_symlink():
            continue
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    about = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(about.st_mode):
                        size += about.st_size
                        if folder is run.checkpoints and entry.name.endswith(".pt"):
                            checkpoints.append(entry.name)
        except OSError:  # no checkpoints yet, or one that went this moment
            continue
    return size, checkpoints


def _age(run: RunSummary) -> float:
    if run.started is not None or run.path is None:
        return run.started or 0.0
    try:
        return run.path.stat().st_mtime
    except OSError:
        return 0.0


def _is_name(name: str) -> bool:
    try:
        checked_name(name)
    except RunError:
        return False
    return True


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300:
        return None
    return float(value) if math.isfinite(value) else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number < 1e15 else None


def _text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


ExportKind = Literal["batches", "epochs"]
_BATCHES: Final = ("epoch batch batches_done batches loss loss_min loss_max bad lr elapsed").split()
_EPOCHS: Final = (
    "epoch batches batches_done train_loss val_loss val_metric best_metric best_epoch "
    "best_val_loss seconds batches_per_second lr elapsed"
).split()


def export_rows(run: RunDirectory, kind: ExportKind) -> Iterator[dict[str, float | None]]:
    """One row of numbers for each epoch, or for each batch and each window of batches.

    A batch is a window of one. `loss` is a window's mean; the fields are otherwise those of
    `protocol.record_fields.METRICS`; each validation metric has a column "metrics.NAME",
    each of several parameter groups one "lrs.NAME".

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
            f"metrics.jsonl of run {run.name} can't be read: {refusal(error)}"
        ) from error


def columns_of(run: RunDirectory, kind: ExportKind) -> list[str]:
    """The names in the rows, in order. Raises RunError if the log can't be read."""
    columns = list(_BATCHES if kind == "batches" else _EPOCHS)
    looked_at = islice(export_rows(run, kind), 1 if kind == "batches" else None)
    return columns + sorted({name for row in looked_at for name in row} - set(columns))


def write_csv(run: RunDirectory, stream: TextIO, kind: ExportKind) -> None:
    """Write the rows as CSV (RFC 4180) with a header.

    Cells are numbers or empty, so nothing in them can act as a formula.

    Args:
        stream: opened with newline="".

    Raises:
        RunError: the log can't be read.
        OSError: the stream takes no more.
    """
    table = csv.DictWriter(stream, columns_of(run, kind), restval=None, extrasaction="ignore")
    table.writeheader()
    table.writerows(export_rows(run, kind))


def _batch(record: LogRecord) -> dict[str, float | None]:
    row = {name: _cell(record.get(name)) for name in _BATCHES} | _each(record, "lrs")
    if record["type"] == "window":
        return row | {"loss": _cell(record.get("loss_mean"))}
    loss = row["loss"]
    return row | {"batches": 1, "loss_min": loss, "loss_max": loss, "bad": int(loss is None)}


def _epoch(record: LogRecord) -> dict[str, float | None]:
    row = {name: _cell(record.get(name)) for name in _EPOCHS}
    return row | _each(record, "metrics") | _each(record, "lrs")


def _each(record: LogRecord, field: str) -> dict[str, float | None]:
    """A column for every name in a field that has values by name."""
    values = record.get(field)
    values = values if isinstance(values, dict) else {}
    return {f"{field}.{clean(name)}": _cell(value) for name, value in values.items()}


def _cell(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
