"""What the files of a run directory hold: every kind of record with its fields and their units."""

from __future__ import annotations

from typing import Final

_ELAPSED: Final = "seconds since the run started, pauses included, interruptions left out"
_EPOCH: Final = "counted from 1"
_BATCH: Final = "counted from 1 in its epoch"
_DONE: Final = "batches finished in the whole run"
_TIME: Final = "seconds since 1970"
_TEXT: Final = "what happened, for people"
_CRC: Final = 'CRC-32 of the line\'s bytes before `,"crc"`, 8 hexadecimal digits; always last'

METRICS_FIELDS: Final[dict[str, dict[str, str]]] = {
    "batch": {
        "epoch": _EPOCH,
        "batch": _BATCH,
        "batches_done": _DONE,
        "loss": "mean loss over the samples of the batch, before its update",
        "lr": "learning rate that its update used",
        "elapsed": _ELAPSED,
        "crc": _CRC,
    },
    "window": {
        "epoch": "of the window's last batch, counted from 1",
        "batch": "the window's last batch, counted from 1 in its epoch",
        "batches_done": "batches finished in the whole run, the window's last one included",
        "batches": "batches in the window",
        "loss_min": "smallest loss of its batches; null if none was finite",
        "loss_mean": "mean of its batches' finite losses; null if none was finite",
        "loss_max": "largest finite loss of its batches; null if none was finite",
        "bad": "how many of its batches' losses were NaN or infinite",
        "lr": "learning rate of the window's last batch",
        "elapsed": _ELAPSED,
        "partial": "true where the run ended inside the window; else left out",
        "crc": _CRC,
    },
    "epoch": {
        "epoch": _EPOCH,
        "batches": "batches of this epoch",
        "batches_done": _DONE,
        "train_loss": "sum of the batches' losses over their number",
        "val_loss": "mean loss over the validation samples; null without validation",
        "val_metric": "the task's own metric on the validation samples",
        "metrics": "every validation metric by name",
        "best_metric": "best val_metric over all epochs so far",
        "best_epoch": "the epoch that reached it, counted from 1",
        "best_val_loss": "lowest val_loss over all epochs so far",
        "seconds": "training and validation time of this epoch, pauses left out",
        "batches_per_second": "training batches a second, validation left out",
        "lr": "learning rate after the epoch's last batch",
        "elapsed": _ELAPSED,
        "crc": _CRC,
    },
    "lost": {
        "records": "records missing here because the disk took none (it was full, say)",
        "crc": _CRC,
    },
}
"""Records of metrics.jsonl, in the order of `batches_done`. The kind is in the field `type`."""

EVENTS_FIELDS: Final[dict[str, dict[str, str]]] = {
    "change": {
        "time": _TIME,
        "epoch": _EPOCH,
        "batches_done": _DONE,
        "kind": "what a person changed (stop, lr, pause, resume, speed, validate, switch, "
        "breakpoints), or what the run tells of itself (break, compile, resumed, rewind, save, "
        "warning)",
        "text": _TEXT,
        "crc": _CRC,
    },
    "resume": {
        "time": _TIME,
        "batches_done": "the batch after which the run goes on; what came later is trained again",
        "text": _TEXT,
        "crc": _CRC,
    },
    "rewind": {
        "time": _TIME,
        "batches_done": "the batch that the run went back to",
        "text": _TEXT,
        "crc": _CRC,
    },
    "save": {
        "time": _TIME,
        "batches_done": "the batch after which the checkpoint was taken",
        "text": _TEXT,
        "crc": _CRC,
    },
    "warning": {"time": _TIME, "batches_done": _DONE, "text": _TEXT, "crc": _CRC},
    "end": {"time": _TIME, "batches_done": _DONE, "text": _TEXT, "crc": _CRC},
    "lost": METRICS_FIELDS["lost"],
}
"""Records of events.jsonl, in the order of their time; a kind may carry further fields."""
