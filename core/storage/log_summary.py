"""`LogSummary`: what the records of a run's log come to: curves, the last epoch, the best one."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from ..protocol.at_hand import EpochRow
from ..protocol.snapshot import Best, EpochSummary
from .buckets import Buckets, point
from .log_file import LogRecord

RECENT, EPOCHS_KEPT = 240, 500
UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What comes of a record that no run has written."""


def number_of(value: Any) -> float:
    """A number of a record; NaN where it has null."""
    return math.nan if value is None else float(value)


class LogSummary:
    """What the records that were read of a log come to."""

    def __init__(self) -> None:
        self.curves: dict[str, Buckets] = defaultdict(Buckets)
        self.recent: deque[float] = deque(maxlen=RECENT)
        self._paces: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self.epochs: deque[EpochRow] = deque(maxlen=EPOCHS_KEPT)
        self.last: EpochSummary | None = None
        self.best: Best | None = None
        self.best_val: Best | None = None
        self.batch: LogRecord = {}
        self.first_loss: float | None = None

    def take(self, records: Iterable[LogRecord]) -> None:
        """Add records, in the order of the log."""
        columns: dict[str, list[tuple[float, ...]]] = defaultdict(list)
        for record in records:
            with suppress(*UNREADABLE):
                if record["type"] == "epoch":
                    self._take_epoch(record, columns)
                elif record["type"] in ("batch", "window"):
                    self._take_batches(record, columns)
        for name, new in columns.items():
            self.curves[name].extend(new)

    def _take_batches(self, record: LogRecord, columns: dict[str, list[tuple[float, ...]]]) -> None:
        x, elapsed = int(record["batches_done"]), float(record["elapsed"])
        if record["type"] == "batch":
            loss = record["loss"]
            column = point(x, loss)
            self.recent.append(math.nan if loss is None else float(loss))
        else:
            count, bad, mean = int(record["batches"]), int(record["bad"]), record["loss_mean"]
            loss, good = mean, count - bad
            column = (x, math.inf, 0.0, -math.inf, 0, bad)
            if mean is not None:
                column = (x, record["loss_min"], mean * good, record["loss_max"], good, bad)
                self.recent.append(float(mean))
        if self.first_loss is None and not self.batch:
            self.first_loss = loss
        columns["loss"].append(column)
        columns["lr"].append(point(x, record["lr"]))
        for name, lr in (record.get("lrs") or {}).items():
            columns[f"lr {name}"].append(point(x, lr))
        self._paces.append((x, elapsed))
        self.batch = record

    def _take_epoch(self, record: LogRecord, columns: dict[str, list[tuple[float, ...]]]) -> None:
        done = int(record["batches_done"])
        metrics = {name: number_of(value) for name, value in (record.get("metrics") or {}).items()}
        own, val = record["val_metric"], record["val_loss"]
        self.last = last = EpochSummary(
            int(record["epoch"]),
            int(record["batches"]),
            done,
            number_of(record["train_loss"]),
            None if val is None else float(val),
            tuple(metrics.items()),
            float(record["seconds"]),
            number_of(record["batches_per_second"]),
            number_of(record["lr"]),
            tuple((record.get("lrs") or {}).items()),
        )
        self.epochs.append(EpochRow(last.epoch, last.train_loss, val, own, last.seconds))
        columns["epoch_loss"].append(point(done, record["train_loss"]))
        columns["throughput"].append(point(done, record["batches_per_second"]))
        if val is not None:
            columns["val_loss"].append(point(done, val))
            if self.best_val is None or val < self.best_val.value:
                self.best_val = Best(val, last.epoch)
        if own is not None:
            columns["val_metric"].append(point(done, own))
        if record.get("best_metric") is not None:
            self.best = Best(float(record["best_metric"]), int(record["best_epoch"]))

    @property
    def pace(self) -> float | None:
        """Batches a second, of those that were read last."""
        if len(self._paces) < 2:
            return None
        (first, began), (done, ended) = self._paces[0], self._paces[-1]
        return (done - first) / (ended - began) if ended > began else None
