"""F22: bytes that are no text come from the keyboard while a run is on the screen.

Lost are the strings if the run has ended, or does not do what it is told by the keys behind them.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Final

from faults.result import Result
from terminal import Terminal

KNOWN: Final = (
    b"\xff",
    b"\x80",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xe9",  # an é in Latin-1
    b"\x1b[M \xe0\xe0",  # a mouse report as X10 has it, past column 95
    b"\x1b[1114112u",  # a key number behind the last character
    b"\x1b[99999999999999999999u",
)
AT_ONCE: Final = 20
"""Strings between two looks whether the run still obeys."""


def campaign(trials: int, seed: int) -> Result:
    """Send so many strings of bytes to one run, known ones first."""
    chance = random.Random(seed)
    strings = [*KNOWN, *(_string(chance) for _ in range(trials))][:trials]
    words = ("train", "line-linear", "--epochs", "1000000", "--device", "cpu")
    with tempfile.TemporaryDirectory() as folder, Terminal(*words, FIVESTEP_RUNS=folder) as one:
        one.until("RUNNING")
        for sent, string in enumerate(strings, 1):
            one.send(string)
            if sent % AT_ONCE == 0 or sent == len(strings):
                try:
                    _obeys(one)
                except AssertionError as error:
                    found = str(error).strip().rsplit("\n", 1)[-1]
                    note = f"behind {sent:,} strings, the last of them {string!r}: {found}"
                    return Result("F22", "invalid bytes from the keyboard", sent, 1, (note,))
        one.type("ql")
        assert one.ended() == 0
        assert (next(Path(folder).iterdir()) / "outcome.json").exists()
    return Result("F22", "invalid bytes from the keyboard", len(strings), 0)


def _string(chance: random.Random) -> bytes:
    """Bytes none of which is a key: what is no UTF-8, and what the known ones are made of."""
    parts = [
        chance.choice(KNOWN),
        bytes(chance.choices(range(0x80, 0x100), k=chance.randint(1, 9))),
    ]
    chance.shuffle(parts)
    return b"".join(parts[: chance.randint(1, 2)])


def _obeys(terminal: Terminal) -> None:
    """Hold, and go on. What came before may have taken a key with it."""
    for state in ("PAUSED", "RUNNING"):
        for _ in range(20):
            terminal.type(" ")
            try:
                terminal.until(state, timeout=3)
            except AssertionError:
                if terminal.process.poll() is not None:
                    raise
            else:
                break
        else:
            raise AssertionError(f"never {state}")
