"""What `tests/core/session/test_ranks.py` runs on every rank, under torchrun.

Each check runs on all ranks; what it finds wrong is raised, and torchrun tells.
"""

from __future__ import annotations

from typing import Any

import torch
from listeners import Keeper
from offline import OFFLINE
from torch import Tensor, nn

from fivestep.core.protocol.rank import this_rank
from fivestep.core.session.session import Session
from fivestep.core.training.among_ranks import train_among
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.ranks import RankGroup
from fivestep.core.training.split import Split
from fivestep.core.training.training import Training
from fivestep.presets.build import build
from fivestep.presets.recipe import load

RANK = this_rank()
RANKS = RankGroup(RANK)
DRAWS = (nn.Dropout, nn.BatchNorm1d, nn.BatchNorm2d)
ROWS = 150
"""Of the training data: batches of 64, and a short one that ranks can't share evenly."""


def preset(name: str, dtype: torch.dtype, batch_size: int, split: Split | None) -> Training:
    """A preset on few data, of which the last batch has an odd number."""
    change = {"epochs": 2, "batch_size": batch_size, "device": "cpu", "threads": 1}
    recipe = load(name, change)
    training = build(recipe, split=split)
    assert isinstance(training.batches, TensorBatches)
    for part, rows in ((training.batches, 2 * 2 * 8 + 5), (training.validation, 41)):
        assert isinstance(part, TensorBatches)
        part.features, part.labels = part.features[:rows], part.labels[:rows]
        for kind in ("features", "labels"):
            data: Tensor = getattr(part, kind)
            if data.is_floating_point():
                setattr(part, kind, data.to(dtype))
    training.model.to(dtype)
    if split is not None:
        train_among(training, split, RANKS)
    return training


def trained(training: Training) -> tuple[list[float], dict[str, Tensor], dict[str, float]]:
    """Losses, weights and metrics of a training that has come to its end."""
    keeper = Keeper()
    session = Session(training, keeper)
    outcome = session.run()
    assert outcome.state == "finished", outcome
    metrics = {"val_loss": session.snapshot().val_loss or 0.0}
    return [loss for _, _, _, loss, _ in keeper.batches], training.model.state_dict(), metrics


def close(many: Any, one: Any, within: float) -> None:
    """Numbers of several ranks and of one process, compared by the largest of theirs."""
    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (many, one))
    assert a.shape == b.shape, (a.shape, b.shape)
    difference = ((a - b).abs().max() / b.abs().max().clamp(min=1.0)).item()
    assert difference <= within, difference


def same_numbers() -> None:
    """Two ranks with half the batch give what one process gives with the whole of it."""
    for name in OFFLINE:
        for dtype, within in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
            many = preset(name, dtype, 4, Split(RANK.number, RANK.size, RANK.size))
            if any(isinstance(one, DRAWS) for one in many.model.modules()):
                continue
            losses, weights, metrics = trained(many)
            alone, expected, measured = trained(preset(name, dtype, 4 * RANK.size, None))
            close(losses, alone, within)
            for key, value in weights.items():
                close(value, expected[key], within)
            for key, number in measured.items():
                close(metrics[key], number, within)


CHECKS = (same_numbers,)
if __name__ == "__main__":
    for check in CHECKS:
        check()
