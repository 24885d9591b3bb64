"""`RunServer`: answers other processes of the user's for a run, in one thread of its own."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from ..protocol.commands import Command, Sender, Sent, Show
from ..protocol.device_reading import DeviceReading
from ..protocol.foreign import refusal
from ..protocol.rank_times import RankNow
from ..protocol.snapshot import Outcome, RunInfo, RunLocation, Snapshot
from ..protocol.steps import Step
from .address import listen, peer, remove, sweep

if TYPE_CHECKING:
    from .wire import Message, Request

MOST: Final = 16
"""Clients at a time."""
PER_SECOND: Final = 400
"""Requests that a client may send; a screen sends less than fifty."""
ACCEPTED: Final = 40
"""Connections a second; the next ones wait."""
SILENT: Final = 2.0
"""Seconds until a client has to have said what it is."""
IDLE: Final = 10.0
"""Seconds of silence after which a client gives way to another one."""
STALLED: Final = 30.0
"""Seconds for which a client may take nothing of what waits for it."""
SOONEST, SLOWEST = 0.004, 0.05
"""Seconds between two looks whether a picture that was asked for is there."""
GLANCE: Final = 5.0
"""Seconds between two looks whether the socket is still there."""
RECEIVED: Final = 64 << 10
"""Bytes that are read at a time."""
PARTING: Final = 1.0
"""Seconds that the end of a run waits for clients to take its last picture."""


class ServedMailbox(Protocol):
    """What is used of a run's mailbox."""

    @property
    def newest(self) -> Snapshot | None: ...
    @property
    def answered(self) -> int: ...
    def send(self, command: Command) -> int: ...
    def ask(self, *, curves: bool) -> int: ...
    def latest(self, *, curves: bool = False) -> Snapshot | None: ...


class Served(Protocol):
    """What is used of a run."""

    @property
    def info(self) -> RunInfo: ...
    @property
    def outcome(self) -> Outcome | None: ...
    def now(self) -> tuple[Step, float]: ...
    def ranks(self) -> tuple[RankNow, ...]: ...


