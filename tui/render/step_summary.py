"""Which step was taken between two snapshots of the layers, if it was just one."""

from __future__ import annotations

from typing import Final

from ...core.protocol.snapshot import Snapshot
from ...core.protocol.steps import Step

_FOLLOWERS: Final[dict[Step, frozenset[Step]]] = {
    Step.DATA: frozenset({Step.ZERO_GRAD, Step.FORWARD}),
    Step.ZERO_GRAD: frozenset({Step.FORWARD, Step.CLIP, Step.OTHER, Step.UPDATE}),
    Step.FORWARD: frozenset({Step.LOSS}),
    Step.LOSS: frozenset({Step.BACKWARD}),
    Step.BACKWARD: frozenset({Step.ZERO_GRAD, Step.CLIP, Step.OTHER, Step.UPDATE}),
    Step.CLIP: frozenset({Step.UPDATE}),
    Step.UPDATE: frozenset({Step.OTHER}),
    Step.VALIDATE: frozenset({Step.VALIDATE, Step.OTHER, Step.DATA}),
    Step.OTHER: frozenset({Step.CLIP, Step.UPDATE, Step.OTHER, Step.VALIDATE, Step.DATA}),
}
"""What may come right after each phase, in any of the loops."""

Place = tuple[Step, int, int]


class StepSummary:
    """Finds which step was taken between two snapshots with exact layers."""

    def __init__(self) -> None:
        self.taken: Step | None = None
        """The step that made the newest snapshot's differences; None if there were several."""
        self.went_back = False
        """The newest snapshot is of an earlier batch than the one before it."""
        self._at: Place | None = None

    def follow(self, s: Snapshot) -> None:
        """Compare a snapshot with the one before it."""
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
    same = last[0] is not Step.OTHER or now[0] in (Step.CLIP, Step.UPDATE)
    if last[0] is Step.OTHER and now[0] is Step.VALIDATE:
        same = now[1] == last[1]
    return now[1] == last[1] if same else now[1] in (last[1], last[1] + 1)
