"""F20: clients of a run attach, leave, and die in the middle of what they say."""

from __future__ import annotations

import random
import socket
import threading
from pathlib import Path
from typing import Final

from faults.result import Result
from served import Served, runtime

from fivestep.core.protocol import commands
from fivestep.core.serving import wire
from fivestep.core.session.session import Session
from fivestep.core.training.training import Training
from fivestep.presets.build import build
from fivestep.presets.recipe import load

OPEN: Final = Path("/proc/self/fd")
HELLO: Final = wire.frame(wire.Hello(wire.VERSION, watches=True))
SAID: Final = (
    wire.frame(wire.Ask(curves=True)),
    wire.frame(wire.AskNow()),
    wire.frame(wire.TakeOver()),
    wire.frame(wire.Do(1, wire.tag(commands.Show(layers=True)))),
)
"""What changes no number."""


def training() -> Training:
    return build(load("digits-mlp", {"epochs": 40}))


def weights(trained: Training) -> bytes:
    """All of them, to be compared."""
    return b"".join(p.detach().numpy().tobytes() for p in trained.model.parameters())


def one_client(address: str, dice: random.Random) -> None:
    """Attach, say something, and leave: as it should be, in the middle, or without a word."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0.1)
        try:
            client.connect(address)
            said = HELLO + b"".join(dice.choices(SAID, k=dice.randrange(6)))
            end = len(said) if dice.random() < 0.5 else dice.randrange(len(said))
            client.sendall(said[:end])
            if dice.random() < 0.5:
                client.recv(dice.choice((1, 4, 4096)))
        except OSError:
            pass  # it was refused, too many at a time, or nothing came


def campaign(trials: int, seed: int) -> Result:
    """Many clients come and go during one run; then its numbers are those of a run alone."""
    dice, alone = random.Random(seed), training()
    assert Session(alone).run().state == "finished"
    served, done = training(), 0
    with runtime():
        one = Served(served)
        before = threading.active_count(), len(list(OPEN.iterdir())) if OPEN.exists() else 0
        for _ in range(trials):
            one_client(one.address, dice)
            done += 1
            one.session.send(commands.Advance("batch"))
        one.session.send(commands.Resume())
        assert one.session.join(300)
        one.end()
        left = (
            threading.active_count() - before[0],
            (len(list(OPEN.iterdir())) - before[1] if OPEN.exists() else 0),
        )
        sockets = list(Path(one.address).parent.glob("*"))
    notes = []
    if weights(served) != weights(alone):
        notes.append("the numbers are others")
    if left[0] > 0 or left[1] > 0:
        notes.append(f"left: {left[0]} threads, {left[1]} descriptors")
    if sockets:
        notes.append(f"left: {len(sockets)} files")
    return Result("F20", "clients that leave or die", done, len(notes), tuple(notes))
