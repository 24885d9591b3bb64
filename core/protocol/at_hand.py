"""What the loop has in its hands, as a face shows it: the batch's content, every parameter with its
gradient and its last update in numbers, the epochs so far. Frozen numbers and texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

BATCH: Final = "batch"
PARAMETERS: Final = "parameters"
EPOCHS: Final = "epochs"
AT_HAND: Final = {BATCH: "the batch", PARAMETERS: "the parameters", EPOCHS: "the epochs"}
"""Names of these views, for `commands.Show`, with their titles."""


@dataclass(frozen=True, slots=True)
class BatchTensor:
    """A tensor of the batch, and the numbers of its first samples."""

    name: str
    """features, labels or outputs; with its path in a nested batch."""
    told: str
    """Type, shape and device: "float32 (32, 2) cpu"."""
    rows: tuple[tuple[float, ...], ...] = ()
    """The first numbers of the first samples; of a tensor that is no sample's, none."""
    numbers: int = 0
    """That each sample has."""


@dataclass(frozen=True, slots=True)
class BatchContent:
    """The batch under way, or between two batches the last one."""

    epoch: int
    """Counted from 1, as the batch."""
    batch: int
    tensors: tuple[BatchTensor, ...] = ()
    columns: tuple[str, ...] = ()
    """Names of the features' numbers, where they have any."""
    images: tuple[tuple[tuple[float, ...], ...], ...] = ()
    """The first samples, where they are images: rows of grey values, 0 to 1."""
    texts: tuple[tuple[str, str], ...] = ()
    """Features and labels of the first samples, where they are tokens that have a text."""
    labels: tuple[str, ...] = ()
    """Names of the first samples' classes; empty where they are no classes."""
    predicted: tuple[tuple[str, float], ...] = ()
    """Which class the outputs choose for each of them, and its probability (0 to 1)."""
    losses: tuple[float, ...] = ()
    """The criterion's value for each of the first samples alone; empty where it can't be had."""
    average: float | None = None
    """Of the losses of all samples; None where that is not computed."""
    loss: float | None = None
    """That the backward pass starts from; None before it is there."""
    criterion: str = ""
    samples: int = 0
    """In the batch."""
    ended: str = ""
    """Why what is missing will not come: "forward failed"; "" while the run goes on."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A line of arithmetic with its real numbers, such as w 2.04 - 0.1 × 0.0997 = 2.03."""

    name: str
    parts: tuple[str | float, ...]
    """Numbers, and the signs between them; empty where only the result is known."""
    result: float


@dataclass(frozen=True, slots=True)
class ParameterRow:
    """A parameter as it is now."""

    name: str
    """Qualified, such as "1.weight"."""
    shape: tuple[int, ...]
    norm: float | None
    """None where its values are no real numbers."""
    grad_norm: float | None
    """None without a gradient."""
    why: str = ""
    """Why it has no gradient, or does not learn; "" where there is nothing to say."""
    values: tuple[float, ...] = ()
    """Of a parameter of a few numbers, all of them."""
    grads: tuple[float, ...] = ()
    added: tuple[Formula, ...] = ()
    """Where the last backward pass added to gradients that were there: what to what."""
    update: tuple[Formula, ...] = ()
    """The last update, number by number: of a few numbers all, else of one."""


@dataclass(frozen=True, slots=True)
class ParameterTable:
    """Every parameter of the model."""

    rows: tuple[ParameterRow, ...]
    optimizer: str
    updated: int | None = None
    """The batch of the whole run whose update `ParameterRow.update` tells; None before one."""
    note: str = ""


class EpochRow(NamedTuple):
    """What came of an epoch."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Average of its batches' losses."""
    val_loss: float | None
    """None without validation."""
    val_metric: float | None
    seconds: float
    """Training and validation, pauses left out."""


@dataclass(frozen=True, slots=True)
class EpochTable:
    """The last epochs, oldest first."""

    rows: tuple[EpochRow, ...]
    metric: str
    """Name of `EpochRow.val_metric`."""


AtHand = BatchContent | ParameterTable | EpochTable
