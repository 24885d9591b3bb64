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
from .reporter import Ending, Reporter, VerdictWatch

if TYPE_CHECKING:
    from ...core.protocol.diagnosis import Verdict
    from ...core.protocol.snapshot import Change, EpochSummary, Snapshot
    from ...core.session.breakpoints import BreakReport
    from ...core.session.session import Session

_ELAPSED: Final = "seconds since the run started, pauses included"
_EPOCH: Final = "counted from 1"
_DONE: Final = "batches finished in the whole run"

FIELDS: Final[dict[str, dict[str, str]]] = {
    "run_start": {
        "preset": "name of the recipe",
        "data": "the data set, in words",
        "model": "name of the model",
        "parameters": "how many numbers the model can learn",
        "task": "classification, regression or language-model",
        "metric_name": "the validation metric: accuracy (0 to 1), r2 (at most 1) or perplexity",
        "optimizer": "name of the optimizer",
        "lr": "learning rate of the first update",
        "batch_size": "samples per batch",
        "epochs": "epochs to train",
        "batches_per_epoch": "batches per epoch; null if not known beforehand",
        "seed": "seed of the weights, the order of the batches, and dropout",
        "device": "torch's name of the device, such as cpu or cuda:0",
        "threads": "threads that torch computes with",
        "amp": "mixed precision: bf16 or fp16; null is off",
        "compile": "whether the model is compiled",
        "versions": "of fivestep, python, torch and numpy",
        "run": "name of the run among those that are kept; null if nothing is kept",
        "directory": "where it is kept",
        "resumed_at": "batches done in the checkpoint that it goes on from; null for a new run",
    },
    "batch": {
        "epoch": _EPOCH,
        "batch": "counted from 1 in its epoch",
        "batches_done": _DONE,
        "loss": "mean loss over the samples of the batch, before its update",
        "lr": "learning rate that its update used",
        "elapsed": _ELAPSED,
    },
    "epoch": {
        "epoch": _EPOCH,
        "batches": "batches of this epoch",
        "batches_done": _DONE,
        "train_loss": "sum of the batches' losses over their number",
        "val_loss": "mean loss over the validation samples; null without validation",
        "val_metric": "the metric of run_start on the validation samples",
        "metrics": "every validation metric by name",
        "seconds": "training and validation time of this epoch, pauses left out",
        "batches_per_second": "training batches a second, validation left out",
        "lr": "learning rate after the epoch's last batch",
        "elapsed": _ELAPSED,
    },
    "change": {
        "time": "seconds since 1970",
        "epoch": _EPOCH,
        "batches_done": _DONE,
        "kind": "what was changed (stop, lr, pause, resume, speed, validate, switch, "
        "breakpoints), or what the run tells of itself (break, compile, resumed, rewind, save, "
        "warning)",
        "text": "the same for people",
    },
    "verdict": {
        "batches_done": _DONE,
        "rule": "what it is called, such as overfitting; each comes at most once",
        "severity": "note (it could be better), warning (it does not learn as it should) or "
        "danger (it can't)",
        "what": "what is wrong, in a line",
        "why": "what it is seen by, and what that means",
        "next": "what to try",
    },
    "break": {
        "condition": "the breakpoint that has ended the run (exit code 3)",
        "values": "the numbers that it names, by name",
        "where": "epoch, batch, and the step about to be taken",
        "epoch": _EPOCH,
        "batch": "the batch under way, or to come, counted from 1 in its epoch",
        "loss": "of the newest batch; null before it is computed, or if not finite",
        "features": "each tensor's path (empty if it is the only one), dtype and shape",
        "labels": "the same",
        "outputs": "the same; empty before forward",
        "layers": "name, type and shapes of each layer, parameters, weight_norm and grad_norm "
        "(null without any)",
    },
    "run_end": {
        "outcome": "finished, stopped, failed or interrupted (by a signal)",
        "reason": "why, in one line",
        "where": "for a failure: epoch, batch and phase; else null",
        "epochs": "epochs finished",
        "batches": _DONE,
        "train_loss": "of the last finished epoch; before that, of the batches so far",
        "val_loss": "latest",
        "val_metric": "latest",
        "metric_name": "as in run_start",
        "best_val_metric": "best over all epochs",
        "best_epoch": "the epoch that reached it, counted from 1",
        "seconds": _ELAPSED,
        "device": "as in run_start",
        "threads": "as in run_start",
        "saved": "batches done in the newest checkpoint; null if there is none",
        "skipped_updates": "updates that fp16's GradScaler left out, their gradients not finite",
        "switches": "what was wrong with the loop on purpose at any time, by name",
    },
}
"""Every kind of record with its fields. The kind itself is in the field `type`, always first."""


__all__ = ["FIELDS", "JsonReporter", "line", "versions"]

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


class JsonReporter(Reporter):
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
            switches=[str(fault) for fault in last.faults_so_far],
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
