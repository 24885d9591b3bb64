"""What a run is, in words and counts: its `RunInfo`."""

from __future__ import annotations

import torch
from torch.optim import Optimizer

from ..protocol.snapshot import RunInfo
from ..training.data import Batches, TensorBatches, batch_count
from ..training.device import describe_device
from ..training.training import Training


def describe_run(training: Training) -> RunInfo:
    """The facts about a training that do not change while it runs."""
    about, task, optimizer = training.about, training.task, training.optimizer
    scheduler = training.scheduler
    batch_size = getattr(training.batches, "batch_size", None)
    return RunInfo(
        name=about.name,
        data=about.data or describe_data(training.batches),
        model=about.model or type(training.model).__name__,
        parameters=training.parameters,
        task=task.name,
        metric_name=task.metric_name,
        higher_is_better=task.higher_is_better,
        optimizer=describe_optimizer(optimizer),
        scheduler=None if scheduler is None else type(scheduler).__name__,
        batch_size=batch_size if isinstance(batch_size, int) else None,
        epochs=training.epochs,
        batches_per_epoch=batch_count(training.batches),
        validation_batches=(
            None if training.validation is None else batch_count(training.validation)
        ),
        device=describe_device(training.device),
        threads=training.threads or torch.get_num_threads(),
        seed=training.seed,
        validates=training.validation is not None,
        exact_clock=training.device.type == "cpu",
        amp=training.amp,
        compile=training.compile,
    )


def describe_optimizer(optimizer: Optimizer) -> str:
    """The optimizer's name, and whether it is fused."""
    return type(optimizer).__name__ + (" (fused)" if optimizer.defaults.get("fused") else "")


def describe_data(batches: Batches) -> str:
    """What can be said of data that nobody has described."""
    samples = batches.features if isinstance(batches, TensorBatches) else None
    if samples is None:
        samples = getattr(batches, "dataset", None)
    try:
        return f"{len(samples):,} samples"  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        return "samples without a known end"
