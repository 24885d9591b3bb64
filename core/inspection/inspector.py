"""Looks into a batch for whoever watches: its layers, and what the model knows by now."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import Any, Final

from torch import Tensor

from ..protocol.at_hand import (
    AT_HAND,
    BATCH,
    EPOCHS,
    PARAMETERS,
    AtHand,
    BatchContent,
    EpochRow,
    EpochTable,
)
from ..protocol.commands import Show
from ..protocol.diagnosis import VerdictInputs
from ..protocol.faults import Fault
from ..protocol.inside import Difference, Inside, LayerRow, ViewResult, compare
from ..protocol.snapshot import Outcome
from ..protocol.steps import State, Step
from ..training.data import TensorBatches, batch_count
from ..training.lazy import UNMADE, unmade
from ..training.own_code import first_line
from ..training.progress import Progress
from ..training.spread import is_spread
from ..training.training import Training
from .base_view import View
from .batch_content import batch_content
from .batch_facts import batch_facts
from .first_batch import Shapes, check_last_batch, check_loss, check_measures, stretched
from .layers import LayerWatch
from .parameters import ParameterWatch
from .views import views_for

SAMPLED: Final = 0.25
"""Seconds between two looks at the layers of a run that moves."""
VIEWED: Final = 1.0
"""Seconds between two views."""
COST: Final = 30
"""Views and looks wait for this many times what the last one took, if that is longer."""

SPREAD: Final = "of each parameter the part that the first rank keeps"

UNHARMED: Final = suppress(Exception)
"""Looks at a person's own optimizer, which may keep anything: the run itself goes on."""


