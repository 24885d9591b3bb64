"""F21: what a client may not say: cut, flipped, invented, endless; and another user."""

from __future__ import annotations

import os
import random
import socket
import warnings
from pathlib import Path
from typing import Final

from faults.result import Result
from served import Served, runtime

from fivestep.core.protocol import commands
from fivestep.core.serving import wire

HELLO: Final = wire.frame(wire.Hello(wire.VERSION, watches=True))
SHOW: Final = wire.tag(commands.Show())
NOBODY: Final = 65534
"""The number of a user that is nobody's."""


def message(dice: random.Random) -> bytes:
    """One that is almost right, or not at all; never a command that is one."""
    sent = bytearray(
        dice.choice(
            (
                wire.frame(wire.Do(1, wire.tag(commands.ScaleLR(0.5)))),
                wire.frame(
                    wire.Do(2, wire.Tagged("SetBreakpoints", wire.tag(commands.Show()).fields))
                ),
                wire.frame(
                    wire.Do(3, wire.Tagged("__import__", wire.tag(commands.Pause()).fields))
                ),
                wire.frame(wire.Ask(curves=True)),
                HELLO,
            )
        )
    )
    match dice.randrange(4):
        case 0:
            for _ in range(dice.randrange(1, 4)):
                sent[dice.randrange(len(sent))] ^= 1 << dice.randrange(8)
        case 1:
            del sent[dice.randrange(1, len(sent)) :]
        case 2:
            sent = bytearray(dice.randbytes(dice.randrange(1, 200)))
        case 3:
            sent = bytearray(
                wire.HEAD.pack(dice.choice((0, 1, 1 << 16, 1 << 31))) + dice.randbytes(40)
            )
    return bytes(sent)


def understood(body: bytes) -> bool:
    """Whether it is, by chance, a command after all."""
    try:
        asked = wire.request(body)
        return isinstance(asked, wire.Do) and bool(wire.command(asked.command))
    except wire.WireError:
        return False


def fuzz_messages(trials: int, dice: random.Random) -> int:
    """How many are neither understood nor refused in the one way that there is."""
    wrong = 0
    for _ in range(trials):
        sent = message(dice)
        try:
            if len(sent) >= wire.HEAD.size:
                wire.length(sent[: wire.HEAD.size], wire.MOST_ASKED)
                understood(sent[wire.HEAD.size :])
        except wire.WireError:
            pass
        except Exception:
            wrong += 1
    return wrong


def fuzz_run(trials: int, dice: random.Random) -> tuple[int, list[str]]:
    """Send them to a run that is paused: it is where it was, but for what it was asked rightly."""
    notes = []
    with runtime():
        run = Served()
        before = run.session.snapshot()
        for _ in range(trials):
            sent = message(dice)
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(10)
                try:
                    client.connect(run.address)
                    client.sendall(HELLO + sent)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(1 << 16):
                        pass
                except OSError:
                    pass
        after = run.session.snapshot()
        asked = [change for change in after.changes if change.by is not None]
        if after.batches_done != before.batches_done or after.state != before.state:
            notes.append("the run has moved")
        if any(change.kind not in ("lr", "asked", "breakpoints") for change in asked):
            notes.append("a command that nobody sent")
        run.attach(watches=False).picture(None)
        run.end()
    return trials, notes


def another_user() -> str:
    """What another user of the machine gets of a run, if this one may become another."""
    if os.geteuid() != 0:
        return ""
    with runtime() as folder:
        run = Served()
        for place in (folder, Path(run.address).parent):
            place.chmod(0o755)  # as if the folder were open to all
        Path(run.address).chmod(0o666)
        with warnings.catch_warnings(action="ignore"):  # the child uses no other thread
            child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(10)
                    client.connect(run.address)
                    client.sendall(HELLO)
                    os._exit(3 if client.recv(1) else 0)
            except OSError:
                os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        run.end()
    return "another user was answered" if code == 3 else ""


def campaign(trials: int, seed: int) -> Result:
    """Messages to the decoder, a hundredth of them to a run; another user."""
    dice = random.Random(seed)
    wrong = fuzz_messages(trials, dice)
    sent, notes = fuzz_run(max(20, trials // 100), dice)
    notes += [f"{wrong} messages that were not refused"] * bool(wrong)
    notes += filter(None, [another_user()])
    return Result("F21", "hostile clients", trials + sent, wrong + len(notes), tuple(notes))
