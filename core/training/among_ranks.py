"""A training that one process would do, made that of one among several."""

from __future__ import annotations

from contextlib import suppress

from .lazy import unmade
from .ranks import RankGroup
from .replica import Replica
from .split import Split, split_batches
from .training import Training
from .unfit import UnfitError


def train_among(training: Training, split: Split, ranks: RankGroup | None) -> None:
    """Have a training go through its part of the data, and through the model with the others.

    Validation data that can't be shared are gone through by every rank, and counted once.

    Args:
        training: as one process would have it; changed in place.
        split: how the batches are shared.
        ranks: the processes that it is shared with; None where one has the parts of several.

    Raises:
        UnfitError: it can't be shared.
    """
    from_first = (lambda value: value) if ranks is None else ranks.from_first
    training.batches = split_batches(training.batches, split, from_first)
    if ranks is None:
        return
    if unmade(training.model):
        raise UnfitError(
            "the model has lazy layers, and several processes need its parameters beforehand",
            "give the layers their sizes, or train in one process",
        )
    if training.validation is not None:
        with suppress(UnfitError):
            training.validation = split_batches(training.validation, split, from_first)
    training.ranks, training.replica = ranks, Replica(training.model, ranks)