class Inspector:
    """Keeps what was last seen of the inside of a run. Only the training thread touches it.

    Args:
        training: of the run.
        progress: of the run.
        epochs: gives what came of the last epochs.
    """

    def __init__(
        self, training: Training, progress: Progress, epochs: Callable[[], Sequence[EpochRow]]
    ) -> None:
        self.show = Show()
        self._spread = is_spread(training.model)
        self._training, self._progress, self._epochs = training, progress, epochs
        self._watch = LayerWatch(training.model, training.optimizer)
        self._parameters = ParameterWatch(training.model, training.optimizer)
        self._rows: tuple[LayerRow, ...] = ()
        self._differences: tuple[Difference, ...] = ()
        self._exact_at: tuple[Step, int, int] | None = None
        """The place that `_rows` are exact for; None if they were read while the run moved."""
        self._compared: tuple[tuple[LayerRow, ...], tuple[Step, int, int]] | None = None
        """Those of the pause before, and its place."""
        self._asked_anew = False
        self._look_due = float("-inf")
        self._measuring = self._summing = self._moving = False
        self._views: tuple[View, ...] | None = None
        self._picture: ViewResult | AtHand | None = None
        self._seen: str | None = None
        self._view_due = float("-inf")
        self._view_place: tuple[Step, int, int] | None = None
        self._view_error = ""
        self._facts: VerdictInputs | None = None
        self._stretched: Shapes | None = None

    def take(self, show: Show) -> None:
        """Show this from now on."""
        if show == self.show:
            return
        self._watch.watch_activations(show.layers)
        if not show.layers:
            self._rows, self._differences, self._exact_at = (), (), None
        if show.view != self.show.view:
            self._picture, self._view_due = None, float("-inf")
        self.show = show
        self._look_due = float("-inf")
        self._asked_anew = True

    def forget(self) -> None:
        """Drop what was seen: the run goes back to before it."""
        self._watch.forget()
        self._parameters = ParameterWatch(self._training.model, self._training.optimizer)
        self._rows, self._differences, self._exact_at, self._compared = (), (), None, None
        self._picture, self._view_place = None, None
        self._look_due = self._view_due = float("-inf")
        self._measuring = self._summing = self._moving = False

    def first_batch(self, step: Step) -> None:
        """At the gates before the forward pass and before the backward pass of a first batch: do
        its parts fit each other?

        Raises:
            UnfitError: they don't, which would be seen only later.
        """
        training, at = self._training, self._progress
        if step is Step.FORWARD:
            check_last_batch(training, at.features)
        else:
            check_loss(at.loss)
            self._stretched = stretched(training.criterion, at.outputs, at.labels)
            check_measures(training, at.features, at.outputs, at.labels, at.loss)

    # Around a backward pass and an update, where gradients and weights belong together.

    @property
    def at_gates(self) -> bool:
        """Whether anything is looked at that has to be met at its gate."""
        return self.show.layers or self.show.view == PARAMETERS

    def before_backward(self) -> None:
        """At the gate before a backward pass."""
        self._summing = self.show.view == PARAMETERS
        if self._summing:
            with UNHARMED:
                self._parameters.before_backward()

    def after_backward(self) -> None:
        """At the gate behind it: what it has added to gradients that were there."""
        if self._summing:
            self._summing = False
            with UNHARMED:
                self._parameters.after_backward()

    def before_update(self, here: float, *, every: bool) -> None:
        """At the gate before an update: measure it, if a look is due or `every` one is wanted."""
        if self.show.layers and (every or here >= self._look_due):
            self._watch.before_update()
            self._measuring = True
        self._moving = self.show.view == PARAMETERS and (every or here >= self._view_due)
        if self._moving:
            with UNHARMED:
                self._parameters.before_update()

    def after_update(self, here: float, *, exact: bool) -> None:
        """At the gate behind an update: what it moved, and all layers with its gradients."""
        if self._moving:
            self._moving = False
            with UNHARMED:
                self._parameters.after_update(self._progress.batches_done + 1)
        if self._measuring:
            self._measuring = False
            self._watch.after_update()
            if not exact:
                self._look(here)

    def _look(self, here: float) -> None:
        self._rows = self._watch.look(histograms=self.show.histograms)
        self._differences, self._exact_at = (), None
        took = perf_counter() - here
        self._look_due = here + max(SAMPLED, COST * took)

    def layers(self) -> tuple[LayerRow, ...]:
        """Every layer as it is at this gate."""
        return self._watch.look()

    # For a picture.

    def inside(self, step: Step, *, held: bool, outcome: Outcome | None = None) -> Inside:
        """What is to be shown now.

        Args:
            step: the phase that runs next.
            held: the run is paused: layers are exact, and compared with those of the last pause.
            outcome: how the run has ended; what is at hand stays so.
        """
        show, place = self.show, (step, self._progress.batches_done, self._progress.val_batch)
        if show.layers and held and (self._asked_anew or place != self._exact_at):
            self._look_held(place)
        if show.view is not None:
            self._see(place, held=held, outcome=outcome)
        views = self._views or ()
        return Inside(
            layers=self._rows,
            differences=self._differences,
            batch=batch_facts(self._progress, updated=held and self._updated(step))
            if show.batch
            else None,
            views=tuple((view.name, view.title) for view in views),
            view=self._seen if self._picture is not None else None,
            picture=self._picture,
            problem=self._view_error,
            part=SPREAD if self._spread and self._rows else "",
        )

    def _updated(self, step: Step) -> bool:
        """Whether the batch under way has made its update, at the gate behind it."""
        training, at = self._training, self._progress
        if step is not Step.OTHER or not at.under_way or Fault.NO_STEP in at.faults:
            return False
        done = at.batch + 1
        return done % training.accumulate == 0 or done == batch_count(training.batches)

    def _look_held(self, place: tuple[Step, int, int]) -> None:
        """The layers exactly as they are, compared with those of the last pause."""
        self._asked_anew = False
        if place != self._exact_at:
            self._compared = None if self._exact_at is None else (self._rows, self._exact_at)
            self._exact_at = place
        self._rows, self._differences = (
            self._watch.look(histograms=self.show.histograms, exact=True),
            (),
        )
        if self._compared is not None:
            before, last = self._compared
            step_run = last[0] if _next_of(last, place) else None
            self._differences = compare(before, self._rows, step_run)

    def _see(self, place: tuple[Step, int, int], *, held: bool, outcome: Outcome | None) -> None:
        now, ended = perf_counter(), outcome is not None
        if held and not ended and self._picture is not None and place == self._view_place:
            return
        at_hand = self.show.view in AT_HAND
        if now < self._view_due and not ((held or ended) and at_hand):
            return
        view = None if at_hand else self._find_view()
        if view is None and not at_hand:
            return
        try:
            if view is not None:
                picture: ViewResult | AtHand = view.compute(self._training)
            else:
                picture = self._at_hand()
                if outcome is not None and isinstance(picture, BatchContent):
                    picture = replace(picture, ended=_ended(outcome, place[0]))
            self._picture, self._seen = picture, self.show.view if view is None else view.name
            self._view_error = ""
        except Exception as error:  # a person's own model or batch; the run itself goes on
            self._view_error = first_line(error)
        took = perf_counter() - now
        wait = VIEWED if self.show.view in (BATCH, EPOCHS) else max(VIEWED, COST * took)
        self._view_due, self._view_place = now + wait, place

    def _find_view(self) -> View | None:
        """The one that is wanted, or the most telling one; None where there is none, and why."""
        if self._views is None:
            if unmade(self._training.model):
                self._view_error = f"nothing to see of the model yet: {UNMADE}"
                return None
            if self._spread:
                self._view_error = "no picture: it would take all ranks to run the model"
                return None
            self._views = views_for(self._training)
        view = next((one for one in self._views if one.name == self.show.view), None)
        view = view or next(iter(self._views), None)
        if view is None:
            self._view_error = "there is no picture for this kind of data"
        return view

    def _at_hand(self) -> AtHand:
        """What the loop has in its hands."""
        training, progress = self._training, self._progress
        if self.show.view == PARAMETERS:
            scaled = "fp16: until they are scaled back, gradients are of a multiplied loss"
            note = SPREAD if self._spread else ""
            return self._parameters.look(scaled if training.scaler.is_enabled() else note)
        if self.show.view != BATCH:
            return EpochTable(tuple(self._epochs()), training.task.metric_name)
        return batch_content(training, progress)

    # For verdicts.

    def facts(self, **others: Any) -> VerdictInputs:
        """What verdicts need besides a Snapshot.

        Args:
            others: fields that are known to somebody else.
        """
        if self._facts is None and self._progress.outputs is not None:
            self._facts = self._label_facts()
        known = self._facts or VerdictInputs()
        return VerdictInputs(
            layers=self._rows,
            label_low=known.label_low,
            label_high=known.label_high,
            classes=known.classes,
            stretched=self._stretched,
            faults=tuple(fault.info.label for fault in sorted(self._progress.faults)),
            **others,
        )

    def _label_facts(self) -> VerdictInputs:
        """The range of class numbers in the data and in the outputs, once."""
        training, outputs = self._training, self._progress.outputs
        batches = training.batches
        if training.task.name != "classification" or not isinstance(batches, TensorBatches):
            return VerdictInputs()
        if not isinstance(outputs, Tensor) or batches.labels.is_floating_point():
            return VerdictInputs()
        ignored = getattr(training.criterion, "ignore_index", -100)
        found = label_range(batches.labels, ignored)
        if found is None or outputs.dim() < 2:
            return VerdictInputs()
        classes = outputs.shape[1] if outputs.shape[1] > 1 else 2
        return VerdictInputs(label_low=found[0], label_high=found[1], classes=classes)


def _ended(outcome: Outcome, step: Step) -> str:
    """Why a batch has no more than it has."""
    return f"{step.info.name} failed" if outcome.state is State.FAILED else "the run ended before"


def _next_of(last: tuple[Step, int, int], now: tuple[Step, int, int]) -> bool:
    """Whether one single phase lies between two gates."""
    if last[1] != now[1]:
        return last[0] is Step.OTHER and now[1] == last[1] + 1
    return last[2] == now[2] and (now[0] is not last[0])


def label_range(labels: Tensor, ignored: int = -100) -> tuple[int, int] | None:
    """The lowest and the highest class number, whatever the shape; None if there is none.

    Meant for the whole training data, once: on a GPU it waits for the result.

    Args:
        labels: class numbers; probabilities count as the whole numbers around them.
        ignored: a number that the criterion leaves out (its `ignore_index`).
    """
    counted = labels[labels != ignored]
    if not counted.numel():
        return None
    low, high = (float(end) for end in counted.aminmax())
    return (math.floor(low), math.ceil(high)) if math.isfinite(low + high) else None
