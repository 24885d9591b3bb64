"""What fivestep's comforts cost a batch, each against the same run without: `make bench`.

- drawn: the screen on a real pty (120x36) against the same run between two frames;
- kept: log, finite checks and a checkpoint every two seconds, against none: see `kept.py`;
- beside a busy process: with the screen, against the guide's loop with torch's own threads.

The first fifth of a run whose time is read from its log is left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from kept import keeping_cost
from loop import LARGE
from rows import Row
from terminal import Terminal

from fivestep.core.storage.log_file import read_log

PRESETS = ("line-linear", "spirals-mlp", "digits-mlp", "digits-cnn", "docs-gpt")
KEPT = (
    ("line-linear", "SGD"),
    ("spirals-mlp", "SGD"),
    ("digits-mlp", "Adam"),
    ("digits-cnn", "AdamW"),
    ("docs-gpt", "AdamW"),
)


def per_batch(run: Path) -> float:
    """Seconds of a batch in a run that was kept, the first fifth left out."""
    rows = [record for record in read_log(run / "metrics.jsonl") if record["type"] != "epoch"]
    first, last = rows[len(rows) // 5], rows[-1]
    return (last["elapsed"] - first["elapsed"]) / (last["batches_done"] - first["batches_done"])


def drain(terminal: Terminal, over: Callable[[], bool], patience: float) -> None:
    """Take what the command sends until it is over; at most so many seconds."""
    end = time.perf_counter() + patience
    while not over():
        # What a terminal does with it would cost this machine more than the screen does.
        terminal.read(0.2, draw=False)
        if time.perf_counter() > end:
            raise TimeoutError("the run did not end")


def visible(preset: str, epochs: int, folder: Path) -> float:
    """Seconds of a batch with the screen."""
    words = ("train", preset, "--epochs", str(epochs), "--runs-dir", str(folder))
    with Terminal(*words, "--no-hold", "--name", "visible", fresh=True) as terminal:
        drain(terminal, (folder / "visible" / "outcome.json").exists, 300)
        terminal.type("q")
        terminal.ended()
    return per_batch(folder / "visible")


def screen_cost(preset: str, pairs: int) -> list[float]:
    """The run with its screen, over the same run while nothing is drawn: see `drawn.py`."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "ratios.json"
        script = str(Path(__file__).with_name("drawn.py"))
        command = (sys.executable, script)
        with Terminal(preset, str(pairs), str(found), command=command, fresh=True) as terminal:
            drain(terminal, lambda: terminal.process.poll() is not None, 90 + 10 * pairs)
        ratios: list[float] = json.loads(found.read_text())
        return ratios


GUIDE = """
import sys, time
sys.path[:0] = {paths!r}
from loop import guide, seconds
turn = guide("digits-mlp", "Adam")
turn(1)
print(seconds(turn, 20))
"""


def busy_cost() -> float:
    """digits-mlp with the screen over the guide's loop with torch's threads, both disturbed."""
    script = GUIDE.format(paths=[str(Path(__file__).parent)])
    with busy_process(), tempfile.TemporaryDirectory() as folder:
        told = subprocess.check_output([sys.executable, "-c", script], text=True)
        return visible("digits-mlp", 60, Path(folder)) / float(told)


@contextmanager
def busy_process() -> Iterator[None]:
    """Another process that never rests."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(pairs: int) -> Iterator[Row]:
    """Every row, small differences over more pairs; where processes are compared, the first pair
    only warms everything up.
    """
    for preset in PRESETS:
        reach = 1.02 if preset in LARGE else 1.03
        yield Row.of(f"screen drawn / still, {preset}", screen_cost(preset, 2 * pairs), reach)
    _, *busy = [busy_cost() for _ in range(1 + pairs)]
    yield Row.of("screen / guide, beside a busy process, digits-mlp", busy, 0.5)
    for preset, optimizer in KEPT:
        name = f"logged, checked, saved / not, {preset} {optimizer}"
        reach = 1.03 if preset in LARGE else 1.12  # from 0.5 ms a batch; below
        yield Row.of(name, keeping_cost(preset, optimizer, 2 * pairs), reach)


if __name__ == "__main__":
    for row in measure(7):
        print(row, flush=True)
