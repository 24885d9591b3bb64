"""`RecipeError`, and how its one line quotes what somebody wrote and guesses what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path


class RecipeError(ValueError):
    """A recipe that can't be used; the text is one line for the person who wrote it."""


def existing_file(name: str, kind: str) -> Path | None:
    """The file of this name; None where nothing has it.

    Raises:
        RecipeError: it is a folder or the like and no `kind` of file, or can't be looked at.
    """
    file = Path(name)
    try:
        exists, is_file = file.exists(), file.is_file()
    except (OSError, ValueError) as error:
        raise RecipeError(f"{shown(name)}: can't be read: {reason(error)}") from error
    if exists and not is_file:
        raise RecipeError(f"{shown(name)}: expected a {kind} file, this is none")
    return file if is_file else None


def reason(error: Exception) -> str:
    """What went wrong, without the file's name, on one line."""
    return printable(getattr(error, "strerror", None) or str(error))


def printable(text: str, most: int = 200) -> str:
    """A text as an error may show it: on one line, nothing that a terminal obeys, the end kept."""
    text = "".join(c if c.isprintable() else "?" for c in text[-most:])
    return text if len(text) < most else "..." + text[3:]


def shown(value: object) -> str:
    """A value as an error quotes it: short, on one line, nothing that a terminal obeys."""
    match value:
        case bool():
            return str(value).lower()
        case int() if abs(value) >= 10**30:
            return "a huge number"
        case int() | float():
            return repr(value)
        case str():
            return f'"{printable(value, 60)}"'
        case list() | tuple():
            return printable("[" + ", ".join(shown(v) for v in value[:9]) + "]")
        case Mapping():
            return "a section"
    return f"a {type(value).__name__}"


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that looks most like `word`, whatever its case; None if none does."""
    by_lower = {choice.lower(): choice for choice in choices}
    close = get_close_matches(word.lower()[:100], by_lower, n=1)
    return by_lower[close[0]] if close else None
