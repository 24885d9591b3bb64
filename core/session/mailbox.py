"""The mailbox between a run and whoever looks at it: it holds the newest picture, never a queue."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..protocol.snapshot import Outcome, Snapshot


class Mailbox:
    """Hands over the newest Snapshot.

    The reader raises `wanted`; the session builds one Snapshot at its next gate and lowers it.
    The outcome has a slot of its own that no later Snapshot overwrites.

    Args:
        wake: makes the session look up, even if it is paused.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wanted = False
        self.settled = False
        """Set while the newest Snapshot stays true: paused with nothing changing, or ended."""
        self.outcome: Outcome | None = None
        self._wake = wake
        self._newest: Snapshot | None = None
        self._curves_wanted = False
        self._asked = self._serving = self._served = 0
        self._changed = threading.Condition()

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        """The newest picture, at once; a fresher one is asked for if there can be one."""
        if not self.settled and (not self.wanted or curves):
            self._ask(curves=curves)
        return self._newest

    def wait(self, timeout: float) -> Snapshot:
        """A picture built after this call, with the whole-run curves; the last one if it ended.

        Raises:
            TimeoutError: no gate was reached within `timeout` seconds.
        """
        ticket = self._ask(curves=True)
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._served >= ticket or self.outcome is not None, timeout
            ):
                raise TimeoutError(f"no gate was reached within {timeout} s")
            assert self._newest is not None
            return self._newest

    def _ask(self, *, curves: bool) -> int:
        with self._changed:
            self._asked += 1
            self._curves_wanted = self._curves_wanted or curves
            self.wanted = True
            ticket = self._asked
        self._wake()
        return ticket

    def begin(self) -> bool:
        """For the session: lower `wanted`; whether the picture it builds next needs the curves."""
        with self._changed:
            curves = self._curves_wanted
            self.wanted = self._curves_wanted = False
            self._serving = self._asked
            return curves

    def publish(self, snapshot: Snapshot) -> None:
        """For the session: put the newest picture in."""
        with self._changed:
            if self.outcome is not None and snapshot.outcome is None:
                return
            self._newest = snapshot
            self.outcome = snapshot.outcome
            self._served = self._serving
            self._changed.notify_all()
