"""`RemoteRun`: a run in another process, looked at and steered like one in this process."""

from __future__ import annotations

import socket
import threading
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Final

from ..protocol.commands import Command
from ..protocol.device_reading import DeviceReading
from ..protocol.rank_times import RankNow
from ..protocol.snapshot import Outcome, RunInfo, RunLocation, Snapshot
from ..protocol.steps import State, Step
from . import wire
from .address import peer

PATIENCE: Final = 5.0
"""Seconds in which a run has to answer that somebody has come."""
MOST_RETURNS: Final = 100
"""How often a screen connects again in its life."""
GONE: Final = "the run's process has gone: it was killed, or has left"


class UnreachableError(OSError):
    """Why a run can't be attached to: one line, for a person."""


class RemoteRun:
    """A connection to a run, whose answers a thread of its own takes in.

    Args:
        address: the path of the run's socket.
        watches: a screen, of which one steers; False for what only sends commands.

    Raises:
        UnreachableError: nobody answers there, or not for us.
    """

    def __init__(self, address: str, *, watches: bool = True) -> None:
        self._address, self._watches = address, watches
        self._lock = threading.Lock()
        self._come = threading.Condition()
        self._newest: Snapshot | None = None
        self._now: tuple[Step, float] | None = None
        self._asked: bool | None = None
        """Whether with curves a picture was asked for that has not come; None if none was."""
        self._asked_now = self._closed = False
        self._device: DeviceReading | None = None
        self._asked_device = False
        self._ranks: tuple[RankNow, ...] = ()
        self._asked_ranks: float | None = None
        """Since when what the ranks do was asked for, and has not come; None if it was not."""
        self._numbers = self._returns = 0
        self._done: dict[int, str] = {}
        self._gone: Outcome | None = None
        self.steerer = ""
        """Who steers; "" if this one does."""
        self.notices: deque[str] = deque(maxlen=20)
        """What the run has to say to whoever looks at it."""
        first = self._connect()
        self.info: RunInfo = first.info
        self.location: RunLocation = first.location
        self._thread = threading.Thread(target=self._listen, name="fivestep-attached", daemon=True)
        self._thread.start()
        self.latest(curves=True)

    def _connect(self) -> wire.Welcome:
        """Begin a conversation. Raises UnreachableError."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.connect(self._address)
            if peer(self._socket) is None:
                raise UnreachableError("it is another user's")
            self._socket.sendall(wire.frame(wire.Hello(wire.VERSION, self._watches)))
            first = self._read()
            self._socket.settimeout(None)
        except (OSError, wire.WireError) as error:
            self._socket.close()
            if isinstance(error, UnreachableError):
                raise
            why = "it does not answer" if isinstance(error, TimeoutError) else "nobody answers"
            raise UnreachableError(f"{why} ({error})") from error
        if isinstance(first, wire.Welcome):
            return first
        self._socket.close()
        why = first.why if isinstance(first, wire.Refused) else "it says something else"
        raise UnreachableError(f"it refuses: {why}")

    @property
    def name(self) -> str:
        """The run's own name."""
        return self.location.name or Path(self.location.place).name

    # What a front end uses, as of a `Session`.

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended, or that it can't be reached any more; None while it goes on."""
        newest = self._newest
        ended = newest.outcome if newest is not None else None
        return ended or self._gone

    @property
    def lost(self) -> bool:
        """Whether the connection has ended though the run, as far as is known, has not."""
        return self._gone is not None and self.outcome is self._gone

    def now(self) -> tuple[Step, float] | None:
        """What ran when that was last asked, and since when (`time.perf_counter`); asks again."""
        if not self._asked_now:
            self._asked_now = True
            self._send(wire.AskNow())
        return self._now

    def ranks(self) -> tuple[RankNow, ...]:
        """What each of several processes did when that was last asked, the one that answers here
        first; asks again. Empty for one process, which is not asked any more.
        """
        asked = self._asked_ranks
        if asked is None:
            self._asked_ranks = perf_counter()
            self._send(wire.AskRanks())
        if asked is None or not self._ranks:
            return self._ranks
        first, *others = self._ranks
        return replace(first, silent=perf_counter() - asked), *others

    def device(self) -> DeviceReading | None:
        """What the run's machine did when that was last asked; asks again."""
        if not self._asked_device:
            self._asked_device = True
            self._send(wire.AskDevice())
        return self._device

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        """The newest Snapshot that has come; asks for the next one."""
        if self._asked is None or (curves and not self._asked):
            self._asked = curves
            self._send(wire.Ask(curves))
        return self._newest

    def send(self, command: Command) -> int:
        """Steer the run; the number of this command."""
        with self._lock:
            self._numbers += 1
            number = self._numbers
        self._send(wire.Do(number, wire.tag(command)))
        return number

    def take_over(self) -> None:
        """Steer from now on, in the place of whoever does."""
        self._send(wire.TakeOver())

    def taken(self, number: int) -> str:
        """Wait until the run has taken a command; why it has not, "" if it has."""
        with self._come:
            self._come.wait_for(lambda: number in self._done or self._gone is not None)
            return self._done.pop(number, GONE)

    def picture(self, after: Snapshot | None) -> Snapshot:
        """Wait for a Snapshot newer than this one; the last there is once the run has ended.

        Raises:
            UnreachableError: the connection is lost, and no Snapshot says how the run ended.
        """
        with self._come:
            while True:
                newest = self.latest()
                if newest is not None and (newest is not after or newest.outcome is not None):
                    return newest
                if self._gone is not None:
                    raise UnreachableError(GONE)
                self._come.wait()

    def wait(self) -> None:
        """Wait until the run has ended, is on the disk, and lets its files go."""
        with self._come:
            self._come.wait_for(lambda: self._gone is not None)

    def close(self) -> None:
        """Leave the run, which goes on."""
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    # The connection.

    def _send(self, message: wire.Message) -> None:
        with self._lock, suppress(OSError):  # the other thread notices
            self._socket.sendall(wire.frame(message))

    def _read(self) -> wire.Answer:
        """The next answer. Raises OSError, WireError."""
        head = self._exactly(wire.HEAD.size)
        return wire.answer(self._exactly(wire.length(head, wire.MOST_ANSWERED)))

    def _exactly(self, size: int) -> bytes:
        come = bytearray()
        while len(come) < size:
            piece = self._socket.recv(min(size - len(come), 1 << 20))
            if not piece:
                raise ConnectionResetError("the connection has ended")
            come += piece
        return bytes(come)

    def _listen(self) -> None:
        why = GONE
        try:
            while True:
                answer = self._read()
                if isinstance(answer, wire.Refused):
                    why = answer.why
                    break
                with self._come:
                    self._take(answer)
                    self._come.notify_all()
        except wire.WireError as error:
            why = f"what the run sends can't be read: {error}"
        except OSError:
            if self._came_back():
                self._listen()
                return
        with self._come:
            if not self._closed:
                self._gone = Outcome(State.FAILED, why)
            if not self._closed and (self._newest is None or self._newest.outcome is None):
                self.notices.append(why)
            self._come.notify_all()

    def _came_back(self) -> bool:
        """Whether the run answers anew: this process may have been stopped for long, and dropped.

        What only sends commands does not come back: it could not tell which were taken.
        """
        ended = self._newest is not None and self._newest.outcome is not None
        if self._closed or ended or not self._watches or self._returns >= MOST_RETURNS:
            return False
        self._returns += 1
        self._socket.close()
        try:
            self._connect()
        except UnreachableError:
            return False
        self._asked, self._asked_now, self._asked_ranks = None, False, None
        self._asked_device = False
        self.latest(curves=True)
        return True

    def _take(self, answer: wire.Answer) -> None:
        match answer:
            case wire.Welcome():
                self.info, self.location = answer.info, answer.location
            case wire.Picture():
                self._newest, self._asked = wire.unpack(answer, self._newest), None
                if self.info.parameters != answer.parameters:
                    self.info = replace(self.info, parameters=answer.parameters)
            case wire.Now(step, seconds):
                self._now, self._asked_now = (step, perf_counter() - seconds), False
            case wire.Device(reading):
                self._device, self._asked_device = reading, reading is None
            case wire.Ranks(ranks):
                self._ranks = ranks
                self._asked_ranks = None if ranks else float("inf")
            case wire.Done(number, problem):
                self._done[number] = problem
                while len(self._done) > 100:  # of a screen, which does not wait for them
                    self._done.pop(next(iter(self._done)))
                if problem:
                    self.notices.append(problem)
            case wire.Steers(who):
                if who != self.steerer:
                    took = f"{who} steers; O takes over" if who else "you steer this run"
                    self.notices.append(took)
                self.steerer = who
            case _:
                raise wire.WireError("not now")
