"""`Mailbox`: what a run shares with other threads: commands on their way in, pictures out."""

from __future__ import annotations

import threading
from collections import deque

from ..protocol.commands import Command
from ..protocol.snapshot import Outcome, Snapshot


class Mailbox:
    """Keeps commands, in order, until the run's next gate, and the newest Snapshot for readers.

    There is never a queue of Snapshots: a reader asks for one, and the run builds one at its next
    gate. The outcome has a slot of its own that no later Snapshot overwrites.
    """

    def __init__(self) -> None:
        self.attention = False
        """Whether the run has something to do at its next gate. A plain attribute, so that a gate
        at full speed costs one read."""
        self.wanted = False
        """Whether a fresh Snapshot was asked for."""
        self.settled = False
        """Whether the newest Snapshot stays true: paused with nothing changing, or ended."""
        self.outcome: Outcome | None = None
        self.answered = 0
        """How many commands had been taken when the newest Snapshot was built."""
        self._sent = self._taken = 0
        self._commands: deque[Command] = deque()
        self._newest: Snapshot | None = None
        self._curves_wanted = False
        self._asked = self._serving = self._served = 0
        self._changed = threading.Condition()

    # For a front end, in any thread.

    def send(self, command: Command) -> int:
        """Ask for something; it takes effect at the next gate that allows it.

        Returns:
            Its number, to be compared with `answered`.
        """
        with self._changed:
            self._commands.append(command)
            self._sent += 1
            self._wake()
            return self._sent

    def poke(self) -> None:
        """Make the run look up (it may be paused) without asking it for anything."""
        with self._changed:
            self._wake()

    def _wake(self) -> None:
        self.attention = True
        self._changed.notify_all()

    @property
    def newest(self) -> Snapshot | None:
        """The newest Snapshot, without asking for another one."""
        return self._newest

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        """The newest Snapshot, at once; a fresher one is asked for if there can be one."""
        if not self.settled and (not self.wanted or curves):
            self.ask(curves=curves)
        return self._newest

    def fresh(self, timeout: float) -> Snapshot:
        """A Snapshot built after this call, with the whole-run curves; the last one if the run
        has ended.

        Raises:
            TimeoutError: no gate was reached within `timeout` seconds.
        """
        ticket = self.ask(curves=True)
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._served >= ticket or self.outcome is not None, timeout
            ):
                raise TimeoutError(f"no gate was reached within {timeout} s")
            assert self._newest is not None
            return self._newest

    def ask(self, *, curves: bool) -> int:
        """Have the next gate build a Snapshot; its number, as `fresh` waits for it."""
        with self._changed:
            self._asked += 1
            self._curves_wanted = self._curves_wanted or curves
            self.wanted = True
            self._wake()
            return self._asked

    # For the run, in its own thread.

    @property
    def waiting(self) -> bool:
        """Whether a command waits."""
        return bool(self._commands)

    def next_command(self, kinds: tuple[type, ...] | None = None) -> Command | None:
        """Remove and return the oldest command that waits; None if there is none, or if it is, or
        its sender's, of none of these kinds.
        """
        if not self._commands:
            return None
        oldest = self._commands[0]
        if kinds is not None and not isinstance(getattr(oldest, "command", oldest), kinds):
            return None
        self._taken += 1
        return self._commands.popleft()

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until `attention` is set, or for `timeout` seconds; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self.attention, timeout)

    def begin_snapshot(self) -> bool:
        """Lower `wanted`; whether the Snapshot that is built now needs the curves.

        What was sent since this gate took its commands is not in that Snapshot: whoever waits for
        its answer gets it with another one, from the gate that takes it.
        """
        with self._changed:
            curves = self._curves_wanted
            self.wanted, self._curves_wanted = bool(self._commands), False
            self._serving = self._asked
            return curves

    def publish(self, snapshot: Snapshot) -> None:
        """Make this the newest Snapshot."""
        with self._changed:
            if self.outcome is not None and snapshot.outcome is None:
                return
            self._newest = snapshot
            self.outcome = snapshot.outcome
            self._served, self.answered = self._serving, self._taken
            self._changed.notify_all()
