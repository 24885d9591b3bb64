"""Names of runs: what they are made of, and which ones are allowed."""

from __future__ import annotations

import re
import time
from typing import Final

from .jsonfile import clean

LONGEST: Final = 80
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class RunError(ValueError):
    """What is wrong with a run or its name: one line, for a person."""


def shown(text: str) -> str:
    """A name or path as a message quotes it: short, on one line, nothing a terminal obeys."""
    text = clean(text)
    return f'"{text if len(text) <= 60 else text[:57] + "..."}"'


def checked_name(text: str) -> str:
    """`text`, if a run may be called so.

    Raises:
        RunError: it may not.
    """
    if not text:
        raise RunError("a run needs a name")
    if len(text) > LONGEST:
        raise RunError(f"a run's name has at most {LONGEST} characters, not {len(text):,}")
    if not _NAME.fullmatch(text) or text.endswith("."):
        raise RunError(
            f"{shown(text)} is no name for a run: "
            "letters, digits and . _ - only, a letter or digit first, no dot at the end"
        )
    return text


def made_name(preset: str, now: time.struct_time | None = None) -> str:
    """A name from the time and the preset, such as "2026-11-23-014742-digits-cnn".

    Args:
        preset: any text; what a name may not have becomes a hyphen.
        now: local time if left out.
    """
    moment = time.strftime("%Y-%m-%d-%H%M%S", now or time.localtime())
    tail = re.sub(r"[^A-Za-z0-9._-]+", "-", preset)[: LONGEST - len(moment) - 6].strip(".-")
    return f"{moment}-{tail or 'run'}"
