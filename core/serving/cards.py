"""Runs of which nothing is kept: a card beside each one's socket says which run answers there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from .address import CARD, folders, is_private, sweep

LONGEST: Final = 4096
"""Bytes of a card."""


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run in a process of this user's, on this machine."""

    name: str
    preset: str
    """What is trained."""
    process: int
    started: float
    """Seconds since 1970."""
    address: str
    """The path of its socket."""


def put_card(card: Card) -> None:
    """Lay a card beside its run's socket. Raises OSError.

    It goes when the socket does, after a killed process's too.
    """
    path = Path(card.address).with_suffix(CARD)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(card))


def cards() -> list[Card]:
    """Those of the runs that can be reached from here, the newest first."""
    found = []
    for folder in folders():
        if not is_private(folder):
            continue
        sweep(folder)
        for path in folder.glob(f"*{CARD}"):
            with suppress(OSError, msgspec.MsgspecError), path.open("rb") as file:
                card = msgspec.json.decode(file.read(LONGEST), type=Card)
                if Path(card.address).with_suffix(CARD) == path:
                    found.append(card)
    return sorted(found, key=lambda card: card.started, reverse=True)
