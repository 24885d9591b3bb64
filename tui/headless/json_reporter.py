"""Lines for programs: one JSON object a line, with the fields of `protocol.record_fields`."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from ...core.protocol.record_fields import (
    BATCH,
    REPORT,
    change_values,
    epoch_values,
    groups_template,
    outcome_values,
    ranks_values,
    template,
)
from ..render.ranks import who_waits
from ..terminal.output import Output
from .reporter import UNKEPT_PARTS, Ending, Reporter, VerdictWatch

if TYPE_CHECKING:
    from ...core.protocol.diagnosis import Verdict
    from ...core.protocol.snapshot import Change, EpochSummary, RunInfo, Snapshot
    from ...core.session.breakpoints import BreakReport
    from ...core.session.session import Session

_BATCH: Final = template("batch", BATCH, ("%d", "%d", "%d", "%s", "%s", "%s"))
_encode: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def line(kind: str, /, **fields: Any) -> str:
    """One record as a line of JSON."""
    return _encode({"type": kind} | {key: _plain(value) for key, value in fields.items()}) + "\n"


def _batch_line(groups: tuple[str, ...]) -> str:
    """What the record of a batch is made from, whose parameter groups are these."""
    return _BATCH + (groups_template(groups, "%s") or ',"lrs":null') + "}\n"


def _number(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else "null"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value


class JsonReporter(Reporter):
    """Writes a record for everything that happens, in the thread where it happens."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._started = perf_counter()
        self._verdicts = VerdictWatch()
        self._line = _batch_line(())
        self._epochs: deque[int] = deque()
        """Those that have ended, and whose ranks were not told of yet."""

    def begin(self, session: Session) -> None:
        device, resumed_at = str(session.training.device), session.resumed_at
        self.write_start(session.info, session.latest(), device, resumed_at)

    def write_start(
        self, info: RunInfo, picture: Snapshot | None, device: str, resumed_at: int | None = None
    ) -> None:
        """A run begins."""
        from ..setup.metadata import versions

        self._line = _batch_line(info.groups)
        self._write(
            "run_start",
            preset=info.name,
            data=info.data,
            model=info.model,
            notes=self.notes,
            parameters=info.parameters,
            task=info.task,
            metric_name=info.metric_name,
            optimizer=info.optimizer,
            lr=None if picture is None else picture.lr,
            lrs=(dict(picture.lrs) or None) if picture is not None else None,
            batch_size=info.batch_size,
            epochs=info.epochs or None,
            batches_per_epoch=info.batches_per_epoch,
            seed=info.seed,
            device=device,
            threads=info.threads,
            amp=info.amp,
            compile=info.compile,
            early_stop=info.early_stop,
            min_delta=info.min_delta,
            settings=dict(info.settings) or None,
            versions=versions(),
            run=self.run_name or None,
            directory=self.place or None,
            resumed_at=resumed_at,
        )
        self.output.flush()
        self._started = perf_counter()

    def batch(
        self,
        epoch: int,
        batch: int,
        batches_done: int,
        loss: float,
        lr: float,
        lrs: tuple[float, ...] = (),
    ) -> None:
        # Written out: there are thousands a second, and json's encoder costs 10 µs more.
        loss_text, lr_text = _number(loss), _number(lr)
        numbers = (epoch, batch, batches_done, loss_text, lr_text, self._elapsed())
        self.output.write(self._line % (*numbers, *map(_number, lrs)))

    def epoch(self, summary: EpochSummary) -> None:
        self._epochs.append(summary.epoch)
        values = epoch_values(REPORT["epoch"], summary, elapsed=self._elapsed())
        self._write("epoch", **values)

    def change(self, change: Change) -> None:
        self._write("change", **change_values(change))

    def tick(self, session: Session) -> None:
        picture, verdicts = self._verdicts.look(session)
        if picture is not None:
            self._write_verdicts(picture, verdicts)
        super().tick(session)
        self._write_ranks()

    def held_up(self, text: str) -> None:
        self._write("ranks", **ranks_values(None, (), text))

    def _write_ranks(self, *, last: bool = False) -> None:
        """A record for each epoch that has ended, once it is known; `last` will not know more."""
        times = self.ranks.lap()
        while self._epochs and (times or last or not self.ranks.several):
            epoch = self._epochs.popleft()
            if self.ranks.several:
                values = ranks_values(epoch, times, who_waits(times))
                self._write("ranks", **values)

    def broke(self, report: BreakReport) -> None:
        batch = report.batch
        self._write(
            "break",
            condition=report.condition,
            values=dict(report.values),
            where=report.where,
            epoch=batch.epoch + 1,
            batch=batch.batch + 1,
            loss=batch.loss,
            features=[asdict(fact) for fact in batch.features],
            labels=[asdict(fact) for fact in batch.labels],
            outputs=[asdict(fact) for fact in batch.outputs],
            layers=[
                {
                    "name": row.name,
                    "type": row.kind,
                    "shapes": row.shapes,
                    "parameters": row.parameters,
                    "weight_norm": row.weight_norm,
                    "grad_norm": row.grad_norm,
                }
                for row in report.layers
            ],
        )

    def end(self, session: Session, ending: Ending) -> None:
        self._write_ranks(last=True)
        unkept = {} if session.saving is None else session.saving.unkept
        if self._builder is not None and self._builder.lost:
            unkept = UNKEPT_PARTS
        self.write_end(session.info, ending, str(session.training.device), unkept)

    def write_end(
        self, info: RunInfo, ending: Ending, device: str, unkept: Iterable[str] = ()
    ) -> None:
        """A run has ended."""
        last = ending.last
        self._write_verdicts(last, self._verdicts.new(info, last))
        values = outcome_values(info, last, last.saved)
        values |= {
            "outcome": ending.word,
            "line": values["line"] or None,
            "where": values["where"] or None,
            "val_metric": values["metrics"].get(info.metric_name),
            "best_val_metric": values["best_metric"],
            "device": device,
            "threads": info.threads,
            "directory": self.place or None,
            "saved": last.saved and last.saved.batches_done,
            "not_kept": list(unkept),
            "skipped_updates": last.skipped,
        }
        self._write("run_end", **{name: values[name] for name in REPORT["run_end"]})
        self.output.flush()

    def _write_verdicts(self, picture: Snapshot, verdicts: tuple[Verdict, ...]) -> None:
        self.alerts.judged(verdicts)
        for verdict in verdicts:
            self._write("verdict", batches_done=picture.batches_done, **asdict(verdict))

    def _elapsed(self) -> float:
        return round(perf_counter() - self._started, 6)

    def _write(self, kind: str, /, **fields: Any) -> None:
        self.output.write(line(kind, **fields))
