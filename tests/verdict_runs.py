"""Runs looked at as a face would: pictures and facts at many moments, to be judged."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fivestep.core.inspection.inspector import label_range
from fivestep.core.inspection.layers import LayerWatch
from fivestep.core.protocol.snapshot import RunInfo, Snapshot
from fivestep.core.session.session import Session
from fivestep.core.training.training import Training
from fivestep.core.verdicts.verdicts import Verdict, VerdictInputs, find_verdicts

Moments = list[tuple[Snapshot, VerdictInputs]]


class Looker:
    """A listener that takes a picture every few batches, with all facts that can be had."""

    def __init__(self, training: Training, every: int) -> None:
        self.session = Session(training, self, on_nonfinite="ignore")
        self.moments: Moments = []
        self._every = every
        self._layers = LayerWatch(training.model, training.optimizer)
        training.optimizer.register_step_pre_hook(lambda *_: self._layers.before_update())
        training.optimizer.register_step_post_hook(lambda *_: self._layers.after_update())
        training.model.register_forward_pre_hook(self._forward)
        self._trains: bool | None = None
        self._range = self._classes = None
        if training.task.name == "classification":
            self._range = label_range(training.batches.labels)
            linear = [m for m in training.model.modules() if isinstance(m, nn.Linear)]
            self._classes = max(linear[-1].out_features, 2)

    def _forward(self, model: nn.Module, _: Any) -> None:
        if not torch.is_grad_enabled():
            self._trains = model.training

    def batch(self, epoch: int, batch: int, batches_done: int, *_: Any) -> None:
        if batches_done % self._every == self._every - 1:
            self._layers.watch_activations(True)
            self.session.latest(curves=True)  # asks for what is taken one batch later
        elif batches_done % self._every == 0:
            picture = self.session.latest(curves=True)
            assert picture is not None
            self.moments.append((picture, self._facts()))
            self._layers.watch_activations(False)

    def _facts(self) -> VerdictInputs:
        low, high = self._range or (None, None)
        return VerdictInputs(
            layers=self._layers.look(),
            label_low=low,
            label_high=high,
            classes=self._classes,
            validation_trains=self._trains,
        )

    def epoch(self, summary: Any) -> None:
        pass

    def change(self, change: Any) -> None:
        pass


def looked_at(training: Training, moments: int = 20) -> tuple[RunInfo, Moments]:
    """Train to the end; pictures and facts at about so many moments, and of the end."""
    batches = len(training.batches) * training.epochs  # type: ignore[arg-type]
    looker = Looker(training, max(3, batches // moments))
    looker.session.run()
    end = looker.session.latest(curves=True)
    assert end is not None
    return looker.session.info, [*looker.moments, (end, VerdictInputs())]


def verdicts(training: Training, moments: int = 20) -> list[tuple[Verdict, ...]]:
    """What is said at each moment, with the facts and without."""
    info, taken = looked_at(training, moments)
    return [
        find_verdicts(info, s, known) for s, facts in taken for known in (facts, VerdictInputs())
    ]


def rules(training: Training, moments: int = 20) -> set[str]:
    """Every rule that fires at some moment."""
    return {verdict.rule for said in verdicts(training, moments) for verdict in said}
