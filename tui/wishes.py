"""What somebody wants kept of a run, and where."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

VARIABLE: Final = "FIVESTEP_RUNS"
"""The environment variable that says where runs are kept."""
FOLDER: Final = "runs"


def runs_folder(said: str | None = None) -> Path:
    """Where runs are kept: as said, else as the environment says, else `runs` right here."""
    return Path(said or os.environ.get(VARIABLE) or FOLDER)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody wants kept of a run, and what to do when NaN comes."""

    folder: Path
    name: str | None = None
    """Of the run; None makes one from the time and the preset."""
    keeps: bool = True
    seconds: float = 30.0
    """Between two checkpoints."""
    epochs: int | None = None
    """One checkpoint is kept for good every so many epochs."""
    on_nan: Literal["stop", "rollback"] | None = None
    """None lets the face choose: a screen asks."""


NOTHING: Final = Wishes(Path(FOLDER), keeps=False)
"""Keeps nothing."""
