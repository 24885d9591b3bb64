"""Breaking the loop on purpose: from which batch on, and what there was before."""

from __future__ import annotations

from typing import Any

from ..protocol.faults import LR_FACTOR, Switch
from ..training.loop import NOT_SCALED
from .controller import Steering
from .state import Parts, take_state


class Switching:
    """Turns switches between two batches. Only the training thread touches it."""

    def __init__(self, parts: Parts, steering: Steering) -> None:
        self.before: dict[str, Any] | None = None
        """The run's state from before anything was broken; None if nothing is."""
        self.relays = False
        """Whether another loop is to go on with the next batch."""
        self._parts, self._steering = parts, steering

    def switch(self, log: dict[str, Any] | None) -> None:
        """Make the loop what the steering wants, from the next batch on.

        Args:
            log: where the run's log is, for the way back.
        """
        at, rate = self._parts.progress, self._parts.rate
        wanted, now = self._steering.switches, at.switches
        if self._parts.training.scaler.is_enabled():
            self._steering.switches = now
            self._note(NOT_SCALED, "warning")
            return
        if not now:
            self.before = take_state(self._parts) | {"log": log}
        for switch in sorted(wanted - now):
            at.switched = (*at.switched, *(() if switch in at.switched else (switch,)))
            self._note(f"broken on purpose: {switch.info.label}")
        for switch in sorted(now - wanted):
            self._note(f"mended: {switch.info.label}")
        if Switch.LR_TIMES_100 in wanted ^ now:
            by = LR_FACTOR if Switch.LR_TIMES_100 in wanted else 1 / LR_FACTOR
            rate.scale(rate.factor * by)
        at.switches = wanted
        self.relays = True

    def undone(self) -> dict[str, Any]:
        """The state from before, once; nothing is broken any more."""
        before, self.before = self.before, None
        assert before is not None
        self._steering.switches = frozenset()
        return before

    def _note(self, text: str, kind: str = "switch") -> None:
        self._parts.record.change(self._parts.progress, text, kind)
