"""What `fivestep export` makes of a kept run: tables, event files, weights."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, cast

from ...core.storage.run_directory import RunDirectory, RunError
from ...core.storage.run_index import columns_of, export_rows, write_csv
from ...presets.errors import reason
from ..render.format import clean
from ..terminal.output import FAILED, NOBODY_READS, complain, stdout, written

if TYPE_CHECKING:
    from ...core.storage.run_index import ExportKind


COUNTS: Final = ("epoch", "batch", "batches_done", "batches", "bad", "best_epoch")
"""Columns of whole numbers."""


def to_csv(run: RunDirectory, to: str | None, *, epochs: bool) -> int:
    """Write a run's numbers as CSV, on stdout if there is no file; the exit code.

    Raises:
        RunError: the log can't be read, or the file can't be written.
    """
    try:
        with _stream(to) as stream:
            write_csv(run, stream, _kind(epochs))
            stream.flush()
    except BrokenPipeError:
        return NOBODY_READS
    except OSError as error:
        if to is None:
            complain(f"some rows could not be written: {reason(error)}")
            return FAILED
        raise _unwritten(to, error) from error
    if to is not None:
        complain(
            f"{to}: the numbers of run {run.name}, a row {'an epoch' if epochs else 'a batch'}"
        )
    return 0


def to_parquet(run: RunDirectory, to: str, *, epochs: bool) -> int:
    """Write the same numbers as a Parquet file; the exit code.

    Raises:
        RunError: pyarrow is not installed, the log can't be read, or the file can't be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise RunError("--parquet needs its library: pip install pyarrow") from error
    from ...core.storage.files import replacing

    kind = _kind(epochs)
    names = columns_of(run, kind)
    rows = list(export_rows(run, kind))
    columns = {name: [row.get(name) for row in rows] for name in names}
    whole = {name: pyarrow.int64() if name in COUNTS else pyarrow.float64() for name in columns}
    table = pyarrow.table(columns, schema=pyarrow.schema(whole.items()))
    try:
        with replacing(Path(to)) as fd, open(fd, "wb", closefd=False) as stream:
            parquet.write_table(table, stream)
    except OSError as error:
        raise _unwritten(to, error) from error
    return _tell(f"{to}: {len(rows):,} rows, {len(names)} columns")


def to_tensorboard(run: RunDirectory, named: str) -> int:
    """Write a run's numbers as an event file; the exit code.

    Args:
        run: whose log it is.
        named: a folder of its name is made in this one; "" is the run's own folder.

    Raises:
        RunError: the library is not installed, or the file can't be written.
    """
    from ...core.storage.event_file import event_folder, export_events

    folder = event_folder(run, named)
    try:
        export_events(run, folder)
    except OSError as error:
        raise _unwritten(str(folder), error) from error
    return _tell(f"{folder}; to look at it: tensorboard --logdir {named or run.path.parent}")


def to_safetensors(run: RunDirectory, to: str, *, last: bool) -> int:
    """Write a run's best weights, or its newest ones, as safetensors; the exit code.

    Raises:
        RunError: there are none, or the file can't be written.
    """
    from ...core.storage.safetensors_file import write_safetensors
    from .evaluate import TrainedRun

    trained = TrainedRun(run.path.parent, run.name, last=last)
    state, which = trained.state()
    at, meta = state["progress"], run.read_meta()[0]
    about = {"format": "pt", "run": run.name, "model": str(meta.get("model"))}
    about |= {"batches_done": str(at["batches_done"]), "epochs": str(at["epoch"])}
    try:
        write_safetensors(Path(to), state["model"], about)
    except OSError as error:
        raise _unwritten(to, error) from error
    except ValueError as error:
        raise RunError(f"{run.name}: {error}, which a safetensors file can't hold") from error
    return _tell(f"{to}: {which}")


def _kind(epochs: bool) -> ExportKind:
    return "epochs" if epochs else "batches"


def _unwritten(to: str, error: OSError) -> RunError:
    return RunError(f"{clean(to)}: can't be written: {reason(error)}")


def _tell(text: str) -> int:
    return written(stdout(), clean(text) + "\n")


@contextlib.contextmanager
def _stream(to: str | None) -> Iterator[TextIO]:
    if to is not None:
        with Path(to).open("w", encoding="utf-8", newline="") as stream:
            yield stream
    else:
        yield cast("TextIO", sys.stdout)
