"""Which recipes come with fivestep. Standard library only, for `--help` and listings."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final

DEFAULT: Final = "digits-cnn"
"""What runs when nobody names a preset."""

_HERE: Final = Path(__file__).parent


def names() -> list[str]:
    """Every preset's name, sorted."""
    return sorted(file.stem for file in _HERE.glob("*.toml"))


def path(name: str) -> Path:
    """Where the recipe of a preset lies.

    Raises:
        KeyError: there is no such preset.
    """
    if name not in names():
        raise KeyError(name)
    return _HERE / f"{name}.toml"


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that looks most like `word`, whatever its case; None if none does."""
    by_lower = {choice.lower(): choice for choice in choices}
    close = get_close_matches(word.lower()[:100], by_lower, n=1)
    return by_lower[close[0]] if close else None
