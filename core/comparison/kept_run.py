"""The numbers and the settings of a run of ours, from its directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..storage.files import refusal
from ..storage.log_file import LogRecord, read_log
from ..storage.run_directory import RunDirectory, RunError
from ..storage.run_index import summary
from .numbers import Numbers

LEFT_OUT: Final = ("name", "description", "expect")
"""Sections of a recipe that decide nothing."""
_INNER: Final = ("device", "threads", "amp", "compile")
_TOLD: Final = ("epochs", "seed", "optimizer", "model", "data")
"""What a recipe says itself."""


def read_run(directory: RunDirectory) -> Numbers:
    """A run as far as its log goes, whether it goes on or has ended.

    Raises:
        RunError: the log can't be read.
    """
    meta, _ = directory.read_meta()
    found = Numbers(directory.name, directory.path, "run", settings=settings(meta))
    own = meta.get("metric_name")
    if own and isinstance(meta.get("higher_is_better"), bool):
        found.higher[own] = meta["higher_is_better"]
    try:
        for record in read_log(directory.metrics):
            _add(found, record)
    except FileNotFoundError:
        pass  # nothing was trained
    except OSError as error:
        raise RunError(
            f"metrics.jsonl of run {directory.name} can't be read: {refusal(error)}"
        ) from error
    found.count_epochs()
    found.about = _about(directory.path)
    return found


def _about(path: Path) -> str:
    run = summary(path)
    planned = "" if run.epochs_planned is None else f" of {run.epochs_planned}"
    epochs = f"epoch{'' if (run.epochs_planned or run.epochs) == 1 else 's'}"
    batches = f"batch{'' if run.batches_done == 1 else 'es'}"
    return (
        f"{run.preset}, {run.state}, {run.epochs}{planned} {epochs}, {run.batches_done:,} {batches}"
    )


def _add(found: Numbers, record: LogRecord) -> None:
    done, kind, at = record.get("batches_done"), record.get("type"), record.get("elapsed")
    if not isinstance(done, int) or isinstance(done, bool):
        return
    values: dict[str, Any] = {"lr": record.get("lr")}
    lrs = record.get("lrs")
    if isinstance(lrs, dict):
        values |= {f"lr {name}": value for name, value in lrs.items()}
    if kind == "batch":
        values["loss"] = record.get("loss")
    elif kind == "window":
        span = record.get("loss_min"), record.get("loss_max")
        bad = record.get("bad") if isinstance(record.get("bad"), int) else None
        found.metric("loss").add(done, record.get("loss_mean"), seconds=at, span=span, bad=bad)
    elif kind == "epoch":
        found.ends.append(done)
        names = ("train_loss", "val_loss", "batches_per_second")
        values = {name: record.get(name) for name in names}
        metrics = record.get("metrics")
        values |= metrics if isinstance(metrics, dict) else {}
        values = {name: value for name, value in values.items() if value is not None}
    else:
        return
    for name, value in values.items():
        found.metric(name).add(done, value, seconds=at)


def settings(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was started with, by key, from its run.json."""
    recipe = meta.get("recipe")
    found = {
        key: value for key, value in (recipe or {}).items() if key.split(".")[0] not in LEFT_OUT
    }
    if not recipe:
        found |= {key: meta.get(key) for key in _TOLD}
        found |= {**(meta.get("settings") or {}), **(meta.get("changes") or {})}
    found |= {key: meta.get(key) for key in _INNER} | {"ranks": meta.get("ranks", 1)}
    found |= {f"versions.{name}": value for name, value in (meta.get("versions") or {}).items()}
    file = meta.get("file") or {}
    if file:
        found["file"] = f"{file.get('path')} ({str(file.get('sha256'))[:8]})"
    found["commit"] = (meta.get("git") or {}).get("commit")
    return found
