"""F5: the terminal goes away in the middle of a run, with a signal or without.

Lost is each trial after which the run did not train to its end, with every batch on record, or in
which something was kept busy by a terminal that is not there.
"""

from __future__ import annotations

import os
import random
import shlex
import signal
import subprocess
import time
from pathlib import Path

from faults.kept_run import COMMAND, PLAIN, environment, in_situations, left
from faults.result import Result
from terminal import Process, Terminal

EPOCHS = 20
BATCHES = 25 * EPOCHS
KINDS = (
    "paused",
    "closed, no signal",
    "closed",
    "slow motion",
    "signal alone",
    "no screen",
    "json",
    "loading",
    "held",
    "choosing",
)
PATIENCE = 60.0
"""Seconds after which a process that is still there is killed."""
WINDOW = 0.3
"""Seconds over which its use of the processor is looked at."""
BUSY = 0.5
"""Share of a core: a batch waits most of its time, and whoever spins leaves little of it."""


def _command(kind: str) -> tuple[str, ...]:
    if kind == "choosing":
        return PLAIN
    start = PLAIN if kind == "loading" else COMMAND
    words = [*start, "train", "line-linear", "--epochs", str(EPOCHS), "--device", "cpu"]
    words.append("--no-hold")
    if kind == "held":
        words += ["--lr", "1000", "--set", "optimizer.fused=false"]
    words += {"no screen": ["--no-ui"], "json": ["--json"]}.get(kind, [])
    if kind == "closed, no signal":  # as nohup does
        return ("sh", "-c", f"trap '' HUP; exec {shlex.join(words)}")
    return tuple(words)


def _bring_to(kind: str, terminal: Terminal) -> None:
    """Have the run do what it does when the terminal goes."""
    shown = {
        "choosing": "five steps",
        "loading": "loading torch",
        "held": "PAUSED",
        "json": '"batches_done":10,',
        "no screen": "loss",
    }
    terminal.until(shown.get(kind, "RUNNING"))
    if kind == "paused":
        terminal.type(" ")
        terminal.until("PAUSED")
    if kind == "slow motion":
        terminal.type("<<<<<<<<")
        terminal.until("RUNNING 1 step/s")


def trial(kind: str, folder: Path, chance: random.Random) -> str:
    """What was lost; "" if nothing was."""
    slow = folder / "slow"
    slow.touch()
    fresh = kind == "loading"
    terminal = Terminal(command=_command(kind), fresh=fresh, **environment(folder))
    process = terminal.process
    try:
        _bring_to(kind, terminal)
        terminal.rest(chance.uniform(0, 0.3))
        if kind == "signal alone":
            process.send_signal(signal.SIGHUP)
        else:
            terminal.close()
        busy = _busy(process)
        slow.unlink()
        code = _wait(process)
    finally:
        process.kill()
        terminal.close()
    if busy:
        return "it kept the processor busy"
    if kind == "choosing":
        return "" if code == 128 + signal.SIGHUP else f"exit code {code}"
    found = left(folder)
    if kind == "held":
        ended = found.outcome.get("state")
        return "" if (code, ended) == (1, "failed") else f"exit code {code}, {ended}"
    if code:
        return f"exit code {code}"
    if kind != "signal alone" and not any(f"kill {process.pid}" in w for w in found.warnings):
        return "it is not on record how to stop it"
    wrong = found.wrong("finished")
    return wrong or ("" if len(found.batches) == BATCHES else "it did not train to its end")


def _busy(process: Process) -> bool:
    """Whether the process finds no rest, once it had the time to see what happened."""
    end = time.monotonic() + PATIENCE / 4
    while process.poll() is None and time.monotonic() < end:
        before, begun = _used(process.pid), time.monotonic()
        time.sleep(WINDOW)
        if process.poll() is not None:
            return False
        if _used(process.pid) - before < BUSY * (time.monotonic() - begun):
            return False
    return process.poll() is None


def _used(pid: int) -> float:
    """Seconds of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait(process: Process) -> int:
    """The exit code of a process."""
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def campaign(trials: int, seed: int) -> Result:
    """Take the terminal away `trials` times, each time from a run in another situation."""
    return in_situations("F5", "the terminal goes away", trials, seed, KINDS, trial)
