"""What being served costs a batch, in turns within one run: `make bench ARGS="--only attached"`.

- nobody is attached: the socket is there, against no socket;
- a screen's client in a process of its own asks ten times a second, twice of them for curves, and
  for what runs now, against nobody.

Both in processor time of the run's process: the client's own is not the run's.

Besides: milliseconds from a pause that is sent until the picture of it has come.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from listeners import Silent
from rows import Row
from served import HERE, Served, runtime, until

from fivestep.core.protocol.commands import Pause, Resume
from fivestep.core.protocol.steps import State
from fivestep.presets.build import build
from fivestep.presets.recipe import load

WINDOW: Final = 1.0
"""Seconds of one turn; a part at its beginning is left out."""
SETTLING: Final = 0.2
TURNS: Final = 6
"""Pairs of turns that a ratio is made of."""
PAUSES: Final = 40
PRESETS: Final = ("spirals-mlp", "digits-mlp", "digits-cnn")
CLIENT: Final = """
import sys, time
from fivestep.core.serving.client import RemoteRun
for line in sys.stdin:
    remote = RemoteRun(line.strip())
    print("there", flush=True)
    looks = 0
    while remote.outcome is None and looks < {looks}:
        remote.latest(curves=looks % 5 == 0)
        remote.now()
        looks += 1
        time.sleep(0.1)
    remote.close()
    print("left", flush=True)
"""


class Ends(Silent):
    """When each batch has ended, and what processor time the process had used by then."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def batch(self, *_: object) -> None:
        self.times.append((time.perf_counter(), time.process_time()))

    def per_batch(self, begin: float, end: float) -> float:
        """Seconds of processor time, between two moments."""
        inside = [used for at, used in self.times if begin + SETTLING <= at <= end]
        return (inside[-1] - inside[0]) / (len(inside) - 1)


def window(ends: Ends, work: Callable[[], object]) -> float:
    """Seconds of processor time a batch while this goes on."""
    ends.times.clear()
    begin = time.perf_counter()
    work()
    return ends.per_batch(begin, time.perf_counter())


def measure(pairs: int) -> Iterator[Row]:
    """The three figures of each preset."""
    for preset in PRESETS:
        with runtime():
            yield from _rows(preset, pairs)


def _rows(preset: str, pairs: int) -> Iterator[Row]:
    ends = Ends()
    run = Served(build(load(preset, {"epochs": 100_000})), listener=ends)
    run.session.send(Resume())
    looks = int(WINDOW / 0.1)
    command = [sys.executable, "-c", CLIENT.format(looks=looks)]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert client.stdin is not None
    assert client.stdout is not None

    def attached() -> None:
        print(run.address, file=client.stdin, flush=True)
        while client.stdout.readline().strip() != "left":
            pass

    def nobody() -> None:
        time.sleep(WINDOW)

    def unserved() -> None:
        run.session._server.close()
        nobody()

    def served() -> None:
        run.session.serve(run.addresses.append, HERE)
        nobody()

    attached()  # all that is loaded late
    cost, idle = [], []
    for _ in range(pairs):
        cost.append(_ratio(ends, attached, nobody))
        idle.append(1 / _ratio(ends, unserved, served))
    each = f"{1e3 * window(ends, nobody):.2f} ms a batch"
    yield Row.of(f"served, nobody attached / not served, {preset}", idle, 1.005, note=each)
    yield Row.of(f"attached, 10 looks a second / nobody, {preset}", cost, 1.02, note=each)
    client.stdin.close()
    client.wait()
    yield Row.of(f"from a pause to its picture, {preset}", _pauses(run), 150, "ms")
    run.end()


def _ratio(ends: Ends, one: Callable[[], None], other: Callable[[], None]) -> float:
    """Time a batch under one, over that under the other, in turns."""
    pairs = [(window(ends, one), window(ends, other)) for _ in range(TURNS)]
    return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)


def _pauses(run: Served) -> list[float]:
    remote, took = run.attach(), []
    for _ in range(PAUSES):
        until(remote, State.RUNNING)
        began = time.perf_counter()
        remote.send(Pause())
        until(remote, State.PAUSED)
        took.append(1e3 * (time.perf_counter() - began))
        remote.taken(remote.send(Resume()))
    return took


if __name__ == "__main__":
    for row in measure(3):
        print(row, flush=True)
