"""What a comparison is made of: runs by name or folder, and files of other trainers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...core.comparison.comparison import LETTERS, Comparison
from ...core.comparison.foreign import is_foreign, read_foreign
from ...core.comparison.kept_run import read_run
from ...core.comparison.numbers import Numbers
from ...core.storage.run_directory import RunDirectory, RunError, is_run


def read_all(folder: Path, words: Sequence[str]) -> Comparison:
    """What a command line names: runs by name or folder, and files of other trainers.

    Raises:
        RunError: one of them can't be read, or they are too few or too many.
    """
    if not 2 <= len(words) <= len(LETTERS):
        raise RunError(f"name 2 to {len(LETTERS)} runs or files to compare, not {len(words)}")
    return Comparison([_read(folder, word) for word in words])


def _read(folder: Path, word: str) -> Numbers:
    named = "/" not in word and is_run(folder / word)
    if not named and is_foreign(word):
        return read_foreign(word)
    return read_run(RunDirectory.look(folder, word))
