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
import sys
import tempfile
import time
from pathlib import Path

from faults.kept_run import COMMAND, environment, left
from faults.result import Result
from terminal import Terminal

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
BUSY = 0.85
"""Share of a core; a batch waits most of its time, and whoever spins leaves none of it."""


def _command(kind: str) -> tuple[str, ...]:
    if kind == "choosing":
        return (sys.executable, "-m", "fivestep")
    words = [*COMMAND, "train", "line-linear", "--epochs", str(EPOCHS), "--device", "cpu"]
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
        "held": "HELD",
        "json": '"batches_done":10,',
        "no screen": "loss",
    }
    terminal.until(shown.get(kind, "RUNNING"))
    if kind == "paused":
        terminal.type(" ")
        terminal.until("PAUSED")
    if kind == "slow motion":
        terminal.type("<<<<<<<<")
        terminal.until("RUNNING 1 phase/s")


def trial(kind: str, folder: Path, wait: float) -> str:
    """What was lost; "" if nothing was."""
    slow = folder / "slow"
    slow.touch()
    terminal = Terminal(command=_command(kind), **environment(folder))
    process = terminal.process
    try:
        _bring_to(kind, terminal)
        end = time.monotonic() + wait
        while time.monotonic() < end:
            terminal.read(0.01)
        if kind == "signal alone":
            process.send_signal(signal.SIGHUP)
        else:
            terminal.close()
        slow.unlink()
        begun = time.monotonic()
        code, used = _wait(process)
        took = time.monotonic() - begun
    finally:
        process.kill()
        terminal.close()
    if used / took > BUSY and took > 0.5 and kind not in ("loading", "choosing"):
        return f"{used / took:.0%} of a core were used"
    if kind == "choosing":
        return "" if code == 128 + signal.SIGHUP else f"exit code {code}"
    found = left(folder)
    if kind == "held":
        ended = found.outcome.get("state")
        return "" if (code, ended) == (1, "failed") else f"exit code {code}, {ended}"
    if code:
        return f"exit code {code}"
    if kind != "signal alone" and not any("terminal went away" in w for w in found.warnings):
        return "nothing is on record"
    wrong = found.wrong("finished")
    return wrong or ("" if len(found.batches) == BATCHES else "it did not train to its end")


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """The exit code of a process, and the processor time it used from now on, in seconds."""
    before, end = _used(process.pid), time.monotonic() + PATIENCE
    while True:
        if time.monotonic() > end:
            process.kill()
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime - before


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def campaign(trials: int, seed: int) -> Result:
    """Take the terminal away `trials` times, each time from a run in another situation."""
    chance = random.Random(seed)
    lost: list[str] = []
    for number in range(trials):
        kind = KINDS[number % len(KINDS)]
        with tempfile.TemporaryDirectory() as folder:
            wrong = trial(kind, Path(folder), chance.uniform(0, 0.3))
        if wrong:
            lost.append(f"{kind}: {wrong}")
    return Result("F5", "the terminal goes away", trials, len(lost), tuple(lost[:10]))
