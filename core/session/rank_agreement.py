"""`Agreement`: has all ranks of a run take the same commands at the same gates."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from ..protocol.commands import Command, Note, Sender, Sent, SetBreakpoints, Show, Suspended
from ..protocol.snapshot import Outcome
from ..serving import wire
from ..training.data_parallel import Replica
from ..training.ranks import RankGroup
from .controller import Controller
from .mailbox import Mailbox

if TYPE_CHECKING:
    from ..training.shards import Shards

LOCAL: Final = (Show, SetBreakpoints, Suspended, Note)
"""Commands that concern one process and change no number."""
ROUND: Final = 1.0
"""Seconds that a run is held before its ranks meet again, to hear of what another one was sent."""
ANOTHER: Final = re.compile(r"gloo/transport|Dist(?:Backend|Network|Store)Error")
"""What a traceback of torch's says where the fault is another rank's."""


def told_by_ranks(ranks: RankGroup, outcome: Outcome, gone: Sequence[int] = ()) -> Outcome:
    """How a run ends where this rank has failed: the outcome of the rank that failed first.

    A rank fails, too, because another one is gone, in the middle of what they do together.

    Args:
        gone: the ranks whose process has ended, as far as is known.
    """
    if not ANOTHER.search(outcome.traceback):
        ranks.tell_failure(outcome.reason, outcome.where, outcome.advice, outcome.line)
    told = ranks.failure()
    if told is None:
        who = "another rank has" if not gone else f"rank {gone[0]} has"
        if len(gone) > 1:
            who = f"ranks {', '.join(map(str, gone))} have"
        return replace(outcome, reason=f"{who} gone, and did not say why", advice="")
    name, reason, where, advice, line = told
    if name == ranks.name and ranks.first:
        return outcome
    return replace(outcome, reason=f"{name}: {reason}", where=where, advice=advice, line=line)


class Asked(msgspec.Struct, frozen=True):
    """A command on its way to the other ranks."""

    command: wire.Tagged
    by: Sender | None


class Meeting(msgspec.Struct, frozen=True):
    """What a rank brings to a gate where all meet."""

    asked: tuple[Asked, ...]
    slow_left: float
    """Seconds that slow motion still holds here; the first rank's counts."""


class Agreement:
    """The run's inbox where several ranks train: commands come from it that all have agreed on.

    At full speed no rank waits for this: that somebody asks for something travels with the
    gradients (see `Replica`; `Shards` have a note behind them), so that all ranks know of it at
    the same batch, and meet at the gate behind it. Where a run is held, or steps, they meet at
    every gate. What every rank does then follows from what all of them know.
    """

    def __init__(
        self,
        ranks: RankGroup,
        replica: Replica | Shards,
        mailbox: Mailbox,
        controller: Controller,
    ) -> None:
        self._ranks, self._replica = ranks, replica
        self._mailbox, self._controller = mailbox, controller
        self._agreed: deque[Command] = deque()
        self.meets = True
        """Whether all ranks are at this gate, to agree; so at the first one of a run."""
        mailbox.poke()

    @property
    def asks(self) -> bool:
        """Whether something was sent here that all have to agree on."""
        return self._mailbox.waiting

    def called(self) -> bool:
        """Whether some rank has asked to meet, at the gate behind a batch."""
        self.meets = self.meets or self._replica.read()[1]
        return self.meets

    def call(self) -> None:
        """Meet at the next gate: every rank does so."""
        self.meets = True
        self._mailbox.poke()

    def arrive(self) -> None:
        """Meet the others, if this is a gate for that: each hears what was sent to any of them."""
        self.meets = self.meets or self._controller.lockstep  # a step has ended here
        if not self.meets:
            return
        mine: list[Command] = []
        while (command := self._mailbox.next_command()) is not None:
            mine.append(command)
        own = Meeting(
            tuple(_asked(one) for one in mine if not isinstance(_inner(one), LOCAL)),
            self._controller.slow_left,
        )
        parts = self._ranks.gather_bytes(msgspec.msgpack.encode(own))
        meetings = [msgspec.msgpack.decode(part, type=Meeting) for part in parts]
        self._controller.slow_left = meetings[0].slow_left
        agreed = list(meetings[0].asked)
        for meeting in meetings[1:]:  # a signal, say, comes to each of them
            agreed += [one for one in meeting.asked if one not in agreed]
        self._agreed.extend(one for one in mine if isinstance(_inner(one), LOCAL))
        self._agreed.extend(map(_command, agreed))

    def next_command(self) -> Command | None:
        """The next command that was agreed on, or that concerns this process alone."""
        if self._agreed:
            return self._agreed.popleft()
        return self._mailbox.next_command(LOCAL)

    def patience(self, hold: float | None) -> float:
        """How long this rank waits for commands while the run is held for so long, None for
        longer; the others wait for the first one.
        """
        return min(ROUND, hold or ROUND) if self._ranks.first else 0.0

    def leave(self) -> None:
        """The gate is over: whether the next one is to be one where all meet."""
        self.meets = self._controller.lockstep
        if self._controller.lasting:  # every rank looks at the next gate, not only who is asked
            self._mailbox.poke()


def _inner(command: Command) -> Command:
    return command.command if isinstance(command, Sent) else command


def _asked(command: Command) -> Asked:
    return Asked(wire.tag(_inner(command)), command.by if isinstance(command, Sent) else None)


def _command(asked: Asked) -> Command:
    command = wire.command(asked.command)
    return command if asked.by is None else Sent(command, asked.by)
