"""Takes the result of a validation into the record."""

from __future__ import annotations

from ..protocol.steps import Step, Task
from ..training.metrics import Meter, Metrics, meter_for
from ..training.progress import Progress
from ..training.resume_data import Loaders
from .clock import Clock
from .recorder import Record


class Judge:
    """Hands out a meter for each validation, and reads it when the pass is over."""

    def __init__(
        self,
        task: Task,
        metrics: Metrics,
        progress: Progress,
        record: Record,
        clock: Clock,
        loaders: Loaders,
    ) -> None:
        self._task, self._metrics = task, metrics
        self._at, self._record, self._clock, self._loaders = progress, record, clock, loaders
        self._meter: Meter | None = None
        self._began = 0.0

    def begin(self) -> Meter:
        """A meter for the validation that starts now."""
        self._meter = meter_for(self._task, self._metrics)
        self._began = self._clock.spent[Step.VALIDATE]
        self._loaders.validation_begins()
        return self._meter

    def take(self) -> bool:
        """Record what the last validation found; whether there was one since the last call."""
        if self._meter is None:
            return False
        seconds = self._clock.spent[Step.VALIDATE] - self._began
        loss, metrics = self._meter.result()
        self._record.validated(self._at.batches_done, loss, metrics, seconds)
        self._meter = None
        self._loaders.validation_ends()
        return True

    def forget(self) -> None:
        """Drop a validation that was given up."""
        self._meter = None
