"""The breakpoints of a run: the numbers that they are about, and which have become true."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..protocol.conditions import METRICS, Breakpoint, Gate, parse
from ..protocol.inside import BatchFacts, LayerRow
from ..training.progress import Progress
from .recorder import Recorder


@dataclass(frozen=True, slots=True)
class BreakReport:
    """Where a breakpoint has fired, and what there was to see."""

    condition: str
    """"" for a batch that was asked for."""
    values: tuple[tuple[str, float], ...]
    """What it names and is known, by name."""
    where: str
    """Epoch, batch and the phase about to be taken."""
    batch: BatchFacts
    layers: tuple[LayerRow, ...]

    @property
    def values_text(self) -> str:
        """The values for a person: "grad_norm 12.3, epoch 4"."""
        return values_text(self.values)


class Breakpoints:
    """Checks conditions where their numbers change.

    Args:
        progress: where the run is.
        recorder: has losses and metrics.
        metrics: names that a condition may use for validation metrics.
    """

    def __init__(
        self, progress: Progress, recorder: Recorder, metrics: Iterable[str] = METRICS
    ) -> None:
        self.active = False
        """Whether there are any."""
        self.needs_norm = False
        """Whether one of them asks for the gradients' norm."""
        self.values: dict[str, float | None] = {}
        """What is known at this moment; see `conditions.NAMES`."""
        self._progress, self._recorder, self._metrics = progress, recorder, tuple(metrics)
        self._points: list[Breakpoint] = []

    @property
    def conditions(self) -> tuple[str, ...]:
        """Their texts."""
        return tuple(point.condition.text for point in self._points)

    def set(self, conditions: Iterable[str]) -> None:
        """Have these and no others; one that stays does not fire again for what it has seen.

        Raises:
            ConditionError: one can't be understood; all stay as they were.
        """
        kept = {point.condition.text: point for point in self._points}
        parsed = [parse(text, self._metrics) for text in conditions]
        self._points = [kept.get(one.text, Breakpoint(one)) for one in parsed]
        self.active = bool(self._points)
        self.needs_norm = any("grad_norm" in one.needs for one in parsed)

    def check(
        self, gate: Gate, *, loss: float | None = None, norm: float | None = None, lr: float = 0.0
    ) -> list[str]:
        """Update the values that are new at a gate; the conditions that have just become true."""
        values, progress, recorder = self.values, self._progress, self._recorder
        match gate:
            case "begin":
                values |= {"epoch": progress.epoch + 1, "batch": progress.batch + 1, "lr": lr}
                values |= {"loss": None, "grad_norm": None}
            case "loss":
                values["loss"] = loss
            case "update":
                values["grad_norm"] = norm
            case "end":
                values |= {"batches_done": progress.batches_done, "update": progress.updates}
                values["epoch_loss"] = recorder.epoch_loss
            case "validation":
                best = recorder.best_metric
                metric = next(iter(recorder.metrics.values()), None)
                values |= {"val_loss": recorder.val_loss, "val_metric": metric}
                values |= {**recorder.metrics, "val_worse": recorder.val_worse}
                values["best"] = None if best is None else best.value
        return [
            point.condition.text
            for point in self._points
            if gate in point.condition.gates and point.check(values)
        ]

    def known(self, condition: str) -> tuple[tuple[str, float], ...]:
        """The values that a condition names, as far as they are known, by name."""
        needs = next(p.condition.needs for p in self._points if p.condition.text == condition)
        found = ((name, self.values.get(name)) for name in sorted(needs))
        return tuple((name, value) for name, value in found if value is not None)


def values_text(values: Iterable[tuple[str, float]]) -> str:
    """Values by name for a person: "grad_norm 12.3, epoch 4"."""
    return ", ".join(f"{name} {value:.6g}" for name, value in values)
