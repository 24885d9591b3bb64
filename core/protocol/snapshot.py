"""What a face may know of a run: frozen pictures of numbers and tuples, never tensors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from .commands import Sender
from .diagnosis import VerdictInputs
from .faults import Fault, Undone
from .inside import Inside
from .learners import LearnerFacts
from .parameter_groups import GroupLrs
from .steps import State, Step, TaskName

NOTHING_SHOWN: Final = Inside()


class Certainty(StrEnum):
    """How surely something is known."""

    EXACT = "exact"
    INFERRED = "inferred"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What does not change while a run goes on."""

    name: str
    data: str
    model: str
    parameters: int | None
    """Trainable parameters; None while lazy layers wait for the first batch."""
    task: TaskName | Literal["custom"]
    metric_name: str
    """Name of the validation metric, such as "accuracy"."""
    higher_is_better: bool
    optimizer: str
    scheduler: str | None
    batch_size: int | None
    epochs: int
    """0 where only the loop itself knows: one of a person's own."""
    batches_per_epoch: int | None
    """None where the loader cannot tell."""
    validation_batches: int | None
    """None without validation data, or where the loader cannot tell."""
    device: str
    threads: int
    seed: int | None
    validates: bool = True
    """Whether there is validation data."""
    exact_clock: bool = True
    """False where phases are queued work (CUDA, MPS): what runs *now* is what is being queued."""
    phases: tuple[Certainty, ...] = (Certainty.EXACT,) * len(Step)
    """How surely each phase's time is known, one entry a Step."""
    loss: Certainty = Certainty.EXACT
    """Unknown where a person's own loop keeps it to itself: losses are None or NaN there."""
    amp: str | None = None
    """Mixed precision: bf16 or fp16; None is off."""
    compile: bool = False
    """Whether the model is compiled."""
    groups: tuple[str, ...] = ()
    """The names of the optimizer's parameter groups, where there are several."""
    settings: tuple[tuple[str, Any], ...] = ()
    """The parameters of a file's `training()`, with their values: plain ones, or in words."""
    criterion: str = ""
    """Its name, such as "CrossEntropyLoss"; "" where nobody can tell."""
    clips: bool = False
    """Whether something is done to the gradients before the update."""
    clip_norm: float | None = None
    """What the norm of all gradients is shortened to; None leaves it."""
    accumulate: int = 1
    """Batches whose gradients add up before one update."""
    early_stop: int | None = None
    """Validations in a row without a better one, after which the run ends; None: it does not."""
    min_delta: float = 0.0
    """By how much one has to be better to count for that."""
    schedule_moves: Literal["update", "epoch", "validation"] = "epoch"
    """After what the schedule moves, if there is one."""
    foreign: bool = False
    """A loop that is not ours: what `foreign.refusal` names can't be asked of it."""
    length: Certainty = Certainty.EXACT
    """How surely `epochs` is known."""
    val_loss: Certainty = Certainty.EXACT
    should_fall: bool = True
    """Whether the loss has nothing but data to depend on; not in a GAN, say."""


@dataclass(frozen=True, slots=True)
class RunLocation:
    """Where a run is kept, for a person."""

    place: str = ""
    """The run's directory; "" if nothing is kept."""
    resume_command: str = ""
    problem: str = ""
    """What could not be kept, although it should be, and why."""
    notes: tuple[str, ...] = ()
    """What was understood of the data, in words; a line each."""
    name: str = ""
    """What a run is called of which nothing is kept; of one that is, its folder is."""


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """Where one phase's time goes."""

    step: Step
    share: float
    """Of the last seconds of training, 0 to 1; pauses are left out."""
    seconds: float | None
    """Mean time per batch in seconds over the same span; None before the first batch."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A series over the whole run in a bounded number of buckets.

    All tuples have one length, at most `history.BUCKETS`. Empty buckets do not occur; a bucket
    that holds nothing but NaN and infinity has None for low, mean and high, and `bad` above 0.
    """

    x: tuple[float, ...]
    """Batch number (1 is the first) at which each bucket ends."""
    low: tuple[float | None, ...]
    mean: tuple[float | None, ...]
    high: tuple[float | None, ...]
    bad: tuple[int, ...]
    """How many points of the bucket were NaN or infinite."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something a person changed by hand, kept for the record."""

    time: float
    """Seconds since 1970 (Unix time)."""
    epoch: int
    """Counted from 1."""
    batch: int
    """Batches finished in the whole run when it took effect; 0 is before the first."""
    text: str
    """What was done, for example "lr ÷2 → 0.0005"."""
    kind: str
    """lr, pause, resume, speed, stop, validate, switch, breakpoints, asked; and what the run tells
    of itself: break, compile, model, replay, save, schedule, resumed, rewind, warning."""
    by: Sender | None = None
    """Who asked for it from another process."""
    faults: tuple[Fault, ...] | None = None
    """All that is wrong with the loop on purpose from here on; None where nothing is said of it."""

    @property
    def line(self) -> str:
        """What was done, and who asked for it from elsewhere."""
        return self.text if self.by is None else f"{self.text} ({self.by.text})"


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """The newest checkpoint that is on the disk, verified."""

    batches_done: int
    time: float
    """Seconds since 1970 (Unix time)."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best value so far and when it was reached."""

    value: float
    epoch: int
    """Counted from 1."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    state: State
    reason: str
    """One line: "20 epochs trained", "stopped by hand after this batch", "loss is nan ..."."""
    where: str = ""
    """For a failure: epoch, batch and phase."""
    advice: str = ""
    """For a failure: what to try."""
    traceback: str = ""
    line: str = ""
    """For a failure: the innermost line of a person's own code, "data.py:34 in __getitem__"."""

    @property
    def headline(self) -> str:
        """The reason; for a failure the own line before it."""
        return ": ".join(filter(None, (self.line, self.reason)))

    @property
    def place(self) -> str:
        """For a failure: the own line, then epoch, batch and phase."""
        return ", ".join(filter(None, (self.line, self.where)))


