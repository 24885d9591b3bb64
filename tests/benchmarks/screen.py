"""How the screen feels and what it costs, on a real pty: `make bench`.

Key to effect, bytes to the terminal, CPU at rest, time to leave, time to the first picture.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
from terminal import Terminal

ENDLESS = ("--epochs", "100000")


def seconds_until(terminal: Terminal, word: str) -> float:
    """From now until the first row of the screen shows the word."""
    start = time.perf_counter()
    while word not in terminal.screen.display[0]:
        terminal.read(0.2)
        if time.perf_counter() - start > 30:
            raise TimeoutError(f"{word} never came:\n{terminal.text}")
    return time.perf_counter() - start


def key_to_effect(preset: str, presses: int = 100) -> dict[str, float]:
    """Milliseconds from pressing space to PAUSED on the screen, at full training load."""
    took = []
    with Terminal("train", preset, *ENDLESS) as terminal:
        seconds_until(terminal, "RUNNING")
        for _ in range(presses):
            busy = time.perf_counter() + 0.3  # it shall train between two presses
            while time.perf_counter() < busy:
                terminal.read(0.05)
            terminal.type(" ")
            took.append(1000 * seconds_until(terminal, "PAUSED"))
            terminal.type(" ")
            seconds_until(terminal, "RUNNING")
    took.sort()
    return {
        "median_ms": statistics.median(took),
        "p99_ms": took[int(0.99 * (len(took) - 1))],
        "max_ms": took[-1],
    }


def traffic(preset: str, seconds: float = 10.0) -> dict[str, float]:
    """Bytes a second to a 120x36 terminal while training, and at rest; CPU at rest."""
    with Terminal("train", preset, *ENDLESS) as terminal:
        seconds_until(terminal, "RUNNING")
        running = _bytes_per_second(terminal, seconds)
        terminal.type(" ")
        seconds_until(terminal, "PAUSED")
        _bytes_per_second(terminal, 3.0)  # the last reading of the device comes a second later
        process = psutil.Process(terminal.process.pid)
        before = sum(process.cpu_times()[:2])
        paused = _bytes_per_second(terminal, seconds)
        cpu = (sum(process.cpu_times()[:2]) - before) / seconds
        return {"running": running, "paused": paused, "paused_cpu_percent": 100 * cpu}


def _bytes_per_second(terminal: Terminal, seconds: float) -> float:
    before, end = terminal.bytes, time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        terminal.read(min(left, 0.2))
    return (terminal.bytes - before) / seconds


def leaving(preset: str, times: int = 5) -> dict[str, float]:
    """Seconds from "stop and leave" to the end of the process."""
    took = []
    for _ in range(times):
        with Terminal("train", preset, *ENDLESS) as terminal:
            seconds_until(terminal, "RUNNING")
            terminal.type("q")
            terminal.until("leave fivestep")
            start = time.perf_counter()
            terminal.type("l")
            terminal.ended()
            took.append(time.perf_counter() - start)
    return {"median_s": statistics.median(took), "max_s": max(took)}


def first_picture(pairs: int = 7) -> dict[str, float]:
    """Command to first painted frame, as a ratio to `python -c "import textual.app"`."""
    ratios, seconds = [], []
    for _ in range(pairs):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import textual.app"], check=True)
        reference = time.perf_counter() - start
        start = time.perf_counter()
        with Terminal() as terminal:
            terminal.until(lambda text: re.search("digits-cnn", text) is not None)
            seconds.append(time.perf_counter() - start)
        ratios.append(seconds[-1] / reference)
    return {
        "ratio": statistics.median(ratios),
        "ratio_max": max(ratios),
        "seconds": statistics.median(seconds),
    }


def main() -> None:
    """Measure everything, print a line each, and the whole as JSON at the end."""
    found = {
        "key to effect, digits-cnn": key_to_effect("digits-cnn"),
        "key to effect, line-linear": key_to_effect("line-linear"),
        "bytes a second, digits-cnn": traffic("digits-cnn"),
        "leaving, digits-cnn": leaving("digits-cnn"),
        "first picture": first_picture(),
    }
    for name, figures in found.items():
        print(f"{name:28}", "  ".join(f"{k} {v:.3g}" for k, v in figures.items()))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
