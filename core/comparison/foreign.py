"""The numbers that other trainers have written: metrics.csv, trainer_state.json, event files."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from ..storage.files import clean, open_regular, read_bounded, refusal
from ..storage.run_directory import RunError, shown
from .numbers import Numbers

MOST: Final = 256 << 20
"""Bytes of a metrics.csv or a trainer_state.json, at most."""
LONGEST: Final = 1 << 20
"""Bytes of a line of a metrics.csv, at most."""
STATE: Final = "trainer_state.json"
TABLE: Final = "metrics.csv"
EVENTS: Final = "tfevents"
_STEPS: Final = ("step", "batches_done", "global_step")
_PLACES: Final = (*_STEPS, "epoch", "elapsed", "created_at")
"""Columns that say where a point is, and are no metric."""
_VALIDATION: Final = ("eval", "val", "valid", "validation")
_SAME: Final = {
    "learning_rate": "lr",
    "train_loss_step": "loss",
    "train_loss_epoch": "train_loss",
    "loss_train": "loss",
    "loss_train_epoch": "train_loss",
    "acc": "accuracy",
}


def is_foreign(text: str) -> bool:
    """Whether a word of a command line names such a file or its folder, and no run of ours."""
    name = Path(text).name
    if name.endswith((".csv", ".json")) or EVENTS in name:
        return True
    try:
        return _inside(Path(text)) is not None
    except (OSError, ValueError):
        return False


def _inside(folder: Path) -> Path | None:
    """What in a folder holds numbers; a folder of event files stands for all of them."""
    for name in (STATE, TABLE):
        if (folder / name).is_file():
            return folder / name
    return folder if any(folder.glob(f"*{EVENTS}*")) else None


def read_foreign(text: str) -> Numbers:
    """The numbers in a file of another tool, or in the folder that it made.

    Names are translated to ours: `eval_loss` and `loss/validation` are `val_loss`, say.

    Raises:
        RunError: it can't be read, or is none of them.
    """
    path = Path(text)
    try:
        path = (_inside(path) or path) if path.is_dir() else path
        if EVENTS in path.name or path.is_dir():
            found = _events(path)
        elif path.suffix == ".json":
            found = _trainer_state(path)
        else:
            found = _table(path)
    except (OSError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        why = refusal(error) if isinstance(error, OSError) else clean(str(error))
        raise RunError(f"{shown(text)} can't be read: {why}") from error
    if not found.points:
        raise RunError(f"{shown(text)}: no metric is in it")
    _settle(found)
    found.about = f"{found.kind}, {max(len(one) for one in found.points.values()):,} points"
    return found


def called(name: str) -> str:
    """What a metric of another tool is called here."""
    words = clean(name.strip()).replace("/", "_").split("_")
    for at in (0, -1):
        if len(words) > 1 and words[at].lower() in _VALIDATION:
            del words[at]
            plain = "_".join(words).removesuffix("_epoch")
            return "val_loss" if plain == "loss" else _SAME.get(plain, plain)
    plain = "_".join(words)
    return _SAME.get(plain, plain)


def _numbers(path: Path, kind: str) -> Numbers:
    parts = path.absolute().parts
    return Numbers(clean("/".join(parts[-2:])), path, kind)


def _add(
    found: Numbers,
    values: Mapping[str, Any],
    batches: float,
    *,
    epochs: float | None = None,
    seconds: float | None = None,
) -> None:
    for name, value in values.items():
        number = _number(value)
        if number is not None:
            found.metric(called(name)).add(batches, number, epochs=epochs, seconds=seconds)


def _settle(found: Numbers) -> None:
    """What comes more often than once an epoch is the loss of batches, whatever it is called."""
    points = found.points.get("train_loss")
    if points is None or "loss" in found.points:
        return
    epochs = {math.floor(epoch) for epoch in points.epochs if math.isfinite(epoch)}
    if len(points) > len(epochs):
        found.points["loss"] = found.points.pop("train_loss")


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _table(path: Path) -> Numbers:
    """Lightning's CSVLogger, or any CSV with a column of steps."""
    found = _numbers(path, "metrics.csv")
    with open_regular(path) as file:
        try:
            _add_rows(found, csv.DictReader(_lines(file)), path)
        except csv.Error as error:
            raise ValueError(f"it is no CSV: {error}") from error
    return found


