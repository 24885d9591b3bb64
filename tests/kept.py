"""Runs that look as if they had been trained: their files, in a moment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fivestep.core.storage.log_file import line


def keep(
    folder: Path,
    name: str,
    losses: Sequence[float | None],
    *,
    per_epoch: int = 4,
    lr: float = 0.1,
    meta: Mapping[str, Any] | None = None,
    outcome: Mapping[str, Any] | None = None,
    events: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """A run of batches with these losses; an epoch's validation is the loss of its last batch."""
    path = folder / name
    path.mkdir(parents=True)
    about = {"name": name, "preset": "fake", "kind": "recipe", "started": 1.8e9, "epochs": 2}
    about |= {"metric_name": "accuracy", "higher_is_better": True, "command": "fivestep train fake"}
    about |= {"recipe": {"seed": 0, "optimizer.lr": lr}}
    (path / "run.json").write_text(json.dumps(about | dict(meta or {})))
    (path / "recipe.toml").write_text("")
    lines, best = [], None
    for i, loss in enumerate(losses):
        done, epoch, batch = i + 1, i // per_epoch + 1, i % per_epoch + 1
        at = {"epoch": epoch, "batch": batch, "batches_done": done}
        lines.append(line({"type": "batch"} | at | {"loss": loss, "lr": lr, "elapsed": done / 10}))
        if batch == per_epoch and loss is not None:
            metrics = {"accuracy": 1 - loss, "val_loss": loss}
            best = max(best or 0.0, 1 - loss)
            lines.append(
                line(
                    {"type": "epoch", "epoch": epoch, "batches": per_epoch, "batches_done": done}
                    | {"train_loss": loss, "val_loss": loss, "val_metric": 1 - loss}
                    | {"metrics": metrics, "best_metric": best, "best_epoch": epoch}
                    | {"lr": lr, "elapsed": done / 10, "seconds": 0.4, "batches_per_second": 10.0}
                )
            )
    (path / "metrics.jsonl").write_bytes(b"".join(lines))
    (path / "events.jsonl").write_bytes(b"".join(map(line, events)))
    ended = {"state": "finished", "reason": "2 epochs trained", "epochs": 2}
    ended |= {"batches": len(losses), "best_metric": best, "best_epoch": 2, "ended": 1.8e9 + 60}
    (path / "outcome.json").write_text(json.dumps(ended | dict(outcome or {})))
    return path
