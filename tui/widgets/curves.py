"""The loss and its company over the run: a sparkline of the last batches and a chart."""

from __future__ import annotations

from typing import Final

from ...core.protocol.parameter_groups import MOST
from ...core.protocol.snapshot import Change, Curve, RunInfo, Snapshot
from ..render.charts import MARKED, ChartSeries, ChartView, Mark, chart, sparkline
from ..render.faults import change_in_short
from ..render.format import clean, number
from ..render.spans import Line, line, line_width, spread
from .panel import RunPanel

EMPTY: Final = Curve((), (), (), (), ())
SMOOTH: Final = (("", 0.0), ("smooth", 0.8), ("smoother", 0.96))
NAMES: Final = {"lr": "learning rate", "grad_norm": "gradient norm", "throughput": "batches/s"}


LOW: Final = 6
"""Rows up to which a chart would have two or less for its curve: the last batches get them all."""
STYLES: Final = ("train", "val", "good", "hand")
"""Of the parameter groups' learning rates."""


class CurvesPanel(RunPanel):
    """One metric at a time; keys choose which, how much of the run, and how it is drawn."""

    BORDER_TITLE = "loss"
    WEIGHT = "main"
    metric = "loss"
    recent = False
    logarithmic = False
    smooth = 0
    _chart_size = 0, 0
    _keeps_chart = False

    def __init__(self, info: RunInfo, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(info, id=id, ascii=ascii)
        self.curves: dict[str, Curve] = {}
        metrics = ["loss"]
        if info.validates and info.metric_name != "val_loss":
            metrics.append("val_metric")
        self.metrics = (*metrics, "lr", "grad_norm", "throughput")
        self._chart: list[Line] = []
        """Everything but the sparkline, as it was drawn last."""

    def take(self, snapshot: Snapshot) -> None:
        """A new picture; curves stay as they were when it brings none."""
        self.snapshot = snapshot
        if snapshot.curves or not snapshot.recent:  # nothing is trained, or all was undone
            self.curves = dict(snapshot.curves)

    def follow(self, snapshot: Snapshot) -> None:
        """Draw the last batches of a newer picture; the chart, which takes longer, stays."""
        self.snapshot = snapshot
        self._keeps_chart = True
        self.redraw()
        self._keeps_chart = False

    def next_metric(self) -> None:
        at = self.metrics.index(self.metric)
        self.metric = self.metrics[(at + 1) % len(self.metrics)]
        self.redraw()

    def toggle_window(self) -> None:
        """Show the recent batches, or the whole run again."""
        self.recent = not self.recent
        self.redraw()

    def toggle_log(self) -> None:
        """Draw on a logarithmic scale, or on a linear one again."""
        self.logarithmic = not self.logarithmic
        self.redraw()

    def next_smoothing(self) -> None:
        """Draw smoother, then as it is again."""
        self.smooth = (self.smooth + 1) % len(SMOOTH)
        self.redraw()

    @property
    def shown(self) -> str:
        """What the metric on show is called."""
        if self.metric == "val_metric":
            return clean(self.info.metric_name)
        return NAMES.get(self.metric, self.metric)

    def lines(self, width: int, height: int) -> list[Line]:
        self.set_title(self.shown)
        if height <= (LOW if self.metric == "loss" else 3):
            return self._spark(width, height)
        sparks = height >= 6
        if not self._keeps_chart or self._chart_size != (width, height):
            self._chart_size = width, height
            self._chart = [self._legend(width), *self._plot(width, height - 1 - sparks)]
        return self._chart + (self._spark(width, 1) if sparks else [])

    def _plot(self, width: int, height: int) -> list[Line]:
        series, span = self._series()
        view = ChartView(span, self.logarithmic, self.ascii)
        changes = self.snapshot.changes if self.snapshot else ()
        marks = [Mark(float(c.batch), _called(c)) for c in changes if c.kind in MARKED]
        return chart(series, width, height, view, marks)

    def _series(self) -> tuple[list[ChartSeries], tuple[float, float] | None]:
        """The curves of the metric on show, and the batches to show them over."""
        smooth = SMOOTH[self.smooth][1]
        main = self._curve(self.metric)
        span = None
        if self.recent and self.snapshot is not None:
            done = float(self.snapshot.batches_done)
            if self.metric == "loss":
                main = points(self.snapshot.recent, done)
            start = main.x[0] if self.metric == "loss" and main.x else done * 0.75
            span = (start, max(done, start + 1))
        groups = self._groups()
        if groups:
            curves = [self._curve(f"lr {name}") for name in groups]
            styles = zip(curves, STYLES, strict=False)
            return [ChartSeries(curve, style, smooth=smooth) for curve, style in styles], span
        if self.metric == "val_metric":
            return [ChartSeries(main, "val", mark="◆", glyph=".", smooth=smooth)], span
        series = [ChartSeries(main, "train", smooth=smooth)]
        if self.metric == "loss":  # a line would hide the training loss
            for name, style, mark in (("epoch_loss", "train", "■"), ("val_loss", "val", "◆")):
                curve = self.curves.get(name, EMPTY)
                series.append(ChartSeries(curve, style, mark=mark, line=False))
        return series, span

    def _curve(self, name: str) -> Curve:
        """A metric's curve; a learning rate holds until now."""
        found, s = self.curves.get(name, EMPTY), self.snapshot
        if not name.startswith("lr") or s is None or not found.x or found.x[-1] >= s.batches_done:
            return found
        return Curve(
            (*found.x, float(s.batches_done)),
            (*found.low, found.low[-1]),
            (*found.mean, found.mean[-1]),
            (*found.high, found.high[-1]),
            (*found.bad, 0),
        )

    def _groups(self) -> tuple[str, ...]:
        """The parameter groups whose learning rates are drawn, each for itself."""
        lrs = self.snapshot.lrs if self.snapshot is not None and self.metric == "lr" else ()
        return tuple(name for name, _ in lrs) if len(set(lrs)) > 1 and len(lrs) <= MOST else ()

    def _legend(self, cells: int) -> Line:
        """Which curve is which, and how they are drawn."""
        short: Line = ()
        if self.metric == "loss":
            left = line(("━━ ", "train"), "train", ("  ■ ", "train"), "epoch mean")
            short = line(("━━ ", "train"), "train", ("  ■ ", "train"), "epoch")
            if self.info.validates:
                left += line(("  ◆ ", "val"), "validation")
                short += line(("  ◆ ", "val"), "val")
        elif groups := self._groups():
            pairs = zip(groups, STYLES, strict=False)
            left = line(
                *(part for name, how in pairs for part in (("━━ ", how), f"{clean(name)}  "))
            )
        elif self.metric == "val_metric":
            left = line(("◆ ", "val"), f"validation {self.shown}")
        else:
            left = line(("━━ ", "train"), self.shown)
        span = (
            "whole run"
            if not self.recent
            else ("recent" if self.metric == "loss" else "last quarter")
        )
        scale = ("log",) if self.logarithmic else ("l: log",) if self._log_helps() else ()
        words = (span, *scale, SMOOTH[self.smooth][0])
        for curves, told in ((left, words), (short or left, words), (short or left, words[1:])):
            right = line((" · ".join(filter(None, told)), "dim"))
            if line_width(curves) + line_width(right) < cells:
                return spread(curves, right, cells)
        return left

    def _log_helps(self) -> bool:
        """Whether the metric's values, all above 0, are more than two powers of ten apart."""
        curve = self._curve(self.metric)
        low = min((v for v in curve.low if v is not None), default=0.0)
        high = max((v for v in curve.high if v is not None), default=0.0)
        return 0 < low < high / 100

    def _spark(self, cells: int, height: int) -> list[Line]:
        """The last batches' losses, one a column, and the newest value."""
        recent = self.snapshot.recent if self.snapshot else ()
        value = number(self.snapshot.loss if self.snapshot else None)
        label = "last batches " if cells >= 40 else ""
        room = max(0, cells - len(label) - 9)
        rows = sparkline(recent, room, height, "train") or [()] * height
        bottom = len(rows) - 1
        bad = value in ("NaN", "inf", "-inf")
        return [
            line(
                (label if y == bottom else " " * len(label), "dim"),
                *row,
                (f"{value:>9}" if y == bottom else "", "bad" if bad else "bold"),
            )
            for y, row in enumerate(rows)
        ]


def _called(change: Change) -> str:
    """A change in a word or two."""
    if change.kind == "rewind":
        return "went back"
    if change.kind == "resumed":
        return "resumed"
    if change.kind == "switch":
        return change_in_short(change)
    return clean(change.text).partition(" →")[0].removesuffix(" by hand")


def points(values: tuple[float, ...], done: float) -> Curve:
    """Single points, the last one at batch `done`, as a curve."""
    fine = tuple(v if abs(v) < float("inf") else None for v in values)
    x = tuple(done - len(values) + 1 + i for i in range(len(values)))
    return Curve(x, fine, fine, fine, tuple(int(v is None) for v in fine))
