"""What a run and its clients send each other: typed messages, each with its length before it.

Nothing of it is executed; what has not the right type, or is too long, is refused as a whole.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final, get_args

import msgspec

from ..protocol import commands
from ..protocol.at_hand import AtHand
from ..protocol.device_reading import DeviceReading
from ..protocol.inside import Inside, ViewResult
from ..protocol.rank_times import RankNow
from ..protocol.snapshot import RunInfo, RunLocation, Snapshot
from ..protocol.steps import Step

VERSION: Final = 2
"""Goes up with every message that an older fivestep would not understand."""
MOST_ASKED: Final = 64 << 10
"""Bytes of a request."""
MOST_ANSWERED: Final = 64 << 20
"""Bytes of an answer."""
HEAD: Final = struct.Struct(">I")
"""The length of the message behind it."""


class WireError(ValueError):
    """What came is no message of ours."""


class Message(msgspec.Struct, frozen=True, tag=True, forbid_unknown_fields=True):
    """Any of the messages below."""


class Tagged(msgspec.Struct, frozen=True):
    """One of several dataclasses, by its name."""

    kind: str
    fields: msgspec.Raw


# From a client.


class Hello(Message, frozen=True):
    """The first message."""

    version: int
    watches: bool
    """A screen, of which one steers; anything else only sends commands."""


class Ask(Message, frozen=True):
    """For a picture newer than the last one that was sent."""

    curves: bool


class AskNow(Message, frozen=True):
    """Which phase runs at this moment."""


class AskRanks(Message, frozen=True):
    """What each of several processes does at this moment."""


class AskDevice(Message, frozen=True):
    """What the machine is doing that trains the run."""


class Do(Message, frozen=True):
    """A command; it is answered by `Done`."""

    number: int
    command: Tagged


class TakeOver(Message, frozen=True):
    """This screen is to steer from now on."""


Request = Hello | Ask | AskNow | AskRanks | AskDevice | Do | TakeOver


# From a run.


class Welcome(Message, frozen=True):
    """The first answer."""

    version: int
    info: RunInfo
    location: RunLocation


class Picture(Message, frozen=True):
    """A Snapshot. What is large and has not changed since the last one is left out."""

    snapshot: SentSnapshot
    view: Tagged | None
    """Its `inside.picture`."""
    same: tuple[str, ...]
    """Fields that are as in the last picture."""
    parameters: int | None
    """As in `RunInfo`: lazy layers come late."""


class Now(Message, frozen=True):
    """The phase that runs, and for how many seconds already."""

    step: Step
    seconds: float


class Ranks(Message, frozen=True):
    """What each of several processes does, the one that answers first; empty for one process."""

    ranks: tuple[RankNow, ...]


class Device(Message, frozen=True):
    """What the machine is doing; None where that is not known."""

    reading: DeviceReading | None


class Done(Message, frozen=True):
    """The run has taken a command; pictures before this answer may not show it yet, those after it
    do.
    """

    number: int
    problem: str
    """Why it was not taken; "" if it was."""


class Steers(Message, frozen=True):
    """Which screen steers, in words; "" if it is this one."""

    who: str


class Refused(Message, frozen=True):
    """The connection ends."""

    why: str


Answer = Welcome | Picture | Now | Ranks | Device | Done | Steers | Refused


@dataclass(frozen=True, slots=True)
class SentInside(Inside):
    """Travels without its picture, which may be of several kinds."""

    picture: None = None


@dataclass(frozen=True, slots=True)
class SentSnapshot(Snapshot):
    """A Snapshot as it travels."""

    inside: SentInside = SentInside()


LARGE: Final = ("curves", "recent", "changes", "facts", "inside", "breakpoints")
"""Fields of a Snapshot that are left out where they are the same as before."""
_NONE: Final[dict[str, Any]] = {
    "curves": (),
    "recent": (),
    "changes": (),
    "facts": None,
    "inside": Inside(),
    "breakpoints": (),
}
_NOT_SENT: Final = ("Suspended", "Note", "Sent")
"""What only a run's own process may say of it."""
_COMMANDS: Final = {
    kind.__name__: kind for kind in get_args(commands.Command) if kind.__name__ not in _NOT_SENT
}
_VIEWS: Final = {kind.__name__: kind for kind in (*get_args(ViewResult), *get_args(AtHand))}
_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final[msgspec.msgpack.Decoder[Request]] = msgspec.msgpack.Decoder(Request)
_answers: Final[msgspec.msgpack.Decoder[Answer]] = msgspec.msgpack.Decoder(Answer)