@dataclass(frozen=True, slots=True)
class EpochSummary:
    """One finished epoch."""

    epoch: int
    """Counted from 1."""
    batches: int
    """Batches of this epoch."""
    batches_done: int
    """Batches of the whole run so far."""
    train_loss: float
    """Sum of the batches' losses over the number of batches (NaN if one was)."""
    val_loss: float | None
    """Mean over the validation samples; None without validation data."""
    metrics: tuple[tuple[str, float], ...]
    """Validation metrics by name, the task's own first."""
    seconds: float
    """Training and validation time of this epoch, pauses left out."""
    batches_per_second: float
    lr: float
    """The largest, where parameter groups differ."""
    lrs: GroupLrs = ()

    @property
    def val_metric(self) -> float | None:
        """The task's own metric on the validation data."""
        return self.metrics[0][1] if self.metrics else None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One frozen picture of a run. Times are seconds, counts are whole batches."""

    state: State
    step: Step
    """The phase that was next when this was built (while paused: what comes next)."""
    epoch: int
    """The epoch under way, counted from 1; the last one once all are trained."""
    batch: int
    """Batches finished in this epoch."""
    batches_done: int
    """Batches finished in the whole run."""
    samples_done: int | None
    """None where only files tell."""
    val_batch: int
    """Validation batches finished in the validation under way; 0 otherwise."""
    elapsed: float
    """Wall time since the start, pauses included."""
    active: float
    """The same without pauses and slow motion."""
    eta: float | None
    """Time left at the present pace; None before the warm-up is over or if it can't be known."""
    batches_per_second: float | None
    samples_per_second: float | None
    loss: float | None
    """Of the last finished batch; may be NaN or infinite."""
    epoch_loss: float | None
    """Mean so far in this epoch."""
    last: EpochSummary | None
    """The last finished epoch."""
    val_loss: float | None
    """Latest, whether at an epoch's end or asked for."""
    metrics: tuple[tuple[str, float], ...]
    """Latest validation metrics by name, the task's own first."""
    best_metric: Best | None
    best_val_loss: Best | None
    lr: float
    """What the optimizer uses: the schedule's value times `lr_factor`. The largest, where parameter
    groups differ."""
    lr_factor: float
    """1.0 until a person changes it."""
    grad_norm: float | None
    """Norm of all gradients together, sampled at frame rate; of `grad_norm_batch`."""
    phases: tuple[PhaseTime, ...]
    """One entry a Step, in order."""
    watching: float | None
    """Share of time spent on pictures like this one, 0 to 1."""
    speed: float | None
    """Slow motion in phases per second; None is full speed."""
    stopping: str | None
    """"batch" or "epoch" once a stop is asked for and not yet reached."""
    recent: tuple[float, ...]
    """Losses of the last batches, oldest first, at most `history.RECENT`."""
    curves: tuple[tuple[str, Curve], ...]
    """Whole-run series by name: loss, epoch_loss (its mean over each epoch), val_loss, val_metric,
    lr, grad_norm, throughput; "lr NAME" of each of several parameter groups."""
    changes: tuple[Change, ...]
    """What was changed by hand, oldest first, at most `session.CHANGES`."""
    batches_per_epoch: int | None = None
    """As the last epoch had them, where the loader can't tell or was wrong; None where
    `RunInfo.batches_per_epoch` is what there is to know."""
    saved: SavedCheckpoint | None = None
    """The newest checkpoint; None if nothing is kept."""
    inside: Inside = NOTHING_SHOWN
    """What is shown of the inside of the batch."""
    facts: VerdictInputs | None = None
    """What verdicts need besides; None in pictures without curves."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with the loop on purpose, now."""
    faults_so_far: tuple[Fault, ...] = ()
    """What has been, in this run, but for what was undone."""
    undone: tuple[Undone, ...] = ()
    """What has been, until it was taken back."""
    undo: bool = False
    """Whether there is a state to go back to from before anything was broken."""
    breakpoints: tuple[str, ...] = ()
    """Conditions that hold the run when they become true."""
    validations: int = 0
    """How many have ended in this run, in this process."""
    waited: int = 0
    """Epochs since a validation was better by more than `min_delta`; see `RunInfo.early_stop`."""
    skipped: int = 0
    """Updates that fp16's GradScaler left out, because their gradients were not finite."""
    trouble: Outcome | None = None
    """What the run is held by: it waits for a `GoBack` or a `Stop`."""
    batch_loss: float | None = None
    """Of the batch under way; None before it is known, and where reading it would make an
    accelerator wait."""
    grad_norm_batch: int = 0
    """The batch of the whole run that `grad_norm` is of; 0 before the first."""
    outcome: Outcome | None = None
    lrs: GroupLrs = ()
    learners: tuple[LearnerFacts, ...] = ()
    """Of a loop that is not ours, its optimizers where there are several; "loss NAME" are their
    curves."""
