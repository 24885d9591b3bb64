"""Lines for programs: one JSON object a line, described by `jsonfields.FIELDS`.

Numbers are never NaN or infinite: null stands for them, and for what is not known.
"""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from ... import __version__
from ..terminal.output import Output
from .jsonfields import FIELDS
from .reporter import Ending, Face
from .verdict_watch import VerdictWatch

if TYPE_CHECKING:
    from ...core.protocol.diagnosis import Verdict
    from ...core.protocol.snapshot import Change, EpochSummary, Snapshot
    from ...core.session.breakpoints import BreakReport
    from ...core.session.session import Session

__all__ = ["FIELDS", "JsonLines", "line", "versions"]

_encode: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def line(kind: str, /, **fields: Any) -> str:
    """One record as a line of JSON."""
    return _encode({"type": kind} | {key: _plain(value) for key, value in fields.items()}) + "\n"


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


class JsonLines(Face):
    """Writes a record for everything that happens, in the thread where it happens."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._started = perf_counter()
        self._verdicts = VerdictWatch()

    def begin(self, session: Session) -> None:
        info = session.info
        picture = session.latest()
        self._tell(
            "run_start",
            preset=info.name,
            data=info.data,
            model=info.model,
            parameters=info.parameters,
            task=info.task,
            metric_name=info.metric_name,
            optimizer=info.optimizer,
            lr=None if picture is None else picture.lr,
            batch_size=info.batch_size,
            epochs=info.epochs,
            batches_per_epoch=info.batches_per_epoch,
            seed=info.seed,
            device=str(session.training.device),
            threads=info.threads,
            amp=info.amp,
            compile=info.compile,
            versions=versions(),
            run=self.run_name or None,
            directory=self.place or None,
            resumed_at=session.resumed_at,
        )
        self.output.flush()
        self._started = perf_counter()

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        # Written out: there are thousands a second, and json's encoder costs 10 µs more.
        self.output.write(
            f'{{"type":"batch","epoch":{epoch},"batch":{batch},"batches_done":{batches_done},'
            f'"loss":{_number(loss)},"lr":{_number(lr)},"elapsed":{self._elapsed()}}}\n'
        )

    def epoch(self, summary: EpochSummary) -> None:
        self._tell(
            "epoch",
            epoch=summary.epoch,
            batches=summary.batches,
            batches_done=summary.batches_done,
            train_loss=summary.train_loss,
            val_loss=summary.val_loss,
            val_metric=summary.val_metric,
            metrics=dict(summary.metrics),
            seconds=summary.seconds,
            batches_per_second=summary.batches_per_second,
            lr=summary.lr,
            elapsed=self._elapsed(),
        )

    def change(self, change: Change) -> None:
        self._tell(
            "change",
            time=change.time,
            epoch=change.epoch,
            batches_done=change.batch,
            kind=change.kind,
            text=change.text,
        )

    def tick(self, session: Session) -> None:
        picture, verdicts = self._verdicts.look(session)
        if picture is not None:
            self._tell_verdicts(picture, verdicts)
        super().tick(session)

    def broke(self, report: BreakReport) -> None:
        batch = report.batch
        self._tell(
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
        self._tell_verdicts(ending.last, self._verdicts.judge(session.info, ending.last))
        info, last = session.info, ending.last
        done, best = last.last, last.best_metric
        metrics = dict(last.metrics)
        self._tell(
            "run_end",
            outcome=ending.word,
            reason=ending.outcome.reason,
            where=ending.outcome.where or None,
            epochs=done.epoch if done is not None else 0,
            batches=last.batches_done,
            train_loss=done.train_loss if done is not None else last.epoch_loss,
            val_loss=last.val_loss,
            val_metric=metrics.get(info.metric_name),
            metric_name=info.metric_name,
            best_val_metric=None if best is None else best.value,
            best_epoch=None if best is None else best.epoch,
            seconds=last.elapsed,
            device=str(session.training.device),
            threads=info.threads,
            saved=None if last.saved is None else last.saved.batches_done,
            skipped_updates=last.skipped,
            switches=[str(switch) for switch in last.switched],
        )
        self.output.flush()

    def _tell_verdicts(self, picture: Snapshot, verdicts: tuple[Verdict, ...]) -> None:
        for verdict in verdicts:
            self._tell("verdict", batches_done=picture.batches_done, **asdict(verdict))

    def _elapsed(self) -> float:
        return round(perf_counter() - self._started, 6)

    def _tell(self, kind: str, /, **fields: Any) -> None:
        self.output.write(line(kind, **fields))


def versions() -> dict[str, str]:
    """What computes: versions by name."""
    import numpy
    import torch

    return {
        "fivestep": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
    }
