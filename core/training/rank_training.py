"""A training that one process would do, made that of one among several."""

from __future__ import annotations

from contextlib import suppress

from ..protocol.rank import Parallel
from .data_parallel import Replica
from .lazy import unmade
from .rank_batches import Split, split_batches
from .ranks import RankGroup
from .training import Training
from .unfit import UnfitError


def train_among(
    training: Training, split: Split, ranks: RankGroup | None, parallel: Parallel = "ddp"
) -> None:
    """Have a training go through its part of the data, and through the model with the others.

    Validation data that can't be shared are gone through by every rank, and counted once.

    Args:
        training: as one process would have it; changed in place.
        split: how the batches are shared.
        ranks: the processes that it is shared with; None where one has the parts of several.
        parallel: whether each has the whole model, or a part.

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
    shared = set(training.model.parameters())
    learned = (p for group in training.optimizer.param_groups for p in group["params"])
    if any(p.requires_grad and p not in shared for p in learned):
        raise UnfitError(
            "the optimizer has parameters that are none of the model's, which no process shares",
            "make them the model's, or train in one process",
        )
    if training.validation is not None:
        with suppress(UnfitError):
            training.validation = split_batches(training.validation, split, from_first)
    training.ranks = ranks
    if parallel == "fsdp":
        from .shards import WITHOUT, Shards  # which loads much of torch

        if training.amp == "fp16" or training.compile:
            what = "amp fp16" if training.amp == "fp16" else "a compiled model"
            raise UnfitError(f"{what} is not there for shards", f"leave it out, or {WITHOUT}")
        training.replica = Shards(training.model, training.optimizer, ranks)
    else:
        training.replica = Replica(training.model, ranks)
