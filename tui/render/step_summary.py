"""What the last step did to the model, in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from ...core.protocol.faults import Fault
from ...core.protocol.inside import BatchFacts, Difference, TensorFact
from ...core.protocol.snapshot import Snapshot
from ...core.protocol.steps import Step
from .format import counted, number
from .spans import Span

_FOLLOWERS: Final[dict[Step, frozenset[Step]]] = {
    Step.DATA: frozenset({Step.ZERO_GRAD, Step.FORWARD}),
    Step.ZERO_GRAD: frozenset({Step.FORWARD, Step.OTHER, Step.UPDATE}),
    Step.FORWARD: frozenset({Step.LOSS}),
    Step.LOSS: frozenset({Step.BACKWARD}),
    Step.BACKWARD: frozenset({Step.ZERO_GRAD, Step.OTHER, Step.UPDATE}),
    Step.UPDATE: frozenset({Step.OTHER}),
    Step.VALIDATE: frozenset({Step.VALIDATE, Step.OTHER, Step.DATA}),
    Step.OTHER: frozenset({Step.UPDATE, Step.OTHER, Step.VALIDATE, Step.DATA}),
}
"""What may come right after each phase, in any of the loops."""

Place = tuple[Step, int, int]


class StepSummary:
    """Keeps track of which step lies between two exact looks at the layers."""

    def __init__(self) -> None:
        self.taken: Step | None = None
        """The step that made the differences of the newest picture; None if there were several."""
        self.went_back = False
        """The newest picture is of an earlier batch than the one before it."""
        self._at: Place | None = None

    def follow(self, s: Snapshot) -> None:
        """Take in a picture."""
        layers = s.inside.layers
        if not layers or layers[0].editions is None:
            self._at = self.taken = None
            self.went_back = False
            return
        place = (s.step, s.batches_done, s.val_batch)
        if place != self._at:
            self.went_back = self._at is not None and place[1] < self._at[1]
            self.taken = self._at[0] if self._at and _next(self._at, place) else None
            self._at = place


def _next(last: Place, now: Place) -> bool:
    """Whether one single phase lies between two places."""
    if now[0] not in _FOLLOWERS[last[0]]:
        return False
    same = last[0] is not Step.OTHER or now[0] is Step.UPDATE
    if last[0] is Step.OTHER and now[0] is Step.VALIDATE:
        same = now[1] == last[1]
    return now[1] == last[1] if same else now[1] in (last[1], last[1] + 1)


def tell(
    taken: Step | None,
    differences: Sequence[Difference],
    batch: BatchFacts | None = None,
    on: Collection[Fault] = (),
) -> Span:
    """What a step did, for whoever has just read the guide, and the style to write it in.

    Args:
        taken: the step; None tells of everything since the last pause.
        differences: what has changed in each layer.
        batch: what the loop has in its hands now.
        on: what is broken on purpose.
    """
    known = [d for d in differences if d.after.parameters]
    if taken is Step.ZERO_GRAD:
        return _zero_grad(known, on)
    if taken is Step.BACKWARD:
        return _backward(known, on)
    if taken is Step.UPDATE:
        return _update(known, on)
    moved, clipped = _share(known, "moved"), _share(known, "clipped")
    if taken is Step.OTHER and clipped:
        return f"clipping shortened the gradients of {clipped}", "warn"
    if taken is None or moved or any(d.word != "unchanged" for d in known):
        return _several(known), "bold" if moved else ""
    if taken is Step.FORWARD:
        made = f": {_tensors(batch.outputs)}" if batch is not None and batch.outputs else ""
        return f"forward made the outputs{made}; no weight and no gradient changed", ""
    if taken is Step.LOSS:
        is_ = f" is {number(batch.loss)}" if batch is not None and batch.loss is not None else ""
        return f"the loss{is_ or ' is there'}; no weight and no gradient changed", ""
    if taken is Step.DATA:
        came = f": {_tensors(batch.features)}" if batch is not None and batch.features else ""
        return f"a batch came{came}; nothing changed in the model", ""
    if taken is Step.VALIDATE:
        return "validation only looks: nothing changed in the model", ""
    return "counting, moving the schedule: nothing changed in the model", ""


def _zero_grad(known: list[Difference], on: Collection[Fault]) -> Span:
    cleared = _share(known, "cleared")
    if cleared and Fault.LATE_ZERO_GRAD in on:
        return (
            f"zero_grad threw away the gradients of {cleared}: backward had just made them",
            "bad",
        )
    if cleared:
        return f"zero_grad cleared the gradients of {cleared}", "bold"
    there = any(d.after.grad_norm for d in known)
    if Fault.LATE_ZERO_GRAD in on:
        return "zero_grad is left out here: it comes after backward", "warn"
    if Fault.NO_ZERO_GRAD in on:
        kept = ": the old gradients are still there" if there else ""
        return f"zero_grad is left out{kept}", "warn"
    if not there:
        return "nothing changed: zero_grad found no gradients to clear", ""
    return "nothing changed", ""


def _backward(known: list[Difference], on: Collection[Fault]) -> Span:
    filled, added = _share(known, "filled"), _share(known, "added to")
    if added:
        more = "the old ones were still there, so they add up"
        return f"backward added to the gradients of {added}: {more}", "warn"
    if filled:
        return f"backward filled the gradients of {filled}; no weight has moved yet", "bold"
    if Fault.NO_BACKWARD in on:
        return "backward is left out: no gradient was computed", "warn"
    return "nothing changed: backward reached no layer", "warn"


def _update(known: list[Difference], on: Collection[Fault]) -> Span:
    moved = [d.after for d in known if d.weights == "moved"]
    if moved:
        down = sum(row.against is not None and row.against > 0 for row in moved)
        way = ", against the gradient"
        if down < len(moved):
            way = f", {down} of them{way[1:]}" if down else ", carried by momentum or weight decay"
        return f"step moved the weights of {_of(len(moved), len(known))}{way}", "bold"
    if Fault.NO_STEP in on:
        return "step is left out: no weight moved", "warn"
    if not any(d.after.grad_norm for d in known):
        return "nothing changed: step found no gradients to follow", "warn"
    return "nothing changed: step moved no weight", "warn"


def _several(known: list[Difference]) -> str:
    """Everything since the last pause."""
    words = [
        f"weights of {share} moved" if word == "moved" else f"gradients of {share} {said}"
        for word, said in (
            ("moved", ""),
            ("filled", "filled"),
            ("added to", "changed"),
            ("cleared", "cleared"),
            ("clipped", "clipped"),
        )
        if (share := _share(known, word))
    ]
    return f"since the last pause: {'; '.join(words) or 'nothing changed'}"


def _share(known: list[Difference], word: str) -> str:
    """How many layers a word is said of: "5 layers", "3 of 5 layers"; "" for none."""
    part = [d for d in known if (d.weights if word == "moved" else d.grads) == word]
    return _of(len(part), len(known)) if part else ""


def _of(some: int, layers: int) -> str:
    return counted(layers, "layer") if some == layers else f"{some} of {counted(layers, 'layer')}"


def _tensors(facts: Sequence[TensorFact]) -> str:
    more = f" and {len(facts) - 1} more" if len(facts) > 1 else ""
    return facts[0].text + more
