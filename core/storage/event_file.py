"""A run's log as an event file for TensorBoard, written by TensorBoard's own library, an extra."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from .files import clean, open_regular, refusal
from .log_file import LogRecord, read_log
from .log_follower import LogFollower
from .run_directory import RunDirectory, RunError

FOLDER: Final = "tensorboard"
"""In the run's own folder, where nobody names another place."""
SUFFIX: Final = ".fivestep"
"""Of the names of our files: those are replaced, no other ones."""
INTERVAL: Final = 1.0
"""Seconds between two looks at what is new in the log."""
PATIENCE: Final = 60.0
"""Seconds that the end of a process waits for what is not written yet."""


def check_installed() -> None:
    """Raises RunError where TensorBoard's library is not installed."""
    if find_spec("tensorboard") is None:
        raise RunError("--tensorboard needs its library: pip install tensorboard")


def event_folder(run: RunDirectory, named: str) -> Path:
    """Where a run's event file lies: in a folder of its name in `named`, or in its own ("")."""
    return Path(named) / run.name if named else run.path / FOLDER


def export_events(run: RunDirectory, folder: Path) -> None:
    """Write the whole log of a run.

    Raises:
        RunError: the library is not installed, or the log can't be read.
        OSError: the folder can't be written.
    """
    check_installed()
    try:
        open_regular(run.metrics).close()
    except OSError as error:
        text = f"metrics.jsonl of run {run.name} can't be read: {refusal(error)}"
        raise RunError(text) from error
    with closing(EventFile(run, folder)) as events:
        for record in read_log(run.metrics):
            events.add(record)


class EventFile:
    """The scalars of one run, by batches done; an earlier file of ours is replaced.

    Args:
        run: whose log it is.
        folder: made if it is not there.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, run: RunDirectory, folder: Path) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
            old.unlink()
        self._writer = EventFileWriter(str(folder), max_queue_size=1000, filename_suffix=SUFFIX)
        meta = run.read_meta()[0]
        self._starts = [(0, float(meta.get("started") or 0.0))]
        for again in meta.get("resumes") or ():
            with suppress(KeyError, TypeError, ValueError):
                self._starts.append((int(again["batches_done"]), float(again["time"])))
        self._start: tuple[int, float] | None = None
        """Where the process began that wrote the record before."""
        self._shift = 0.0
        """Seconds from `elapsed` to Unix time."""
        log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        # What a running TensorBoard has of the file before gives way.
        self._writer.add_event(self._event(wall_time=self._starts[0][1], step=0, session_log=log))

    def add(self, record: LogRecord) -> None:
        """Write what a record of the log says."""
        step, elapsed = record.get("batches_done"), record.get("elapsed")
        if not isinstance(step, int) or not isinstance(elapsed, (int, float)):
            return
        values = [
            self._summary.Value(tag=name, simple_value=value) for name, value in _scalars(record)
        ]
        wall = self._wall_time(step, elapsed, ended=record["type"] == "epoch")
        summary = self._summary(value=values)
        self._writer.add_event(self._event(wall_time=wall, step=step, summary=summary))

    def _wall_time(self, step: int, elapsed: float, *, ended: bool) -> float:
        """Unix time: `elapsed` leaves out what lay between two processes that trained the run."""
        before = step - (not ended)  # an epoch that ends here was not begun here
        start = next(one for one in reversed(self._starts) if one[0] <= before)
        if ended and self._start is not None:
            start = self._start
        if start != self._start:
            begun = 0.0 if start is self._starts[0] else elapsed
            self._start, self._shift = start, start[1] - begun
        return self._shift + elapsed

    def flush(self) -> None:
        """Let others see what was written."""
        self._writer.flush()

    def close(self) -> None:
        """Write all of it. Raises OSError."""
        self._writer.close()


def _scalars(record: LogRecord) -> Iterator[tuple[str, float]]:
    """Names as TensorBoard's users expect them, and values; NaN where a loss was not finite."""
    kind = record["type"]
    lrs = record.get("lrs")
    if kind == "epoch":
        pass  # its last batch has said with which it was trained
    elif isinstance(lrs, dict) and lrs:
        yield from _numbers({f"lr/{name}": value for name, value in lrs.items()})
    else:
        yield from _numbers({"lr": record.get("lr")})
    if kind == "batch":
        yield "loss/train", _or_nan(record.get("loss"))
    elif kind == "window":
        yield "loss/train", _or_nan(record.get("loss_mean"))
        yield "loss/train_min", _or_nan(record.get("loss_min"))
        yield "loss/train_max", _or_nan(record.get("loss_max"))
    elif kind == "epoch":
        yield "loss/train_epoch", _or_nan(record.get("train_loss"))
        metrics = record.get("metrics")
        named = metrics if isinstance(metrics, dict) else {}
        measured = {f"{name}/validation": value for name, value in named.items()}
        measured.pop("val_loss/validation", None)
        yield from _numbers({"loss/validation": record.get("val_loss"), **measured})
        pace = {
            "epoch": record.get("epoch"),
            "batches_per_second": record.get("batches_per_second"),
        }
        yield from _numbers(pace)


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield clean(name), float(value)


def _or_nan(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


class EventFollower:
    """Writes an event file while the run's log grows, in a thread of its own, from the beginning:
    where the log was cut back, since the run went on from an earlier batch, the file is written
    anew, and has nothing twice.

    Args:
        run: whose log it is.
        named: see `event_folder`.
        say: is told why it could not go on.
    """

    def __init__(self, run: RunDirectory, named: str, say: Callable[[str], object]) -> None:
        self._run, self._named, self._say = run, named, say
        self._events: EventFile | None = None
        self._log = LogFollower(run.metrics)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="fivestep-events", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """The log is complete; `wait` waits until the event file is."""
        self._over.set()

    def wait(self) -> None:
        """Wait for what is to be written."""
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._say(f"not all of it is written; fivestep export {self._run.name} --tensorboard")

    def _follow(self) -> None:
        try:
            while not self._over.wait(INTERVAL):
                self._catch_up()
            self._catch_up()
            if self._events is not None:
                self._events.close()
        except Exception as error:  # the run goes on
            why = refusal(error) if isinstance(error, OSError) else str(error)
            self._say(f"nothing more is written: {why}")

    def _catch_up(self) -> None:
        self._log.path = self._run.metrics  # its folder may have been moved
        more = True
        while more:
            void, records = self._log.look()
            if void and self._events is not None:
                self._events.close()
                self._events = None
            if self._log.written is None:  # the folder is moved at this moment
                return
            if self._events is None:
                self._events = EventFile(self._run, event_folder(self._run, self._named))
            for record in records:
                self._events.add(record)
            more = bool(records)
        if self._events is not None:
            self._events.flush()
