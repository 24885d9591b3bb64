"""What a person may ask of a run: it does so at its next gates, in order, and keeps a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from .faults import Fault


@dataclass(frozen=True, slots=True)
class Pause:
    """Hold before the next phase, inside a batch or a validation too."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on after a pause."""


@dataclass(frozen=True, slots=True)
class Advance:
    """Go on for one phase, one batch or one epoch, then pause."""

    unit: Literal["phase", "batch", "epoch"]


@dataclass(frozen=True, slots=True)
class SetSpeed:
    """Slow motion, in phases per second; None is full speed.

    Raises:
        ValueError: the speed is not above 0.
    """

    phases_per_second: float | None

    def __post_init__(self) -> None:
        if self.phases_per_second is not None and not 0 < self.phases_per_second < float("inf"):
            raise ValueError(f"speed must be above 0, not {self.phases_per_second}")


@dataclass(frozen=True, slots=True)
class ScaleLR:
    """Multiply the learning rate by hand, on top of whatever a schedule says.

    Raises:
        ValueError: the factor is not a number above 0.
    """

    factor: float

    def __post_init__(self) -> None:
        if not 0 < self.factor < float("inf"):
            raise ValueError(f"the factor must be above 0, not {self.factor}")


@dataclass(frozen=True, slots=True)
class SetLR:
    """Have the largest learning rate be this one now, and go on from there with the schedule.

    Raises:
        ValueError: it is not a number above 0.
    """

    lr: float

    def __post_init__(self) -> None:
        if not 0 < self.lr < float("inf"):
            raise ValueError(f"a learning rate must be above 0, not {self.lr}")


@dataclass(frozen=True, slots=True)
class Validate:
    """Validate now: at the next edge between two batches."""


@dataclass(frozen=True, slots=True)
class Save:
    """Save a checkpoint at the end of the batch under way."""

    due: bool = False
    """Nobody has asked: it is time for one."""


@dataclass(frozen=True, slots=True)
class GoBack:
    """In trouble (NaN, infinity): return to the last good checkpoint, with half the lr."""


@dataclass(frozen=True, slots=True)
class SetFault:
    """Break the loop on purpose, or mend it, from the next batch on."""

    fault: Fault
    on: bool


@dataclass(frozen=True, slots=True)
class Undo:
    """Mend everything that is broken on purpose, and go back to the state from before it was."""


@dataclass(frozen=True, slots=True)
class SetBreakpoints:
    """Hold whenever one of these conditions becomes true; see `protocol.conditions.parse`."""

    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Show:
    """What a face shows of the inside of a batch; what nobody looks at costs nothing."""

    layers: bool = False
    """The table of layers."""
    histograms: bool = False
    """How its weights and gradients are spread."""
    batch: bool = False
    """Shapes and types of the batch under way."""
    view: str | None = None
    """The name of a picture of what the model knows, "" for the most telling one; or one of
    `at_hand.AT_HAND`."""


@dataclass(frozen=True, slots=True)
class Note:
    """Put on record what a face has to tell of the run: its terminal is gone, say."""

    text: str


@dataclass(frozen=True, slots=True)
class Suspended:
    """The whole process was stopped by a signal (Ctrl+Z, SIGSTOP) and goes on: that time is none of
    training's.
    """

    seconds: float
    before: tuple[float, ...]
    """What the run's clock had counted before."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run after the batch, or the epoch, that is under way."""

    reason: str = "stopped by hand"
    after: Literal["batch", "epoch"] = "batch"


@dataclass(frozen=True, slots=True)
class KeepGoing:
    """Take back a stop that has not been reached yet."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A process that steers a run which another one trains."""

    user: str
    pid: int
    """0 where the system does not tell."""
    host: str

    @property
    def text(self) -> str:
        """For a person."""
        return f"{self.user}, process {self.pid}" if self.pid else self.user


@dataclass(frozen=True, slots=True)
class Sent:
    """A command from another process; what comes of it is recorded with who sent it."""

    command: Command
    by: Sender


Command = (
    Pause
    | Resume
    | Advance
    | SetSpeed
    | ScaleLR
    | SetLR
    | Validate
    | Save
    | GoBack
    | Note
    | Suspended
    | SetFault
    | Undo
    | SetBreakpoints
    | Show
    | Stop
    | KeepGoing
    | Sent
)

SPEEDS: Final[tuple[float | None, ...]] = (1.0, 2.0, 4.0, 10.0, 30.0, 100.0, 1000.0, None)
"""The speeds that "slower" and "faster" walk through, in phases per second."""