def _lines(file: BinaryIO) -> Iterator[str]:
    """The lines of a table. Raises ValueError: one, or all together, would fill the memory."""
    read = 0
    while line := file.readline(LONGEST + 1):
        read += len(line)
        if len(line) > LONGEST:
            raise ValueError(f"a line of it is longer than {LONGEST:,} bytes")
        if read > MOST:
            raise ValueError(f"larger than {MOST:,} bytes")
        yield line.decode("utf-8", "replace")


def _add_rows(found: Numbers, rows: csv.DictReader[str], path: Path) -> None:
    names = rows.fieldnames or ()
    step = next((name for name in _STEPS if name in names), None)
    if step is None:
        raise ValueError(f"it has no column of steps ({', '.join(_STEPS)})")
    first = 1 if step == "step" else 0  # Lightning counts from 0
    for row in rows:
        at = _number(row[step])
        if at is None or not math.isfinite(at):
            continue
        values = {name: row[name] for name in names if name not in _PLACES}
        epoch = _number(row.get("epoch"))
        _add(
            found,
            values,
            at + first,
            epochs=None if epoch is None else epoch + first,
            seconds=_number(row.get("elapsed")),
        )


def _trainer_state(path: Path) -> Numbers:
    """What Hugging Face's Trainer keeps beside each checkpoint."""
    found = _numbers(path, "trainer_state.json")
    try:
        state = json.loads(read_bounded(path, MOST))
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    history = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(history, list):
        raise ValueError('it has no list "log_history"')
    for entry in history:
        at = _number(entry.get("step")) if isinstance(entry, dict) else None
        if at is None or not math.isfinite(at):
            continue
        if "train_runtime" in entry:  # sums over the whole training
            continue
        values = {k: v for k, v in entry.items() if k not in _PLACES and not _is_pace(k)}
        _add(found, values, at, epochs=_number(entry.get("epoch")))
    told = {"epochs": "num_train_epochs", "batch_size": "train_batch_size"}
    found.settings = {
        ours: state[theirs] for ours, theirs in told.items() if _number(state.get(theirs))
    }
    return found


def _is_pace(name: str) -> bool:
    return name.endswith(("_runtime", "_per_second")) or name == "total_flos"


def _events(path: Path) -> Numbers:
    """TensorBoard's event files, read with its own library."""
    found = _numbers(path, "event files")
    first: float | None = None
    for name, points in _scalars(path):
        for step, wall, value in points:
            first = wall if first is None else min(first, wall)
            found.metric(called(name)).add(step, value, seconds=wall)
    for one in found.points.values():
        for i, wall in enumerate(one.seconds):
            one.seconds[i] = wall - (first or 0.0)
    _place(found)
    return found


def _place(found: Numbers) -> None:
    """Epochs, where they were logged as a scalar of their own."""
    logged = found.points.pop("epoch", None)
    if logged is None:
        return
    at = dict(zip(logged.batches, logged.mean, strict=True))
    for one in found.points.values():
        for i, step in enumerate(one.batches):
            one.epochs[i] = at.get(step, math.nan)


def _scalars(path: Path) -> Iterator[tuple[str, list[tuple[int, float, float]]]]:
    """Name, and (step, wall time in seconds since 1970, value) of each point."""
    try:
        from tensorboard.backend.event_processing import event_accumulator, tag_types
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError as error:
        raise RunError(
            f"{shown(str(path))}: event files are read with the tensorboard library, which is not "
            "installed here: pip install tensorboard"
        ) from error
    everything = {tag_types.SCALARS: 0, tag_types.TENSORS: 0}
    events = event_accumulator.EventAccumulator(str(path), size_guidance=everything)
    events.Reload()
    found: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for name in events.Tags()[tag_types.SCALARS]:
        found[name] += [(one.step, one.wall_time, one.value) for one in events.Scalars(name)]
    for name in events.Tags()[tag_types.TENSORS]:
        for one in events.Tensors(name):
            value = make_ndarray(one.tensor_proto)
            if value.size == 1 and value.dtype.kind == "f":
                found[name].append((one.step, one.wall_time, float(value.reshape(()))))
    yield from found.items()
