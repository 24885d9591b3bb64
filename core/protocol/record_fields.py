"""The records of a run, for its files and for `--json`: fields in order, with meaning and unit.

A record's first field is always `type`, its kind. Numbers are never NaN or infinite: null stands
for them, and for what is not known.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from .diagnosis import Verdict
from .rank_times import RankTimes, slowest
from .snapshot import Change, EpochSummary, RunInfo, SavedCheckpoint, Snapshot

Fields = Mapping[str, str]
"""The fields of one kind of record, in order: what each means."""

_ELAPSED: Final = (
    "seconds since the run started, pauses included; in the log interruptions are left out"
)
_EPOCH: Final = "counted from 1"
_DONE: Final = "batches finished in the whole run"
_TIME: Final = "seconds since 1970"
_TEXT: Final = "what happened, for people"
_BEST: Final = ("best_metric", "best_epoch", "best_val_loss")

_LRS: Final = "by name, the learning rate of each parameter group; null or left out if there is one"

BATCH: Final[Fields] = {
    "epoch": _EPOCH,
    "batch": "counted from 1 in its epoch",
    "batches_done": _DONE,
    "loss": "mean loss over the samples of the batch, before its update",
    "lr": "learning rate that its update used, the largest of all parameter groups",
    "elapsed": _ELAPSED,
    "lrs": _LRS,
}
WINDOW: Final[Fields] = {
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
    "lrs": _LRS,
    "partial": "true where the run ended inside the window; else left out",
}
EPOCH: Final[Fields] = {
    "epoch": _EPOCH,
    "batches": "batches of this epoch",
    "batches_done": _DONE,
    "train_loss": "sum of the batches' losses over their number",
    "val_loss": "mean loss over the validation samples; null without validation",
    "val_metric": "the task's own metric on the validation samples",
    "metrics": "every validation metric by name; of a classification balanced_accuracy, f1 (both "
    "means over the classes) and majority_share, the share of the largest class, too",
    "best_metric": "best val_metric over all epochs so far",
    "best_epoch": "the epoch that reached it, counted from 1",
    "best_val_loss": "lowest val_loss over all epochs so far",
    "seconds": "training and validation time of this epoch, pauses left out",
    "batches_per_second": "training batches a second, validation left out",
    "lr": "learning rate after the epoch's last batch",
    "lrs": _LRS,
    "elapsed": _ELAPSED,
}
CHANGE: Final[Fields] = {
    "time": _TIME,
    "epoch": _EPOCH,
    "batches_done": _DONE,
    "kind": "what a person changed (stop, lr, pause, resume, advance, speed, validate, switch, "
    "breakpoints, asked), or what the run tells of itself (break, compile, model, replay, resumed, "
    "rewind, save, schedule, suspended, warning)",
    "text": _TEXT,
    "by": "user, pid and host of the process that asked for it, if another one did; else null",
    "switches": "all that is wrong with the loop on purpose from here on, a list; null where the "
    "change says nothing of it",
}
LOST: Final[Fields] = {
    "records": "records missing here because the disk took none (it was full, say)",
}

CRC: Final = 'CRC-32 of the line\'s bytes before `,"crc"`, 8 hexadecimal digits'
"""What `crc` means, the last field of every record in a file."""
METRICS: Final[Mapping[str, Fields]] = {
    "batch": BATCH,
    "window": WINDOW,
    "epoch": EPOCH,
    "lost": LOST,
}
"""Records of metrics.jsonl, in the order of `batches_done`."""
EVENTS: Final[Mapping[str, Fields]] = {
    "change": CHANGE,
    "lost": LOST,
}
"""Records of events.jsonl, in the order of their time; a kind may carry further fields."""

REPORT: Final[Mapping[str, Fields]] = {
    "run_start": {
        "preset": "name of the recipe",
        "data": "the data set, in words",
        "model": "name of the model",
        "notes": "how a table of one's own was read, in words; a list of lines",
        "parameters": "how many numbers the model can learn; null while lazy layers wait",
        "task": "classification, regression or language-model",
        "metric_name": "the validation metric: accuracy (0 to 1), r2 (at most 1) or perplexity",
        "optimizer": "name of the optimizer",
        "lr": "learning rate of the first update",
        "lrs": _LRS,
        "batch_size": "samples per batch",
        "epochs": "epochs to train",
        "batches_per_epoch": "batches per epoch; null if not known beforehand",
        "seed": "seed of the weights, the order of the batches, and dropout",
        "device": "torch's name of the device, such as cpu or cuda:0",
        "threads": "threads that torch computes with",
        "amp": "mixed precision: bf16 or fp16; null is off",
        "compile": "whether the model is compiled",
        "early_stop": "validations in a row without a better one, after which it ends; null is off",
        "min_delta": "by how much one has to be better to count for that",
        "settings": "parameters of a file's training() with their values; null without any",
        "versions": "of fivestep, python, torch and numpy",
        "run": "name of the run among those that are kept; null if nothing is kept",
        "directory": "where it is kept",
        "resumed_at": "batches done in the checkpoint that it goes on from; null for a new run",
    },
    "batch": BATCH,
    "epoch": {name: meaning for name, meaning in EPOCH.items() if name not in _BEST},
    "ranks": {
        "epoch": "counted from 1; null where it is told that a rank holds the others up",
        "slowest": "the rank that the others wait for, or would; null before that is known",
        "ranks": "of each process since the last such record: its rank, host and process, "
        "batches_done, step (running as it was asked last), seconds a batch, the share of them "
        "that it waits for data (data_share), and for other ranks (waits_share, inferred)",
        "text": "who waits for whom, in words",
    },
    "change": CHANGE,
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
        "condition": "the breakpoint that has ended the run (exit code 3); empty for a batch that "
        "`replay --at` names",
        "values": "the numbers that it names, by name",
        "where": "epoch, batch, and the step about to be taken",
        "epoch": _EPOCH,
        "batch": "the batch under way, or to come, counted from 1 in its epoch",
        "loss": "of the newest batch; null before it is computed, or if not finite",
        "features": "each tensor's path (empty if it is the only one), dtype and shape",
        "labels": "the same",
        "outputs": "the same; empty before the forward pass",
        "layers": "name, type and shapes of each layer, parameters, weight_norm and grad_norm "
        "(null without any)",
    },
    "run_end": {
        "outcome": "finished, stopped, failed or interrupted (by a signal)",
        "reason": "why, in one line",
        "line": "for a failure: the innermost line of a person's own code; else null",
        "where": "for a failure: epoch, batch and phase; else null",
        "epochs": "epochs finished",
        "batches": _DONE,
        "train_loss": "of the last finished epoch; before that, of the batches so far",
        "val_loss": "latest",
        "val_metric": "latest",
        "metric_name": "as in run_start",
        "metrics": "latest, every one by name",
        "best_val_metric": "best over all epochs",
        "best_epoch": "the epoch that reached it, counted from 1",
        "seconds": _ELAPSED,
        "device": "as in run_start",
        "threads": "as in run_start",
        "directory": "where it is kept: elsewhere than in run_start if somebody has moved it",
        "saved": "batches done in the newest checkpoint; null if there is none",
        "not_kept": "what of the run is not on the disk: checkpoint, log, outcome (exit code 4)",
        "skipped_updates": "updates that fp16's GradScaler left out, their gradients not finite",
        "switches": "what was wrong with the loop on purpose, and not undone, by name",
        "undone": "what was, until it was taken back: its switches, its first and its last batch",
    },
}
"""Records of `--json`, in the order in which a run writes them."""

RUN: Final[Fields] = {
    "format": "of the run directory: 1; goes up when an older fivestep could misread it",
    "name": "of the run",
    "preset": "what is trained: a recipe's name, or the file's",
    "kind": "recipe, file, or loop: a person's own, under fivestep.watch",
    "file": "path and sha256 of a person's own Python file, and the sha256 of the modules that it "
    "imports from its folder and the working folder; null for a recipe, or if there is none",
    "recipe": "the resolved recipe with dotted keys; left out for a file or loop",
    "changes": "what the command line changed of a file; left out for a recipe or loop",
    "command": "the command line that trains the same again, under a name and in a folder of its "
    "own; null in a notebook",
    "started": _TIME,
    "cwd": "the working folder",
    "git": "its commit, 40 or 64 hexadecimal digits; null where there is none",
    "versions": "of fivestep, python, torch and numpy",
    "device": "torch's name of the device",
    "threads": "threads that torch computes with",
    "amp": "bf16 or fp16; null is off",
    "compile": "whether the model is compiled",
    "epochs": "epochs to train; null for a loop, which alone knows",
    "data": "the data set, in words",
    "model": "name of the model",
    "parameters": "trainable parameters; null while lazy layers wait",
    "metric_name": "the task's own metric",
    "higher_is_better": "of that metric",
    "optimizer": "name of the optimizer",
    "seed": "null if there is none",
    "settings": "parameters of a file's training() with their values; null without any",
    "info": "what does not change while it goes on, as the screen shows it",
    "resumes": "one entry each time it was resumed: time, batches_done, fivestep",
    "ranks": "processes that train it, since it was resumed last",
    "together": "processes that it began with: so many batches of a process are one of the run",
    "torchrun": "host, number and start of the torchrun that began it; null without one",
}
"""run.json: what the run is."""
RUN_FORMAT: Final = 1
RUN_KINDS: Final[Mapping[str, Any]] = (
    dict.fromkeys(("name", "preset", "kind", "command", "cwd", "device", "amp", "data"), str)
    | dict.fromkeys(("model", "metric_name", "optimizer"), str)
    | dict.fromkeys(("format", "threads", "epochs", "parameters", "seed", "ranks"), int)
    | {"together": int, "torchrun": str}
    | dict.fromkeys(("recipe", "changes", "versions", "settings", "info"), dict)
    | dict.fromkeys(("compile", "higher_is_better"), bool)
    | {
        "file": {"path": str, "sha256": str, "modules": dict},
        "git": {"commit": str},
        "started": float,
        "resumes": [dict],
    }
)
"""Of which kind its fields are, as `storage.files.read_fields` checks them."""
OUTCOME: Final[Fields] = {
    "state": "finished, stopped, failed or interrupted",
    "reason": "why, in one line",
    "line": "for a failure: the innermost line of a person's own code, data.py:34 in __getitem__",
    "where": "for a failure: epoch, batch and phase",
    "advice": "for a failure: what to try",
    "epochs": "epochs finished",
    "batches": _DONE,
    "train_loss": "of the last finished epoch; before that, of the batches so far",
    "val_loss": "latest",
    "metrics": "latest validation metrics by name",
    "metric_name": "the task's own metric",
    "best_metric": "its best value over all epochs",
    "best_epoch": "the epoch that reached it, counted from 1",
    "best_val_loss": "lowest val_loss over all epochs",
    "switches": "what was wrong with the loop on purpose, and not undone, by name",
    "undone": "what was, until it was taken back: its switches, its first and its last batch",
    "saved": "batches_done and time of the newest checkpoint; null if there is none",
    "seconds": "from the start to the end, pauses included",
    "ended": _TIME,
    "verdicts": "what was wrong with the run at its end: rule, severity, what, why and next of "
    "each; null where nobody has judged it",
}
"""outcome.json: how the run ended. It is not there while the run goes on."""
NOTIFY: Final[Fields] = {
    "text": "run and outcome in a line, for people",
    "run": "name of the run among those that are kept; null if nothing is kept",
    "preset": "what was trained: a recipe's name, or the file's",
    "directory": "where it is kept; null if nothing is",
    **OUTCOME,
}
"""What `--notify` gives to a command."""
UNDONE: Final[Mapping[str, Any]] = {"switches": [str], "first": int, "last": int}
OUTCOME_KINDS: Final[Mapping[str, Any]] = (
    dict.fromkeys(("state", "reason", "line", "where", "advice", "metric_name"), str)
    | dict.fromkeys(("train_loss", "val_loss", "best_metric", "best_val_loss"), float)
    | dict.fromkeys(("epochs", "batches", "best_epoch"), int)
    | dict.fromkeys(("seconds", "ended"), float)
    | {
        "metrics": dict,
        "switches": [str],
        "undone": [UNDONE],
        "verdicts": [dict.fromkeys(("rule", "severity", "what", "why", "next"), str)],
        "saved": {"batches_done": int, "time": float},
    }
)
"""Of which kind its fields are."""


def epoch_values(fields: Fields, summary: EpochSummary, **others: Any) -> dict[str, Any]:
    """What the record of a finished epoch says, by field: `EPOCH` or `REPORT["epoch"]`.

    Args:
        fields: which, in order.
        summary: the epoch.
        others: what the summary does not know.
    """
    metrics = dict(summary.metrics)
    values = asdict(summary) | {"val_metric": summary.val_metric, "metrics": metrics} | others
    values["lrs"] = dict(summary.lrs) or None
    return {name: values[name] for name in fields}


def ranks_values(epoch: int | None, times: tuple[RankTimes, ...], text: str) -> dict[str, Any]:
    """What the record of the processes that train one model says, by field."""
    last = slowest(times)
    ranks = [
        {
            "rank": one.now.rank,
            "host": one.now.host,
            "process": one.now.process,
            "batches_done": one.now.batches_done,
            "step": one.now.step.info.name,
            "seconds": one.seconds,
            "data_share": one.data_share,
            "waits_share": one.waits_share,
        }
        for one in times
    ]
    number = None if last is None else last.now.rank
    return {"epoch": epoch, "slowest": number, "ranks": ranks, "text": text}


def change_values(change: Change) -> dict[str, Any]:
    """What the record of a change says, by field."""
    values = asdict(change) | {"batches_done": change.batch, "switches": change.faults}
    return {name: values[name] for name in CHANGE}


STATUS: Final[Fields] = {
    "run": "its own name, that of its folder",
    "name": "of the recipe",
    "state": "loading, running, paused, validating, finished, stopped or failed",
    "step": "the phase that is next",
    "epoch": _EPOCH,
    "epochs": "epochs to train; 0 if only the loop knows",
    "batch": "the one under way or next, counted from 1 in its epoch; the last one in validation",
    "batches_done": _DONE,
    "loss": "of the last finished batch",
    "epoch_loss": "mean so far in this epoch",
    "val_loss": "latest",
    "metrics": "latest validation metrics by name",
    "lr": "what the optimizer uses, the largest of all parameter groups",
    "lr_factor": "what of that is by hand: the schedule's value times this",
    "speed": "slow motion in steps a second; null is full speed",
    "stopping": "batch or epoch once a stop is asked for; else null",
    "trouble": "what the run waits to be answered for; null if it does not",
    "elapsed": "seconds since the run started, pauses included",
    "eta": "seconds left at the present pace; null if it can't be known",
    "saved": "batches done in the newest checkpoint; null if there is none",
}
"""What `fivestep ctl NAME status --json` prints."""


def batch_at(info: RunInfo, now: Snapshot) -> int:
    """The batch of its epoch that a run is at, counted from 1: the one under way or next, or the
    last one where none of the epoch is left.
    """
    length = now.batches_per_epoch or info.batches_per_epoch
    return now.batch + 1 if length is None else min(now.batch + 1, length)


def status_values(run: str, info: RunInfo, now: Snapshot) -> dict[str, Any]:
    """What a run of this name is doing, by field of `STATUS`."""
    values = {name: getattr(now, name, None) for name in STATUS} | {
        "run": run,
        "name": info.name,
        "state": str(now.state),
        "step": now.step.info.name,
        "epochs": info.epochs,
        "batch": batch_at(info, now),
        "metrics": {name: finite(value) for name, value in now.metrics},
        "trouble": None if now.trouble is None else now.trouble.reason,
        "saved": None if now.saved is None else now.saved.batches_done,
    }
    return {name: finite(value) for name, value in values.items()}


def finite(value: Any) -> Any:
    """The value as strict JSON takes it: None for NaN and infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def outcome_values(
    info: RunInfo,
    last: Snapshot,
    saved: SavedCheckpoint | None,
    verdicts: Iterable[Verdict] | None = None,
) -> dict[str, Any]:
    """What outcome.json says of a run that has just ended, by field.

    Args:
        info: of the run.
        last: its last picture.
        saved: its newest checkpoint.
        verdicts: on that picture; None where nobody has judged it.
    """
    outcome, done = last.outcome, last.last
    assert outcome is not None
    return {
        "state": str(outcome.state),
        "reason": outcome.reason,
        "line": outcome.line,
        "where": outcome.where,
        "advice": outcome.advice,
        "epochs": done.epoch if done is not None else 0,
        "batches": last.batches_done,
        "train_loss": done.train_loss if done is not None else last.epoch_loss,
        "val_loss": last.val_loss,
        "metrics": dict(last.metrics),
        "metric_name": info.metric_name,
        "best_metric": last.best_metric and last.best_metric.value,
        "best_epoch": last.best_metric and last.best_metric.epoch,
        "best_val_loss": last.best_val_loss and last.best_val_loss.value,
        "switches": [str(fault) for fault in last.faults_so_far],
        "undone": [one.record for one in last.undone],
        "saved": saved and asdict(saved),
        "seconds": last.elapsed,
        "ended": time.time(),
        "verdicts": None if verdicts is None else [asdict(one) for one in verdicts],
    }


def template(kind: str, fields: Iterable[str], formats: Sequence[str]) -> str:
    """A record without its closing brace, to be filled in with `%`: faster than an encoder.

    Args:
        kind: of record.
        fields: of that kind, in order.
        formats: how each is written, such as "%d"; fields behind the last of them are left out.
    """
    pairs = zip(fields, formats, strict=False)
    return f'{{"type":"{kind}",' + ",".join(f'"{name}":{how}' for name, how in pairs)


def groups_template(groups: Sequence[str], how: str) -> str:
    """The field `lrs` behind a `template`, each number written in one way; "" where there is only
    one parameter group.
    """
    names = [json.dumps(name).replace("%", "%%") for name in groups]
    return f',"lrs":{{{",".join(f"{name}:{how}" for name in names)}}}' if names else ""
