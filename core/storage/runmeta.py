"""What run.json and outcome.json hold. Whoever reads them must not rely on it: people edit."""

from __future__ import annotations

from typing import Any, Final, NotRequired, TypedDict

FORMAT: Final = 1
"""Of the run directory; goes up when an older fivestep could misread it."""


class OwnFile(TypedDict):
    """A person's own Python file."""

    path: str
    sha256: str
    """64 hexadecimal digits."""


class Git(TypedDict):
    """The state of the working folder."""

    commit: str
    """40 or 64 hexadecimal digits."""
    dirty: NotRequired[bool]
    """Whether files differ from that commit; left out where only git itself could tell."""


class Meta(TypedDict):
    """run.json: what the run is."""

    format: int
    name: str
    preset: str
    kind: str
    """recipe or file."""
    file: OwnFile | None
    command: str
    """The command line that started it."""
    started: float
    """Seconds since 1970."""
    epochs: int
    """Epochs to train."""
    metric_name: str
    higher_is_better: bool
    parameters: int
    """Trainable parameters."""
    seed: int | None
    device: str
    threads: int
    versions: dict[str, str]
    git: Git | None
    cwd: str
    resumes: list[dict[str, Any]]
    """One entry each time it was gone on with."""
    data: Any


class Ended(TypedDict):
    """outcome.json: how the run ended. It is not there while it goes on."""

    state: str
    """finished, stopped, failed or interrupted."""
    reason: str
    where: str
    advice: str
    epochs: int
    """Epochs finished."""
    batches: int
    """Batches finished."""
    train_loss: float | None
    val_loss: float | None
    metrics: dict[str, float]
    best_metric: float | None
    best_epoch: int | None
    """Counted from 1."""
    best_val_loss: float | None
    seconds: float
    """From the start to the end, pauses included."""
    ended: float
    """Seconds since 1970."""


ENDINGS: Final = ("finished", "stopped", "failed", "interrupted")
"""What `Ended.state` may be."""
