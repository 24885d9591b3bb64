"""How many calls of core a batch makes at full speed, of a run kept on the disk.

    python tests/benchmarks/hops.py [PRESET]

Counts with `sys.setprofile` in the training thread, over the batches that nobody looks at: the
most frequent number of calls, and which they are.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import fivestep.core
from fivestep.core.protocol.snapshot import Change, EpochSummary
from fivestep.core.session.session import Session
from fivestep.core.storage.persistence import Persistence
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.presets.build import build
from fivestep.presets.recipe import load

CORE = Path(fivestep.core.__file__ or fivestep.core.__path__[0]).parent
Call = tuple[str, str]
"""File, from core on, and function."""


class Counting:
    """A listener that begins a new count behind every batch."""

    def __init__(self) -> None:
        self.batches: list[tuple[Call, ...]] = []
        self._calls: list[Call] = []

    def batch(self, *record: Any) -> None:
        """Close the count of a batch."""
        self.batches.append(tuple(self._calls))
        self._calls.clear()
        sys.setprofile(self._note)

    def epoch(self, summary: EpochSummary) -> None:
        """Nothing."""

    def change(self, change: Change) -> None:
        """Nothing."""

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and f"{CORE.name}/" in code.co_filename:
            file = code.co_filename.rpartition(f"/{CORE.name}/")[2]
            self._calls.append((file, code.co_qualname))


def count(preset: str = "digits-mlp") -> tuple[Call, ...]:
    """The calls of the usual batch, in order."""
    recipe = load(preset, {"epochs": 3, "device": "cpu"})
    counting = Counting()
    with (
        tempfile.TemporaryDirectory() as folder,
        RunDirectory.create(Path(folder), "hops", preset) as directory,
    ):
        session = Session(build(recipe), counting, saving=Persistence(directory))
        try:
            session.run()
        finally:
            sys.setprofile(None)
    return Counter(counting.batches).most_common(1)[0][0]


if __name__ == "__main__":
    calls = count(*sys.argv[1:])
    files = Counter(file for file, _ in calls)
    print(f"{len(calls)} calls in {len(files)} files a batch")
    for (file, function), times in Counter(calls).items():
        print(f"{times:4}  {file:28} {function}")
