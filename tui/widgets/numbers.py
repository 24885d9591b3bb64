"""The figures of the run: now, over the epoch, at their best."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...core.protocol.parameter_groups import MOST, lr_text
from ...core.protocol.snapshot import Best, Curve, Snapshot
from ...core.protocol.steps import CLASS_METRICS, State
from ..render.format import NOTHING, clean, count, fit, learning_rate, metric, number
from ..render.spans import Line, line, whole
from .panel import RunPanel

SHORT = {"balanced_accuracy": "balanced acc", "majority_share": "majority"}
"""Names of metrics that the table has no room for."""
NAME = 12
COLUMN = 10


class NumbersPanel(RunPanel):
    """A table with fixed columns; a single line where there is room for no more."""

    BORDER_TITLE = "numbers"
    curves: Mapping[str, Curve] = {}
    saved = ""
    """How old the newest checkpoint is, "12 s ago"; "" if nothing is kept."""

    def lines(self, width: int, height: int) -> list[Line]:
        if height == 1:
            return [self._single(width)]
        s, info = self.snapshot, self.info
        # Before the first batch the table is there already, so that nothing jumps later.
        last = s.last if s else None
        epochs = f"{'now':>{COLUMN}}{'epoch':>{COLUMN}}{'best':>{COLUMN}}"
        rows = [line((" " * NAME + epochs, "dim"))]
        own = line((f"  {clean(info.criterion)}", "dim"))
        rows.append((*_row("train loss", number(_loss(s)), number(_epoch_loss(s)))[:3], *own))
        if info.validates:
            rows.append(
                _row(
                    "val loss",
                    "",
                    number(s.val_loss if s else None),
                    s.best_val_loss if s else None,
                )
            )
            rows += self._metrics(s, more=False)
        norm, of = _norm(s)
        rows.append((*_row("grad norm", norm)[:2], *line((of, "dim"))))
        if s is not None and s.skipped:
            rows.append(_row("skipped", count(s.skipped)))
        rows += self._lrs(s)
        if info.early_stop is not None:
            waited = f"{count(s.waited) if s else 0} of {count(info.early_stop)}"
            why = f"  validations no better by {info.min_delta:g}" if info.min_delta else ""
            told = why or "  validations no better"
            rows.append((*_row("early stop", waited)[:2], *line((told, "dim"))))
        if self.saved:
            rows.append((*line((fit("saved", NAME), "dim")), *self._saved()))
        if height >= len(rows) + 2:
            rows.append(_row("last epoch", "", f"{last.seconds:.1f} s" if last else NOTHING))
        extra = [
            *self._metrics(s, more=True),
            _row("batches", count(s.batches_done if s else None)),
            _row("samples", count(s.samples_done if s else None)),
            _row("batch size", count(info.batch_size)),
            _row("seed", str(info.seed) if info.seed is not None else NOTHING),
        ]
        rows += extra[: max(0, height - len(rows))]
        return rows + self._validations(height - len(rows) - 2)

    def _validations(self, room: int) -> list[Line]:
        """The last validations, newest first, where there is room for several."""
        losses, metrics = self.curves.get("val_loss"), self.curves.get("val_metric")
        if losses is None or room < 3 or not losses.x:
            return []
        own = self.info.metric_name
        values = dict(zip(metrics.x, metrics.mean, strict=True)) if metrics else {}
        head = f"{'after batch':<{NAME}}{'val loss':>{2 * COLUMN}}"
        rows: list[Line] = [(), line((head + (fit(clean(own), COLUMN, right=True)), "dim"))]
        for x, loss in list(zip(losses.x, losses.mean, strict=True))[: -room - 1 : -1]:
            value = metric(own, values.get(x))
            rows.append(
                line(
                    (fit(count(x), NAME - 1, right=True), "dim"),
                    fit(number(loss), 2 * COLUMN + 1, right=True),
                    fit(value, COLUMN, right=True),
                )
            )
        return rows

    def _metrics(self, s: Snapshot | None, *, more: bool) -> list[Line]:
        """The metrics, or `more`: those that are there besides accuracy, where there is room."""
        metrics = dict(s.metrics) if s else {}
        own = self.info.metric_name
        names = [own, *(name for name in metrics if name not in (own, "val_loss"))]
        return [
            _row(
                clean(SHORT.get(name, name)),
                "",
                metric(name, metrics.get(name)),
                s.best_metric if s and name == own else None,
                name,
            )
            for name in names
            if name != "val_loss" and (name in CLASS_METRICS) == more
        ]

    def _saved(self) -> Line:
        """The newest checkpoint, and how old it is."""
        saved = self.snapshot.saved if self.snapshot is not None else None
        place = "" if saved is None else f"batch {count(saved.batches_done)}"
        return line(
            (fit(place, 2 * COLUMN, right=True), "bold"), fit(self.saved, COLUMN + 2, right=True)
        )

    def _lrs(self, s: Snapshot | None) -> list[Line]:
        """The learning rate, and what it is made of; a row for each of a few parameter groups."""
        note = line((f"   {clean(self.info.scheduler)}", "dim")) if self.info.scheduler else ()
        if s is not None and s.lr_factor != 1.0:
            base = "schedule " if self.info.scheduler else "" if self.info.foreign else "recipe "
            note = line((f"   {base}", "dim"), (f"× {s.lr_factor:g} by hand", "hand"))
        if s is not None and len({lr for _, lr in s.lrs}) > 1 and len(s.lrs) <= MOST:
            names = [f"lr {clean(name)}" for name, _ in s.lrs]
            values = [learning_rate(lr) for _, lr in s.lrs]
        else:
            names, values = ["lr"], [learning_rate(None) if s is None else _told(s)]
        first, *more = [_row(*pair)[:2] for pair in zip(names, values, strict=True)]
        return [(*first, *note), *more]

    def _single(self, cells: int) -> Line:
        s = self.snapshot
        parts: list[tuple[str, str]] = [("loss", fit(number(_loss(s)), 7))]
        if self.info.validates:
            own = self.info.metric_name
            parts.append(("val", fit(number(s.val_loss if s else None), 7)))
            if own != "val_loss":
                value = dict(s.metrics).get(own) if s else None
                best = f" best {metric(own, s.best_metric.value)}" if s and s.best_metric else ""
                parts.append((clean(own), metric(own, value) + best))
        hand = f" (× {s.lr_factor:g})" if s and s.lr_factor != 1.0 else ""
        parts.append(("lr", (learning_rate(None) if s is None else _told(s)) + hand))
        parts.append(("grad", "".join(_norm(s))))
        return words(parts, cells)


def _loss(s: Snapshot | None) -> float | None:
    """Of the batch under way, where it is known already; else of the last one."""
    if s is not None and s.batch_loss is not None:
        return s.batch_loss
    batch = s.inside.batch if s is not None else None
    if batch is not None and batch.loss is not None:
        return batch.loss
    return s.loss if s is not None else None


def _norm(s: Snapshot | None) -> tuple[str, str]:
    """The norm of this very batch, or while the run moves the last one read, and of which batch."""
    if s is None or s.grad_norm is None:
        return NOTHING, ""
    if s.grad_norm_batch == s.batches_done + (s.batch_loss is not None):
        return number(s.grad_norm), ""
    if s.state in (State.RUNNING, State.VALIDATING):
        return number(s.grad_norm), f"  in batch {count(s.grad_norm_batch)}"
    return NOTHING, ""


def _told(s: Snapshot) -> str:
    if math.isnan(s.lr) and not s.batches_done:  # a log tells it with its first batch
        return NOTHING
    return clean(lr_text(s.lr, s.lrs, learning_rate))


def _epoch_loss(s: Snapshot | None) -> float | None:
    """The mean so far, or between two epochs and at the end that of the last one."""
    if s is None or s.epoch_loss is not None:
        return s.epoch_loss if s else None
    return s.last.train_loss if s.last else None


def words(parts: list[tuple[str, str]], cells: int) -> Line:
    """Names and values in one line; the last ones are left out where it is too narrow."""
    return whole((line((f"{name} ", "dim"), f"{value}  ") for name, value in parts), cells + 2)


def _row(
    name: str, now: str = "", epoch: str = "", best: Best | None = None, kind: str = ""
) -> Line:
    """A row of the table: the name, then right-aligned columns."""
    value, when = (metric(kind, best.value), f"  epoch {best.epoch}") if best else ("", "")
    bad = any(text in ("NaN", "inf", "-inf") for text in (now, epoch))
    return line(
        (fit(name, NAME), "dim"),
        (fit(now, COLUMN, right=True), "bad" if bad else "bold"),
        (fit(epoch, COLUMN, right=True), "bad" if bad else ""),
        fit(value, COLUMN, right=True),
        (when, "dim"),
    )
