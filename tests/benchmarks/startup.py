"""How long fivestep takes to start, against the import that it can't do without: `make bench`.

Each row is a command against a bare import in the same interpreter, alternating, one after
the other; the ratios are medians over the pairs:

- the screen's first picture (a real pty, 120x36): title and presets can be read, and the whole
  one: the settings and the command, too; against `python -c "import textual.app"`;
- `fivestep --help` against `python -c "import typer"`;
- the first batch of a headless digits-mlp (finished, as `--json` tells) against
  `python -c "import torch"`.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from rows import Row
from terminal import Terminal

from fivestep.presets import registry

SCRIPT = Path(sys.executable).with_name("fivestep")
FIVESTEP = (str(SCRIPT),) if SCRIPT.exists() else (sys.executable, "-m", "fivestep")
"""As a person would type it."""
COLUMNS, ROWS = 120, 36
PATIENCE = 60.0
LAST = (b"help", b"fivestep train")
"""Once these have been sent, so has the whole picture."""


def import_of(module: str) -> float:
    """Seconds that a process takes which imports this and nothing else."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - start


def first_picture() -> float:
    """Seconds from the command to a screen whose title and presets can be read."""
    return _picture(lambda screen: "fivestep " in screen and _presets(screen))


def whole_picture() -> float:
    """The same, with the settings and the command line filled in."""
    words = (" settings ", " dataset ", f" fivestep train {registry.DEFAULT} ", " ? help")
    return _picture(lambda screen: all(word in screen for word in words) and _presets(screen))


def _presets(screen: str) -> bool:
    """Most of them: the list scrolls."""
    shown = sum(f" {name} " in screen for name in registry.names())
    return 2 * shown > len(registry.names())


def _picture(readable: Callable[[str], bool]) -> float:
    chunks: list[tuple[float, bytes]] = []
    start = time.perf_counter()
    # What comes is only kept, and looked at afterwards: reading it as a terminal takes a while.
    with Terminal(command=FIVESTEP, fresh=True, columns=COLUMNS, rows=ROWS) as terminal:
        while not all(word in b"".join(data for _, data in chunks) for word in LAST):
            if not select.select([terminal.master], [], [], PATIENCE)[0]:
                raise TimeoutError("the screen never came")
            chunks.append((time.perf_counter(), os.read(terminal.master, 1 << 16)))
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    for when, data in chunks:
        stream.feed(data)
        if readable("\n".join(screen.display)):
            return when - start
    raise AssertionError("this can't be read:\n" + "\n".join(screen.display))


def help_page() -> float:
    """Seconds that `fivestep --help` takes."""
    start = time.perf_counter()
    subprocess.run([*FIVESTEP, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def first_batch() -> float:
    """Seconds from the command to the end of the first batch of a headless run."""
    command = [*FIVESTEP, "train", "digits-mlp", "--epochs", "1", "--json"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        began = 0.0
        for row in process.stdout:
            record = json.loads(row)
            if record["type"] == "run_start":  # written at once; batches tell when they ended
                began = time.perf_counter() - start
            elif record["type"] == "batch":
                process.stdout.read()
                return began + float(record["elapsed"])
    raise AssertionError("the run ended without a batch")


ROWS_OF_TABLE: dict[str, tuple[Callable[[], float], str]] = {
    "first picture": (first_picture, "textual.app"),
    "whole picture": (whole_picture, "textual.app"),
    "fivestep --help": (help_page, "typer"),
    "first batch": (first_batch, "torch"),
}


REACH = {"first picture": 2.0, "fivestep --help": 1.7, "first batch": 1.5}


def measure(pairs: int) -> Iterator[Row]:
    """The two in turn; the first pair, which may have to fetch files, is left out."""
    for name, (run, module) in ROWS_OF_TABLE.items():
        took, reference = [], []
        for pair in range(pairs + 1):
            if pair % 2:
                took.append(run())
            reference.append(import_of(module))
            if not pair % 2:
                took.append(run())
        ratios = [a / b for a, b in zip(took[1:], reference[1:], strict=True)]
        note = f"{statistics.median(took[1:]):.2f} s"
        yield Row.of(f"{name} / import {module}", ratios, REACH.get(name), note=note)


if __name__ == "__main__":
    for row in measure(9):
        print(row, flush=True)