def frame(message: Message) -> bytes:
    """A message as it is sent."""
    try:
        body = _encoder.encode(message)
    except (UnicodeEncodeError, OverflowError):
        body = _encoder.encode(_plain(msgspec.structs.asdict(message), type(message).__name__))
    return HEAD.pack(len(body)) + body


def _plain(value: Any, tag: str = "") -> Any:
    """A value whose texts and numbers can all be written."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, (tuple, list, frozenset)):
        return [_plain(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        named = {name: _plain(one) for name, one in value.items()}
        return {"type": tag, **named} if tag else named
    return value


def length(head: bytes, most: int) -> int:
    """How long the message behind this head is.

    Raises:
        WireError: longer than any message is.
    """
    (found,) = HEAD.unpack(head)
    if found > most:
        raise WireError(f"a message of {found:,} bytes")
    return int(found)


def request(body: bytes | bytearray) -> Request:
    """What a client asks. Raises WireError."""
    try:
        return _requests.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(str(error)) from error


def answer(body: bytes | bytearray) -> Answer:
    """What a run answers. Raises WireError."""
    try:
        return _answers.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(str(error)) from error


def tag(value: Any) -> Tagged:
    """One of several dataclasses, to be sent."""
    try:
        body = _encoder.encode(value)
    except (UnicodeEncodeError, OverflowError):
        body = _encoder.encode(_plain(value))
    return Tagged(type(value).__name__, msgspec.Raw(body))


def command(tagged: Tagged) -> commands.Command:
    """The command that was sent. Raises WireError if there is none of that name and values."""
    found: commands.Command = _untag(tagged, _COMMANDS)
    return found


def _untag(tagged: Tagged, kinds: dict[str, Any]) -> Any:
    if tagged.kind not in kinds:
        raise WireError(f"there is no {tagged.kind[:40]!r}")
    try:
        return msgspec.msgpack.decode(tagged.fields, type=kinds[tagged.kind])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(f"{tagged.kind}: {error}") from error


def pack(snapshot: Snapshot, last: Snapshot | None, parameters: int | None) -> Picture:
    """A Snapshot to be sent behind `last`."""
    same: tuple[str, ...] = ()
    if last is not None:
        same = tuple(name for name in LARGE if _alike(snapshot, last, name))
    view = None if "inside" in same else snapshot.inside.picture
    left_out = {name: _NONE[name] for name in same}
    if view is not None:
        left_out["inside"] = replace(snapshot.inside, picture=None)
    # A Snapshot is written as a SentSnapshot would be: they have the same fields.
    sent: Any = replace(snapshot, **left_out) if left_out else snapshot
    return Picture(sent, None if view is None else tag(view), same, parameters)


def _alike(new: Snapshot, old: Snapshot, name: str) -> bool:
    """Whether a field is the very same, or, of those that are small, equal."""
    now, before = getattr(new, name), getattr(old, name)
    return now is before or (name in ("recent", "breakpoints") and bool(now == before))


def unpack(picture: Picture, last: Snapshot | None) -> Snapshot:
    """The Snapshot that was sent behind `last`. Raises WireError."""
    sent = picture.snapshot
    values = {field.name: getattr(sent, field.name) for field in fields(Snapshot)}
    inside = {field.name: getattr(sent.inside, field.name) for field in fields(Inside)}
    if picture.view is not None:
        inside["picture"] = _untag(picture.view, _VIEWS)
    if last is not None:  # what a front end has seen stays the very same object
        if inside["picture"] == last.inside.picture:
            inside["picture"] = last.inside.picture
        seen = {change: change for change in last.changes}
        values["changes"] = tuple(seen.get(change, change) for change in values["changes"])
    values["inside"] = Inside(**inside)
    for name in picture.same:
        if last is None or name not in LARGE:
            raise WireError(f"nothing was sent before that {name[:40]!r} could be the same as")
        values[name] = getattr(last, name)
    return Snapshot(**values)
