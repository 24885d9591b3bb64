"""The phases a run goes through, each with its line of code and its reason; what a run is doing.

Standard library only, so that a face can name the steps before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, Literal, get_args


class Step(IntEnum):
    """A phase of the run. The loop yields one just before it takes it."""

    DATA = 0
    ZERO_GRAD = 1
    FORWARD = 2
    LOSS = 3
    BACKWARD = 4
    UPDATE = 5
    VALIDATE = 6
    OTHER = 7
    CLIP = 8

    @property
    def info(self) -> StepInfo:
        """What to call this phase, its line of code, and why it is there."""
        return STEPS[self]


@dataclass(frozen=True, slots=True)
class StepInfo:
    """How a phase is shown and explained."""

    step: Step
    name: str
    """What a sentence calls it: "paused before *backward*"."""
    code: str
    """Its line in the running loop; for DATA, VALIDATE and OTHER, plain words."""
    why: str
    """One or two sentences for somebody who meets it for the first time."""
    number: int | None = None
    """1 to 5 for the five steps, None for what surrounds them."""


FIVE: Final = (Step.ZERO_GRAD, Step.FORWARD, Step.LOSS, Step.BACKWARD, Step.UPDATE)
"""The five core steps, in the order in which a batch takes them."""

Steps = Generator[Step, None, None]
"""What a loop is: it announces a step, and takes it when it is asked for the next one."""

INSIDE_BATCH: Final = frozenset({*FIVE, Step.CLIP, Step.OTHER})
"""Gates at which a batch is under way: nothing is saved, validated or stopped there."""

STEPS: Final[dict[Step, StepInfo]] = {
    info.step: info
    for info in (
        StepInfo(
            Step.DATA,
            "data",
            "waiting for data",
            "The next batch is fetched and moved to the device. If this takes the largest share, "
            "the model is waiting for its data, not the other way round.",
        ),
        StepInfo(
            Step.ZERO_GRAD,
            "zero_grad",
            "optimizer.zero_grad()",
            "Clears every .grad. The backward pass adds to what is there, so without this the "
            "gradients of earlier batches would leak into this update.",
            1,
        ),
        StepInfo(
            Step.FORWARD,
            "forward",
            "outputs = model(features)",
            "In the forward pass the batch runs through the layers to give predictions. Meanwhile "
            "autograd notes every operation, so that the backward pass can retrace them.",
            2,
        ),
        StepInfo(
            Step.LOSS,
            "loss",
            "loss = criterion(outputs, labels)",
            "One number for how wrong the predictions are: the average over the batch. "
            "Everything that follows exists to make it smaller.",
            3,
        ),
        StepInfo(
            Step.BACKWARD,
            "backward",
            "loss.backward()",
            "In the backward pass autograd walks back from the loss and adds to each parameter's "
            ".grad how the loss would change if that parameter grew. No weight moves yet.",
            4,
        ),
        StepInfo(
            Step.UPDATE,
            "update",
            "optimizer.step()",
            "The optimizer moves every parameter against its gradient, as far as the learning "
            "rate allows. This is the only step in which the model changes.",
            5,
        ),
        StepInfo(
            Step.VALIDATE,
            "validation",
            "validation",
            "The model is judged on data it never trains on: eval mode (dropout is off, batch "
            "norm keeps its averages), no gradients, nothing is learned from it.",
        ),
        StepInfo(
            Step.OTHER,
            "everything else",
            "everything else",
            "Moving the schedule, counting, and what watching itself costs.",
        ),
        StepInfo(
            Step.CLIP,
            "clipping",
            "clip_grad_norm_(…)",
            "Gradients that are longer together than clip_norm are shortened to it, so that one "
            "wild batch can't throw the weights far. Under fp16 they get their own size back, too.",
        ),
    )
}


class State(StrEnum):
    """What a run is doing, in a word."""

    LOADING = "loading"
    RUNNING = "running"
    PAUSED = "paused"
    VALIDATING = "validating"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen in this run."""
        return self in (State.FINISHED, State.STOPPED, State.FAILED)


CLASS_METRICS: Final = ("majority_share", "balanced_accuracy", "f1")
"""What is measured of a classification besides its accuracy; see `ClassificationMeter`."""

TaskName = Literal["classification", "regression", "language-model"]


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of problem; the default has no metric but the loss.

    Raises:
        ValueError: there is no such kind.
    """

    name: TaskName | Literal["custom"] = "custom"

    def __post_init__(self) -> None:
        kinds = ("custom", *get_args(TaskName))
        if self.name not in kinds:
            raise ValueError(f"task must be one of {', '.join(kinds)}, not {self.name!r}")

    @property
    def metric_name(self) -> str:
        """The metric by which the best epoch is chosen."""
        return {
            "classification": "accuracy",
            "regression": "r2",
            "language-model": "perplexity",
            "custom": "val_loss",
        }[self.name]

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Everything that its validation measures."""
        more = {"classification": CLASS_METRICS, "regression": ("mae",)}
        return (self.metric_name, "val_loss", *more.get(self.name, ()))

    def rises(self, metric: str) -> bool:
        """Whether one of these gets better by getting larger."""
        return metric not in ("val_loss", "mae", "perplexity")

    @property
    def schedule_metrics(self) -> tuple[str, ...]:
        """Those that a schedule can wait for: training changes them."""
        return tuple(name for name in self.metric_names if name != "majority_share")

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger metric means a better model."""
        return self.name in ("classification", "regression")
