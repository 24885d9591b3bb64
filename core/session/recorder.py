"""`Recorder`: everything that is counted of a run, told to its listener and its log."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple
from functools import reduce
from operator import add
from typing import Any, Final, TypeGuard

from torch import Tensor

from ..protocol.at_hand import EpochRow
from ..protocol.commands import Sender
from ..protocol.faults import Fault
from ..protocol.listener import Listener
from ..protocol.parameter_groups import GroupLrs
from ..protocol.snapshot import Best, Change, Curve, EpochSummary, Outcome, Snapshot
from ..protocol.steps import State, Step, Task
from ..storage.batch_lines import MOST, BatchBlock
from ..storage.run_log import RunLog
from ..training.loop import BatchConsumer
from ..training.lr import LearningRate
from ..training.metrics import ClassificationMeter, Meter, meter_for
from ..training.progress import Progress
from ..training.rank_batches import counts
from ..training.resume_data import Loaders
from ..training.training import Training
from .clock import WARM_UP, Clock
from .series import Series


class LossRecorder:
    """Losses and learning rates, batch by batch. Only the training thread touches it.

    Args:
        curve: gets every loss.
        lr_curve: gets every learning rate that differs from the one before, and where that ended.
    """

    def __init__(self, curve: Series, lr_curve: Series) -> None:
        self._curve = curve
        self.log: RunLog | None = None
        """Gets every block of batches when it begins, and reads it while it fills: a call for each
        batch would take several per cent of a small model's time.
        """
        self._lr_curves: tuple[Series, ...] = (lr_curve,)
        self._groups: tuple[str, ...] = ()
        self._changed = [0]
        """The batch from which on each learning rate is what it is; 0 before the first."""
        self._block = BatchBlock(0, 0, 1)
        self._next = self._epoch = 0
        """What the next batch has if it belongs to the block: `batches_done` (0: it will begin
        another) and epoch."""
        self._settled = 0
        """Batches of the block that are in curves and sum."""
        self._first: float | None = None
        self.lr = math.nan
        """Of the last batch; NaN before the first."""
        self._lrs: tuple[float, ...] = ()
        self._sum = 0.0
        self._count = 0

    def name_groups(self, lr_curves: dict[str, Series]) -> None:
        """Give the learning rates of these parameter groups to these curves from now on."""
        self.settle()
        self._next, self._settled = 0, len(self._block.losses)
        self._lr_curves = (self._lr_curves[0], *lr_curves.values())
        self._groups, self._lrs = tuple(lr_curves), ()
        self._changed = [self._changed[0], *(0 for _ in lr_curves)]

    def note(
        self,
        epoch: int,
        batch: int,
        batches_done: int,
        loss: float,
        lr: float,
        ended: float,
        lrs: tuple[float, ...] = (),
    ) -> None:
        """Record a finished batch, see `Recorder.batch`."""
        if batches_done != self._next or epoch != self._epoch:
            self.settle()
            self._block, self._settled, self._epoch = (
                BatchBlock(epoch, batch, batches_done, self._groups),
                0,
                epoch,
            )
            if self.log is not None:
                self.log.batches(self._block)
        self._next = batches_done + 1 if batches_done % MOST else 0
        block = self._block
        block.losses.append(loss)
        block.lrs.append(lr)
        if lrs:
            block.group_lrs.append(lrs)
        block.times.append(ended)

    def settle(self) -> None:
        """Bring what was noted into curves and sum; needed before a curve is read."""
        losses, lrs = self._block.losses[self._settled :], self._block.lrs[self._settled :]
        if not losses:
            return
        first = self._block.batches_done + self._settled
        for done, each in enumerate(self._block.group_lrs[self._settled :], start=first):
            if each != self._lrs:
                before = self._lrs or (math.nan,) * len(each)
                for i, (value, last) in enumerate(zip(each, before, strict=True), start=1):
                    if value != last:
                        self._change(i, done, value)
                self._lrs = each
        if first == 1:
            self._first = losses[0]
        self._settled += len(losses)
        # One after the other, so that the sum does not depend on when it is asked for.
        self._sum = reduce(add, losses, self._sum)
        self._count += len(losses)
        self._curve.extend(first, losses)
        for batches_done, lr in enumerate(lrs, start=first):
            if lr != self.lr:
                self.lr = lr
                self._change(0, batches_done, lr)

    def _change(self, i: int, batches_done: int, lr: float) -> None:
        """A learning rate is another one from this batch on; until then it was the last one."""
        series, at = self._lr_curves[i], self._changed[i]
        if at and batches_done - 1 > at and series.last is not None:
            series.add(batches_done - 1, series.last)
        series.add(batches_done, lr)
        self._changed[i] = batches_done

    @property
    def first(self) -> float | None:
        """Of the run's first batch; None before it."""
        self.settle()
        return self._first

    @property
    def mean(self) -> float | None:
        """Of the batches since `begin_epoch`; None before the first."""
        self.settle()
        return self._sum / self._count if self._count else None

    def begin_epoch(self) -> None:
        """Begin another sum."""
        self.settle()
        self._sum, self._count = 0.0, 0

    def state(self) -> dict[str, Any]:
        """Everything but the curves, in plain values."""
        self.settle()
        return {
            "loss_sum": self._sum,
            "loss_count": self._count,
            "lr": self.lr,
            "lrs": self._lrs,
            "lrs_changed": list(self._changed),
            "first_loss": self._first,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; the next batch begins a block."""
        self._next, self._settled = 0, len(self._block.losses)
        self._sum, self._count = state["loss_sum"], state["loss_count"]
        self.lr, self._first = state["lr"], state["first_loss"]
        self._lrs = state.get("lrs", ())
        self._changed = list(state.get("lrs_changed", [0] * len(self._lr_curves)))


def _change(saved: Sequence[Any]) -> Change:
    """A change as a checkpoint has it."""
    time, epoch, batch, text, kind, by = (*saved, None)[:6]
    return Change(time, epoch, batch, text, kind, by and Sender(*by))


CHANGES: Final = 200
"""Changes by hand that a Snapshot carries; a listener gets every one."""

KEPT: Final = 500
"""Epochs that are kept one by one."""

METRIC_SERIES: Final = (
    "loss",
    "epoch_loss",
    "val_loss",
    "val_metric",
    "lr",
    "grad_norm",
    "throughput",
)


def saved_epochs(state: Mapping[str, Any]) -> list[EpochRow]:
    """The epochs in what `Recorder.state` gave; none in what an older fivestep saved."""
    rows = zip(state.get("epochs", ()), state.get("epoch_seconds", ()), strict=True)
    return [EpochRow(*(*row, seconds)) for row, seconds in rows]


class Recorder:
    """Everything that is counted about a run. Only the training thread touches it.

    Args:
        task: what is learnt.
        clock: where the time goes.
        listener: gets every record, when it is made.
        log: keeps every record.
        groups: the names of the optimizer's parameter groups, where there are several.
        min_delta: by how much a validation has to be better to count for `mark`.
    """

    def __init__(
        self,
        task: Task,
        clock: Clock,
        listener: Listener | None = None,
        log: RunLog | None = None,
        groups: tuple[str, ...] = (),
        min_delta: float = 0.0,
    ) -> None:
        self._task, self._clock, self._min_delta = task, clock, min_delta
        self._listeners: tuple[Listener, ...] = () if listener is None else (listener,)
        self._series = {name: Series() for name in METRIC_SERIES}
        self._losses = LossRecorder(self._series["loss"], self._series["lr"])
        self.name_groups(groups)
        self._epoch_began = (0.0, 0, 0.0)
        self._curves: tuple[tuple[str, Curve], ...] = ()
        self._val_seconds = 0.0
        self.val_loss: float | None = None
        self.metrics: dict[str, float] = {}
        self.best_metric: Best | None = None
        self.best_val_loss: Best | None = None
        self.validations = 0
        """How many have ended."""
        self.mark: Best | None = None
        """What a validation has to be better than by `min_delta`: the last one that was."""
        self.val_worse = 0
        """Validations in a row whose metric was worse than the best."""
        self.last: EpochSummary | None = None
        self.epochs: deque[EpochRow] = deque(maxlen=KEPT)
        """What came of the last epochs, oldest first."""
        self.changes: tuple[Change, ...] = ()
        self.keep(log)

    def name_groups(self, groups: tuple[str, ...]) -> None:
        """Keep a learning rate for each of these parameter groups from now on."""
        lrs = {name: self._series.setdefault(f"lr {name}", Series()) for name in groups}
        self._losses.name_groups(lrs)

    def loss_of(self, name: str, batches_done: int, loss: float) -> None:
        """Record the loss of one optimizer of several."""
        self._series.setdefault(f"loss {name}", Series()).add(batches_done, loss)

    def keep(self, log: RunLog | None) -> None:
        """Have every record from now on kept in this log."""
        self._log = self._losses.log = log

    def batch(
        self,
        epoch: int,
        batch: int,
        batches_done: int,
        loss: float,
        lr: float,
        ended: float,
        lrs: tuple[float, ...] = (),
    ) -> None:
        """Record a finished batch, in order.

        Args:
            epoch, batch: counted from 1.
            batches_done: with this one.
            loss: its mean.
            lr: what it used.
            ended: when it was done (`time.perf_counter`).
            lrs: what each of several parameter groups used.
        """
        self._losses.note(epoch, batch, batches_done, loss, lr, ended, lrs)
        for listener in self._listeners:
            if lrs:
                listener.batch(epoch, batch, batches_done, loss, lr, lrs)
            else:
                listener.batch(epoch, batch, batches_done, loss, lr)

    def listen(self, listener: Listener) -> None:
        """Tell this one, too, from now on."""
        self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: Listener) -> None:
        """Tell it no more."""
        self._listeners = tuple(one for one in self._listeners if one is not listener)

    @property
    def first_loss(self) -> float | None:
        """Of the run's first batch; None before it."""
        return self._losses.first

    def validated(
        self, batches_done: int, loss: float | None, metrics: dict[str, float], seconds: float
    ) -> None:
        """Record the result of a validation, at an epoch's end or asked for."""
        self.val_loss, self.metrics, self._val_seconds = loss, metrics, seconds
        self.validations += 1
        if loss is not None:
            self._series["val_loss"].add(batches_done, loss)
        metric = metrics.get(self._task.metric_name)
        if metric is not None:
            self._series["val_metric"].add(batches_done, metric)
            best, higher = self.best_metric, self._task.higher_is_better
            good = best is None or metric == best.value or _is_better(metric, best, higher=higher)
            self.val_worse = 0 if good else self.val_worse + 1

    @property
    def epoch_loss(self) -> float | None:
        """Mean loss of this epoch's batches so far; None before the first."""
        return self._losses.mean

    def grad_norm(self, batches_done: int, norm: float) -> None:
        """Record a sampled gradient norm."""
        self._series["grad_norm"].add(batches_done, norm)

    def epoch(
        self, progress: Progress, lr: float, lrs: GroupLrs = (), *, validated: bool
    ) -> EpochSummary:
        """Record the epoch that `progress` has just counted."""
        began, batches_before, val_before = self._epoch_began
        active, val = self._clock.active, self._clock.spent[Step.VALIDATE]
        batches = progress.batches_done - batches_before
        seconds = active - began
        training = seconds - (val - val_before)
        loss = self.epoch_loss
        self.last = EpochSummary(
            epoch=progress.epoch,
            batches=batches,
            batches_done=progress.batches_done,
            train_loss=math.nan if loss is None else loss,
            val_loss=self.val_loss if validated else None,
            metrics=tuple(self.metrics.items()) if validated else (),
            seconds=seconds,
            batches_per_second=batches / training if training > 0 else 0.0,
            lr=lr,
            lrs=lrs,
        )
        if loss is not None:
            self._series["epoch_loss"].add(progress.batches_done, loss)
        if validated:
            self._note_best(self.last)
        last = self.last
        row = EpochRow(last.epoch, last.train_loss, last.val_loss, last.val_metric, seconds)
        self.epochs.append(row)
        self._losses.begin_epoch()
        self._epoch_began = (active, progress.batches_done, val)
        if self._log is not None:
            self._log.epoch(self.last, self.best_metric, self.best_val_loss)
        for listener in self._listeners:
            listener.epoch(self.last)
        return self.last

    def _note_best(self, summary: EpochSummary) -> None:
        metric, loss, epoch = summary.val_metric, summary.val_loss, summary.epoch
        if loss is not None and not math.isfinite(loss):
            return  # whatever else such a model may reach
        higher = self._task.higher_is_better
        if _is_better(metric, self.best_metric, higher=higher):
            self.best_metric = Best(metric, epoch)
        if _is_better(metric, self.mark, higher=higher, by=self._min_delta):
            self.mark = Best(metric, epoch)
        if _is_better(loss, self.best_val_loss, higher=False):
            self.best_val_loss = Best(loss, epoch)

    @property
    def waited(self) -> int:
        """Epochs since `mark`."""
        last = 0 if self.last is None else self.last.epoch
        return last - (0 if self.mark is None else self.mark.epoch)

    def is_best(self, summary: EpochSummary) -> bool:
        """Whether no epoch so far was better: by the metric, or by the loss where there is none."""
        best = self.best_metric or self.best_val_loss
        return best is not None and best.epoch == summary.epoch

    def change(
        self,
        progress: Progress,
        text: str,
        kind: str,
        by: Sender | None = None,
        faults: Iterable[Fault] | None = None,
    ) -> None:
        """Record what a person changed, or what the run says of itself, with its time and place.

        Args:
            progress: the place.
            text, kind, by, faults: see `Change`.
        """
        wrong = None if faults is None else tuple(sorted(faults))
        place = progress.epoch + 1, progress.batches_done
        change = Change(time.time(), *place, text, kind, by, wrong)
        self.changes = (*self.changes[-CHANGES + 1 :], change)
        if self._log is not None:
            self._log.change(change)
        for listener in self._listeners:
            listener.change(change)

    def state(self) -> dict[str, Any]:
        """Everything counted so far, in tensors and plain values."""
        return {
            **self._losses.state(),
            "series": {name: series.state() for name, series in self._series.items()},
            "epoch_so_far": self._epoch_so_far(),
            "val_seconds": self._val_seconds,
            "val_worse": self.val_worse,
            "val_loss": self.val_loss,
            "metrics": dict(self.metrics),
            "best_metric": self.best_metric and astuple(self.best_metric),
            "best_val_loss": self.best_val_loss and astuple(self.best_val_loss),
            "mark": self.mark and astuple(self.mark),
            "last": self.last and asdict(self.last),
            "epochs": [row[:-1] for row in self.epochs],
            "epoch_seconds": [row.seconds for row in self.epochs],
            "changes": [astuple(change)[:6] for change in self.changes],
        }

    def restore(self, state: dict[str, Any], *, rewinding: bool = False) -> None:
        """Go on from `state`; when rewinding, what was changed by hand since stays on record."""
        self._losses.restore(state)
        for name, series in state["series"].items():
            if name in self._series:
                self._series[name].restore(series)
        self._build_curves()
        self._val_seconds, self.val_worse = state["val_seconds"], state["val_worse"]
        self.val_loss, self.metrics = state["val_loss"], dict(state["metrics"])
        best, lowest, last = state["best_metric"], state["best_val_loss"], state["last"]
        self.best_metric = best and Best(*best)
        self.best_val_loss = lowest and Best(*lowest)
        mark = state.get("mark", best)
        self.mark = mark and Best(*mark)
        self.last = last and EpochSummary(**last)
        self.epochs.clear()
        self.epochs.extend(saved_epochs(state))
        active, before, validating = state["epoch_so_far"]
        clock = self._clock
        self._epoch_began = (
            clock.active - active,
            before,
            clock.spent[Step.VALIDATE] - validating,
        )
        if not rewinding:
            self.changes = tuple(map(_change, state["changes"]))

    def _epoch_so_far(self) -> tuple[float, int, float]:
        """Seconds of the epoch under way, batches before it, seconds of validation in it."""
        active, before, validating = self._epoch_began
        clock = self._clock
        return clock.active - active, before, clock.spent[Step.VALIDATE] - validating

    def _build_curves(self) -> None:
        self._curves = tuple((name, s.curve()) for name, s in self._series.items() if len(s))

    def begin_epoch_anew(self) -> None:
        """Forget the losses of the epoch under way: its batches start over."""
        self._losses.begin_epoch()

    def snapshot(
        self,
        progress: Progress,
        rate: LearningRate,
        *,
        state: State,
        step: Step,
        epochs: int,
        batches_left: int | None,
        curves: bool,
        outcome: Outcome | None,
        speed: float | None = None,
        stopping: str | None = None,
        **others: Any,
    ) -> Snapshot:
        """A Snapshot of now, with all that is recorded; its curves are built anew only if `curves`
        says so. `others` are fields of it that are not recorded here.
        """
        self._losses.settle()
        clock = self._clock
        clock.mark(progress.batches_done, progress.samples_done)
        batch_rate, sample_rate = clock.rates(progress.batches_done, progress.samples_done)
        if curves:
            if batch_rate is not None:
                self._series["throughput"].add(progress.batches_done, batch_rate)
            self._build_curves()
        return Snapshot(
            state=state,
            step=step,
            epoch=min(progress.epoch + 1, epochs),
            batch=progress.batch,
            batches_done=progress.batches_done,
            samples_done=progress.samples_done,
            val_batch=progress.val_batch,
            elapsed=clock.elapsed,
            active=clock.active,
            eta=self._eta(batch_rate, batches_left, epochs - progress.epoch, speed),
            batches_per_second=batch_rate,
            samples_per_second=sample_rate,
            loss=self._series["loss"].last,
            epoch_loss=self.epoch_loss,
            last=self.last,
            val_loss=self.val_loss,
            metrics=tuple(self.metrics.items()),
            best_metric=self.best_metric,
            best_val_loss=self.best_val_loss,
            lr=rate.lr,
            lr_factor=rate.factor,
            lrs=rate.by_group,
            grad_norm=self._series["grad_norm"].last,
            grad_norm_batch=int(self._series["grad_norm"].last_x),
            phases=clock.phases(progress.batches_done),
            watching=clock.watching,
            speed=speed,
            stopping=stopping,
            recent=self._series["loss"].recent,
            curves=self._curves,
            changes=self.changes,
            outcome=outcome,
            faults=tuple(sorted(progress.faults)),
            faults_so_far=progress.faults_so_far,
            undone=progress.undone,
            validations=self.validations,
            skipped=progress.skipped,
            waited=self.waited,
            **others,
        )

    def _eta(
        self,
        batch_rate: float | None,
        batches_left: int | None,
        epochs_left: int,
        speed: float | None,
    ) -> float | None:
        """Seconds left: training at the pace of the last seconds, and the validations to come."""
        if batch_rate is None or batches_left is None or speed is not None:
            return None
        if self._clock.active < WARM_UP:
            return None
        return batches_left / batch_rate + epochs_left * self._val_seconds


def _is_better(
    value: float | None, best: Best | None, *, higher: bool, by: float = 0.0
) -> TypeGuard[float]:
    """Whether a finite value is better than the best so far, by more than this."""
    if value is None or not math.isfinite(value):
        return False
    return best is None or (value > best.value + by if higher else value < best.value - by)


class ValidationRecorder:
    """Makes a meter for each validation, and records its result when the pass is over."""

    def __init__(
        self,
        training: Training,
        progress: Progress,
        record: Recorder,
        clock: Clock,
        loaders: Loaders,
    ) -> None:
        self.classes: int | None = None
        """How many classes occurred in the last validation; None if that is no classification."""
        self._training = training
        self._progress, self._record, self._clock, self._loaders = progress, record, clock, loaders
        self._meter: Meter | None = None
        self._began = 0.0
        self._bad = False
        """Whether the last validation's loss was NaN or infinite."""
        self._nan: dict[str, int] = {}
        """How often a metric was NaN; -1 once it was anything else."""

    def begin(self) -> BatchConsumer:
        """A meter for the validation that starts now."""
        training = self._training
        if training.ranks is not None:
            training.ranks.same_buffers(training.model)
        self._meter = meter_for(training.task, training.metrics, training.criterion)
        self._began = self._clock.spent[Step.VALIDATE]
        self._loaders.validation_begins()
        return self._meter if training.ranks is None else self

    def update(self, outputs: Any, labels: Any, loss: Tensor) -> None:
        """Add a rank's part of a batch: outputs and labels (B, ...), loss () the mean over it."""
        assert self._meter is not None
        mine = counts(self._training.validation, self._progress.val_batch)
        if mine is None or mine[0]:
            self._meter.update(outputs, labels, loss)

    def end(self) -> bool:
        """Record the result of the last validation; whether there was one since the last call."""
        if self._meter is None:
            return False
        seconds = self._clock.spent[Step.VALIDATE] - self._began
        ranks = self._training.ranks
        if ranks is not None and counts(self._training.validation, 0) is not None:
            self._meter.merge(ranks.exchange)
        loss, metrics = self._meter.result()
        self._record.validated(self._progress.batches_done, loss, metrics, seconds)
        if isinstance(self._meter, ClassificationMeter):
            self.classes = self._meter.classes
        self._warn(self._meter, loss, metrics)
        self._meter = None
        self._loaders.validation_ends()
        return True

    def _warn(self, meter: Meter, loss: float | None, metrics: dict[str, float]) -> None:
        """Say once where a loss is NaN or infinite, until it is finite again; and which metric is
        NaN in every validation.
        """
        progress = self._progress
        if loss is None:
            return
        if not math.isfinite(loss):
            if not self._bad:
                epoch = progress.epoch + 1 if progress.batch else max(1, progress.epoch)
                place = f", {progress.val_bad}" if progress.val_bad else ""
                text = (
                    f"the validation loss of epoch {epoch} is {loss}: first in validation batch "
                    f"{meter.first_bad}{place}; such an epoch is never the best"
                )
                self._record.change(progress, text, "warning")
            self._bad = True
            return
        self._bad = False
        for name, value in metrics.items():
            times = self._nan.get(name, 0)
            self._nan[name] = -1 if times < 0 or not math.isnan(value) else times + 1
            if self._nan[name] == min(2, self._training.epochs):
                text = f"the metric {name} was NaN in every validation so far"
                self._record.change(progress, text, "warning")

    def forget(self) -> None:
        """Drop a validation that was given up."""
        self._meter = None
