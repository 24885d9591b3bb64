"""What the lines for programs hold: every kind of record with its fields and their units."""

from __future__ import annotations

from typing import Final

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
