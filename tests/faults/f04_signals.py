"""F4: SIGTERM and SIGINT come to a run on a terminal: while it trains, while it saves, and twice.

Lost is each trial after which the terminal is not as it was, the exit code is another than 128 and
the signal's number, or the newest checkpoint is not of the last batch on record. A second signal
ends the process at once: then the newest checkpoint is the last one that was on the disk.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

from faults.kept_run import COMMAND, PLAIN, environment, in_situations, left
from faults.result import Result
from terminal import Terminal

KINDS = ("saving", "twice", "training", "keys", "no screen", "loading", "no screen, twice")
RESTORED = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l")
AT_ONCE = 5.0
"""Seconds; leaving by itself waits 30 for a disk that hangs, and the run's end 120."""


def trial(kind: str, folder: Path, chance: random.Random) -> str:
    """What was lost; "" if nothing was."""
    number, wait = chance.choice((signal.SIGTERM, signal.SIGINT)), chance.uniform(0, 0.5)
    words = ["train", "line-linear", "--epochs", "100000", "--device", "cpu"]
    words += ["--save-every", "1h"]  # the checkpoint that is found must be the one at the end
    words += ["--no-ui"] if kind.startswith("no screen") else []
    command = PLAIN if kind == "loading" else COMMAND
    fresh = kind == "loading"
    with Terminal(*words, command=command, fresh=fresh, **environment(folder)) as terminal:
        terminal.keep = True
        shown = {"loading": "loading torch"}.get(kind, "loss" if "--no-ui" in words else "RUNNING")
        terminal.until(shown)
        terminal.rest(wait)
        forced = kind in ("twice", "keys", "no screen, twice")
        took = _end(kind, terminal, folder / "hangs", number)
        code = terminal.ended()
        took += time.monotonic()
        if terminal.attributes != terminal.before:
            return "the terminal has other settings"
        if "--no-ui" not in words and any(one not in terminal.sent for one in RESTORED):
            return "the terminal was left in the screen's modes"
    expected = 128 + (signal.SIGINT if kind == "keys" else number)
    if code != expected:
        return f"{number.name}: exit code {code}, not {expected}"
    if kind == "loading":
        return ""
    if forced:
        if "--no-ui" not in words and "to resume: fivestep resume" not in terminal.text:
            return "nothing tells how to resume"
        at_once = took < AT_ONCE and left(folder).checkpoint == 0
        return "" if at_once else f"{took:.1f} s, checkpoint {left(folder).checkpoint}"
    return left(folder).wrong("stopped")


def _end(kind: str, terminal: Terminal, hangs: Path, number: signal.Signals) -> float:
    """Ask the run to end; minus the moment of the last time it was asked."""
    if kind in ("training", "no screen", "loading"):
        terminal.process.send_signal(number)
        return -time.monotonic()
    hangs.touch()
    if kind == "keys":
        terminal.type("q")
        terminal.until("stop after this batch")
        terminal.type("l")
    else:
        terminal.process.send_signal(number)
    screen = "no screen" not in kind
    terminal.until("leave at once" if screen else "the same again ends at once")
    if kind == "saving":
        hangs.unlink()
    elif kind == "keys":
        terminal.type("\x03")
    else:
        terminal.process.send_signal(number)
    return -time.monotonic()


def campaign(trials: int, seed: int) -> Result:
    """Send signals to `trials` runs, each in another situation and at another moment."""
    return in_situations("F4", "SIGTERM and SIGINT", trials, seed, KINDS, trial)
