"""How the screen feels and what it costs, on a real pty: `make bench`.

Key to effect, last size of the window to a right picture, bytes to the terminal, CPU at rest, time
to leave.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from rows import Row
from terminal import Terminal

ENDLESS = ("--epochs", "100000", "--no-save")


def seconds_until(terminal: Terminal, word: str) -> float:
    """From now until the first row of the screen shows the word."""
    start = time.perf_counter()
    while word not in terminal.screen.display[0]:
        terminal.read(0.2)
        if time.perf_counter() - start > 30:
            raise TimeoutError(f"{word} never came:\n{terminal.text}")
    return time.perf_counter() - start


def key_to_effect(preset: str, presses: int = 100) -> list[float]:
    """Milliseconds from pressing space to PAUSED on the screen, at full training load."""
    took = []
    with Terminal("train", preset, *ENDLESS, fresh=True) as terminal:
        seconds_until(terminal, "RUNNING")
        for _ in range(presses):
            busy = time.perf_counter() + 0.3  # it shall train between two presses
            while time.perf_counter() < busy:
                terminal.read(0.05)
            terminal.type(" ")
            took.append(1000 * seconds_until(terminal, "PAUSED"))
            terminal.type(" ")
            seconds_until(terminal, "RUNNING")
    return sorted(took)


def resized(preset: str, times: int = 30, seed: int = 0) -> tuple[list[float], list[float]]:
    """Seconds from the last of several sizes of the window until what is on it stays where it is,
    while the run trains; and the seconds of processor time that the screen's thread takes for it.
    """
    chance = random.Random(seed)
    took, used = [], []
    with Terminal("train", preset, *ENDLESS, fresh=True) as terminal:
        seconds_until(terminal, "RUNNING")
        for _ in range(times):
            terminal.rest(3.0, draw=False)
            for _ in range(chance.randint(2, 6)):
                terminal.rest(chance.uniform(0.01, 0.2), draw=False)
                terminal.resize(chance.randint(60, 200), chance.randint(20, 50))
            start, cpu = time.perf_counter(), _screen_seconds(terminal)
            came = []
            while time.perf_counter() < start + 2.0:
                if data := terminal.read(0.01, draw=False):
                    here = time.perf_counter() - start
                    came.append((here, _screen_seconds(terminal) - cpu, data))
            pictures = []
            for _, _, data in came:
                terminal.draw(data)
                pictures.append(_corners(terminal))
            wrong = [i for i, picture in enumerate(pictures) if picture != pictures[-1]]
            here, cpu, _ = came[wrong[-1] + 1 if wrong else 0]
            took.append(here)
            used.append(cpu)
    return sorted(took), sorted(used)


def _corners(terminal: Terminal) -> list[tuple[int, int]]:
    """Where panels begin and end."""
    rows = enumerate(terminal.screen.display)
    return [(y, x) for y, row in rows for x, cell in enumerate(row) if cell in "╭╮╰╯"]


def _screen_seconds(terminal: Terminal) -> float:
    """Processor time of the command's first thread, which draws."""
    pid = terminal.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def traffic(preset: str, seconds: float = 10.0) -> dict[str, list[float]]:
    """Bytes a second to a 120x36 terminal while training, and at rest; CPU at rest."""
    with Terminal("train", preset, *ENDLESS, fresh=True) as terminal:
        seconds_until(terminal, "RUNNING")
        running = _bytes_per_second(terminal, seconds)
        terminal.type(" ")
        seconds_until(terminal, "PAUSED")
        _bytes_per_second(terminal, 3.0)  # the last reading of the device comes a second later
        process = psutil.Process(terminal.process.pid)
        before = sum(process.cpu_times()[:2])
        paused = _bytes_per_second(terminal, seconds)
        cpu = (sum(process.cpu_times()[:2]) - before) / seconds
        return {
            "bytes a second, training": [running],
            "bytes a second, paused": [paused],
            "per cent of a core, paused": [100 * cpu],
        }


def _bytes_per_second(terminal: Terminal, seconds: float) -> float:
    before, end = terminal.bytes, time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        terminal.read(min(left, 0.2))
    return (terminal.bytes - before) / seconds


def leaving(preset: str, times: int = 5) -> list[float]:
    """Seconds from "stop and leave" to the end of the process."""
    took = []
    for _ in range(times):
        with Terminal("train", preset, *ENDLESS, fresh=True) as terminal:
            seconds_until(terminal, "RUNNING")
            terminal.type("q")
            terminal.until("leave fivestep")
            start = time.perf_counter()
            terminal.type("l")
            terminal.ended()
            took.append(time.perf_counter() - start)
    return took


def measure(pairs: int) -> Iterator[Row]:
    """Each on its own; `pairs` are the times that leaving is measured."""
    for preset in ("digits-cnn", "line-linear"):
        took = key_to_effect(preset)
        note = f"99th percentile {took[int(0.99 * (len(took) - 1))]:.0f}"
        yield Row.of(f"space to PAUSED at full load, {preset}", took, None, "ms", note)
    took, used = resized("digits-cnn")
    note = f"worst {took[-1]:.2f}; over 0.3: {sum(t > 0.3 for t in took)} of {len(took)}"
    yield Row.of("last of several sizes to a right picture, digits-cnn", took, 0.3, "s", note)
    yield Row.of("processor time for it", used, None, "s")
    for name, values in traffic("digits-cnn").items():
        reach = {"bytes a second, training": 16384.0, "bytes a second, paused": 0.0}.get(name)
        yield Row.of(f"{name}, digits-cnn", values, reach)
    yield Row.of("stop and leave, digits-cnn", leaving("digits-cnn", pairs), None, "s")


if __name__ == "__main__":
    for row in measure(5):
        print(row, flush=True)
