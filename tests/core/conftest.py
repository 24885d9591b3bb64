"""Small trainings, quick to build, for tests of the ground floor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fivestep.core.protocol.steps import Task
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.training import Training

MakeTraining = Callable[..., Training]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Tiny tensors: more threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture
def make_training() -> MakeTraining:
    """A classifier with dropout and batch norm on random data; keywords replace any part."""

    def make(
        *,
        samples: int = 50,
        batch_size: int = 8,
        validation: Any = True,
        optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
        lr: float = 1e-2,
        scheduler: Callable[..., torch.optim.lr_scheduler.LRScheduler] | None = None,
        **others: object,
    ) -> Training:
        torch.manual_seed(7)
        features = torch.randn(samples, 6)  # (N, 6)
        labels = (features[:, 0] > 0).long() + (features[:, 1] > 1).long()  # (N,)
        model = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)
        )
        others = {"model": model} | others
        made = optimizer(others["model"].parameters(), lr=lr)
        parts: dict[str, object] = {
            "criterion": nn.CrossEntropyLoss(),
            "optimizer": made,
            "batches": TensorBatches(
                features, labels, batch_size, torch.Generator().manual_seed(11)
            ),
            "validation": (
                TensorBatches(features[:20], labels[:20], 8)
                if validation is True
                else validation or None
            ),
            "epochs": 3,
            "task": Task("classification"),
            "scheduler": scheduler(made) if scheduler else None,
            "threads": 1,
            "seed": 3,
        }
        return Training(**(parts | others))  # type: ignore[arg-type]

    return make