class _Client:
    """One connection. Everything that it may fill is bounded."""

    def __init__(self, connection: socket.socket, who: Sender) -> None:
        self.socket, self.who = connection, who
        self.greeted = self.watches = False
        self.since = self.heard = self.took = monotonic()
        """When it came, was heard last, and took something last."""
        self.come, self.out = bytearray(), bytearray()
        self.asked: bool | None = None
        """Whether with curves it has asked for a picture; None if it has not."""
        self.last: Snapshot | None = None
        """The picture that it was sent last."""
        self.tickets: list[tuple[int, int]] = []
        """Its commands that the run has not taken yet: its number, and the mailbox's."""
        self.show = Show()
        self.info: RunInfo | None = None
        """What it was told of the run."""
        self.last_words = False
        """It is to be dropped once it has been told why."""
        self._second, self._requests = 0, 0

    def floods(self) -> bool:
        """Count a request; whether that is too many."""
        second = int(monotonic())
        if second != self._second:
            self._second, self._requests = second, 0
        self._requests += 1
        return self._requests > PER_SECOND


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a client is told besides."""

    location: RunLocation
    device: Callable[[], DeviceReading | None] = lambda: None
    """Takes a reading of the machine; called by the serving thread."""


class RunServer:
    """Serves one run until it has ended. Nothing of it touches the training thread, which does not
    even wake this one: that would hand over Python's lock in the middle of a batch.

    One watching client steers; what others ask for is refused, unless they take over. What only
    sends commands always may: whoever writes a script knows what for.

    Args:
        run: is looked at.
        mailbox: of that run.
        announce: is told the path of the socket, and each new one.
        about: of that run.

    Raises:
        OSError: there is no place for a socket.
    """

    def __init__(
        self,
        run: Served,
        mailbox: ServedMailbox,
        announce: Callable[[str], None],
        about: Introduction,
    ) -> None:
        self._run, self._mailbox, self._announce, self._about = run, mailbox, announce, about
        self.watched = False
        """Whether a screen is attached."""
        self.steered = False
        """Whether somebody has ever asked for something from elsewhere."""
        self._clients: dict[socket.socket, _Client] = {}
        self._steers: _Client | None = None
        self._accepted: tuple[int, int] = 0, 0
        self._closing = self._resting = False
        self._nap = SOONEST
        self._selector = selectors.DefaultSelector()
        self._waker, self._wakes = socket.socketpair()
        for end in (self._waker, self._wakes):
            end.setblocking(False)
        self._selector.register(self._wakes, selectors.EVENT_READ)
        self._listener, self.path = self._listen()
        self._thread = threading.Thread(target=self._serve, name="fivestep-serving", daemon=True)
        _serving.add(self)
        self._thread.start()

    def _listen(self) -> tuple[socket.socket, Path]:
        listener, path = listen()
        try:
            self._announce(str(path))
        except OSError:
            listener.close()
            with suppress(OSError):
                remove(path)
            raise
        self._selector.register(listener, selectors.EVENT_READ)
        return listener, path

    def close(self) -> None:
        """Send everybody the last picture, and end; `PARTING` seconds at most."""
        self._closing = True
        self._wake()
        self._thread.join(PARTING)

    def leave_to_parent(self) -> None:
        """In a forked child: close what is the parent's."""
        self._selector.close()
        for one in (self._listener, self._waker, self._wakes, *self._clients):
            one.close()

    def _wake(self) -> None:
        with suppress(OSError):  # full: it is awake anyway
            self._waker.send(b"\0")

    # The thread.

    def _serve(self) -> None:
        sweep(self.path.parent)
        end = None
        while True:
            here = monotonic()
            if self._closing and end is None:
                end = here + PARTING / 2
                self._part()
            if end is not None and (here > end or not any(c.out for c in self._clients.values())):
                break
            for key, events in self._selector.select(self._pause(ending=end is not None)):
                if key.fileobj is self._wakes:
                    with suppress(OSError):
                        self._wakes.recv(4096)
                elif key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.data, _Client) and key.data.socket in self._clients:
                    self._attend(key.data, events)
            self._deliver()
            self._look_around()
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()
        for one in (self._listener, self._waker, self._wakes):
            one.close()
        with suppress(OSError):
            remove(self.path)
        if self.path.parent.name.startswith("fivestep-"):
            with suppress(OSError):
                self.path.parent.rmdir()  # if it is the last one's

    def _pause(self, *, ending: bool) -> float:
        """Seconds until the next look, if nothing comes: soon after something was asked for."""
        if ending or self._resting:
            return 0.1
        if any(client.asked is not None or client.tickets for client in self._clients.values()):
            self._nap = min(self._nap * 1.5, SLOWEST)
            return self._nap
        return 0.5 if self._clients else GLANCE

    def _look_around(self) -> None:
        """Drop who says or takes nothing, and see that others still find the run."""
        here = monotonic()
        for client in list(self._clients.values()):
            late = not client.greeted and here - client.since > SILENT
            stalled = bool(client.out) and here - client.took > STALLED
            if late or stalled or (client.last_words and not client.out):
                self._drop(client)
        if self._resting and int(here) != self._accepted[0]:
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._resting = False
        if not self._closing and not self._resting and not self.path.exists():
            with suppress(OSError):  # tried again
                old = self._listener
                self._listener, self.path = self._listen()
                self._selector.unregister(old)
                old.close()

    def _accept(self) -> None:
        from . import wire

        second, count = self._accepted
        now = int(monotonic())
        self._accepted = (now, count + 1) if now == second else (now, 1)
        if self._accepted[1] > ACCEPTED:
            self._selector.unregister(self._listener)
            self._resting = True
            return
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        who = peer(connection)
        connection.setblocking(False)
        if who is None or not self._has_room():
            with suppress(OSError):
                if who is not None:
                    connection.send(wire.frame(wire.Refused(f"{MOST} clients are there already")))
            connection.close()
            return
        self._clients[connection] = client = _Client(connection, who)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _has_room(self) -> bool:
        """Whether one more may come; whoever has been silent for long gives way."""
        if len(self._clients) < MOST:
            return True
        quietest = min(self._clients.values(), key=lambda client: client.heard)
        if monotonic() - quietest.heard < IDLE:
            return False
        self._drop(quietest)
        return True

    def _drop(self, client: _Client) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(client.socket)
        client.socket.close()
        del self._clients[client.socket]
        if client.show != Show():
            self._mailbox.send(Sent(Show(), client.who))
        if client is self._steers:
            self._steers = None
            heir = next((one for one in self._clients.values() if one.watches), None)
            if heir is not None:
                self._let_steer(heir)
        self.watched = any(one.watches for one in self._clients.values())

    # What comes.

    def _attend(self, client: _Client, events: int) -> None:
        from . import wire

        try:
            if events & selectors.EVENT_READ:
                self._receive(client)
            if events & selectors.EVENT_WRITE and client.socket in self._clients:
                self._send(client)
        except wire.WireError as error:
            with suppress(OSError):
                client.socket.send(wire.frame(wire.Refused(str(error)[:200])))
            self._drop(client)
        except OSError:
            self._drop(client)

    def _receive(self, client: _Client) -> None:
        """Take in what has come, and answer it. Raises OSError, WireError."""
        from . import wire

        try:
            piece = client.socket.recv(RECEIVED)
        except (BlockingIOError, InterruptedError):
            return
        if not piece:
            raise ConnectionResetError
        client.heard, self._nap = monotonic(), SOONEST
        come = client.come
        come += piece
        size = wire.HEAD.size
        while len(come) >= size and not client.last_words:
            whole = size + wire.length(bytes(come[:size]), wire.MOST_ASKED)
            if len(come) < whole:
                break
            body = bytes(come[size:whole])
            del come[:whole]
            if client.floods():
                raise wire.WireError("too many requests a second")
            self._answer(client, wire.request(body))

    def _answer(self, client: _Client, request: Request) -> None:
        from . import wire

        match request:
            case wire.Hello(version, watches) if not client.greeted:
                client.greeted = True
                if version != wire.VERSION:
                    self._say(client, wire.Refused(f"this run speaks version {wire.VERSION}"))
                    client.last_words = True
                    return
                client.watches = watches
                self._say(client, self._welcome(client))
                if watches:
                    self.watched = True
                    if self._steers is None:
                        self._steers = client
                    self._say(client, wire.Steers(self._steerer(client)))
            case _ if not client.greeted:
                raise wire.WireError("a client begins with Hello")
            case wire.Ask(curves):
                client.asked = curves or bool(client.asked)
                self._mailbox.latest(curves=curves)
            case wire.AskNow():
                step, since = self._run.now()
                self._say(client, wire.Now(step, perf_counter() - since))
            case wire.AskRanks():
                self._say(client, wire.Ranks(self._run.ranks()))
            case wire.AskDevice():
                self._say(client, wire.Device(self._about.device()))
            case wire.Do(number, tagged):
                self._do(client, number, wire.command(tagged))
            case wire.TakeOver() if client.watches:
                self._let_steer(client)
            case _:
                raise wire.WireError("not now")

    def _welcome(self, client: _Client) -> Message:
        from . import wire

        client.info = self._run.info
        return wire.Welcome(wire.VERSION, client.info, self._about.location)

    def _do(self, client: _Client, number: int, command: Command) -> None:
        from . import wire

        problem = ""
        if self._run.outcome is not None:
            problem = "the run has ended"
        elif self._run.info.foreign and (why := refusal(command)):
            problem = why
        elif isinstance(command, Show):
            client.show = command
        elif client.watches and client is not self._steers:
            problem = f"{self._steerer(client)} steers this run"
        if problem:
            self._say(client, wire.Done(number, problem))
            return
        self.steered = self.steered or not isinstance(command, Show)
        ticket = self._mailbox.send(Sent(command, client.who))
        client.tickets.append((number, ticket))
        self._mailbox.ask(curves=False)

    def _steerer(self, client: _Client) -> str:
        """Which screen steers, as another one is told; "" for this one."""
        steers = self._steers
        return "" if steers is None or steers is client else steers.who.text

    def _let_steer(self, client: _Client) -> None:
        from . import wire

        self._steers = client
        for one in self._clients.values():
            if one.watches:
                self._say(one, wire.Steers(self._steerer(one)))

    # What goes.

    def _deliver(self) -> None:
        """Give everybody what there is for them by now."""
        from . import wire

        newest, answered = self._mailbox.newest, self._mailbox.answered
        ended = self._run.outcome is not None
        for client in list(self._clients.values()):
            taken = [number for number, ticket in client.tickets if ticket <= answered or ended]
            if not client.greeted or (client.asked is None and not taken):
                continue
            if newest is not None and newest is not client.last and not client.out:
                self._picture(client, newest)
            if taken:
                client.tickets = [pair for pair in client.tickets if pair[0] not in taken]
                for number in taken:
                    self._say(client, wire.Done(number, ""))

    def _picture(self, client: _Client, snapshot: Snapshot) -> None:
        from . import wire

        info = self._run.info
        if info.foreign and info is not client.info:  # more of it is known by now
            self._say(client, self._welcome(client))
        self._say(client, wire.pack(snapshot, client.last, info.parameters))
        client.last, client.asked = snapshot, None

    def _part(self) -> None:
        """The run has ended: everybody gets its last picture, whether they asked or not."""
        newest = self._mailbox.newest
        for client in list(self._clients.values()):
            if client.greeted and newest is not None and newest is not client.last:
                self._picture(client, newest)
        self._deliver()

    def _say(self, client: _Client, message: Message) -> None:
        from . import wire

        if not client.out:
            client.took = monotonic()
        client.out += wire.frame(message)
        try:
            self._send(client)
        except OSError:
            client.last_words = True
            client.out.clear()

    def _send(self, client: _Client) -> None:
        """Send what the other end takes now. Raises OSError."""
        while client.out:
            try:
                sent = client.socket.send(memoryview(client.out)[:RECEIVED])
            except (BlockingIOError, InterruptedError):
                break
            client.took = monotonic()
            del client.out[:sent]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.out else 0)
        self._selector.modify(client.socket, wanted, client)


_serving: Final[weakref.WeakSet[RunServer]] = weakref.WeakSet()


def _forget() -> None:
    # A forked child, a loader's worker say, would keep the socket open after its parent was killed.
    for server in list(_serving):
        server.leave_to_parent()


os.register_at_fork(after_in_child=_forget)
