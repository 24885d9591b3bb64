"""Reading a recipe's file, which anybody may have written. Standard library only."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from . import registry
from .errors import RecipeError, printable, shown

LIMIT: Final = 1_000_000
"""Bytes. A recipe has about one thousand."""


def find(name_or_path: str) -> Path:
    """The file behind a preset's name or a path.

    Raises:
        RecipeError: there is neither.
    """
    file = Path(name_or_path)
    if "/" not in name_or_path and file.suffix != ".toml":
        preset = registry.find(name_or_path)
        if preset is not None:
            return preset.path
    try:
        if file.is_file():
            return file
        exists = file.exists()
    except (OSError, ValueError) as error:
        raise RecipeError(f"{shown(name_or_path)}: can't be read: {_reason(error)}") from error
    if exists:
        raise RecipeError(f"{shown(name_or_path)}: expected a recipe file, this is none")
    if file.suffix == ".toml" or len(file.parts) > 1:
        raise RecipeError(f"{shown(name_or_path)}: there is no such file")
    known = [preset.name for preset in registry.everything() if not preset.hidden]
    guess = registry.nearest(name_or_path, known)
    hint = f"did you mean {printable(guess)}?" if guess else f"there are {', '.join(known)}"
    raise RecipeError(f"no preset is called {shown(name_or_path)}; {hint}")


def read(file: Path, called: str) -> dict[str, Any]:
    """The table in a recipe's file; errors speak of it as `called`.

    Raises:
        RecipeError: it can't be read, is too large, no text, or no TOML.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(LIMIT + 1)
    except OSError as error:
        raise RecipeError(f"{called}: can't be read: {_reason(error)}") from error
    if len(data) > LIMIT:
        raise RecipeError(f"{called}: expected at most {LIMIT:,} bytes; this is no recipe")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{called}: expected a text file in UTF-8") from error
    except RecursionError as error:
        raise RecipeError(f"{called}: nested too deeply for a recipe") from error
    except ValueError as error:
        raise RecipeError(f"{called}: this is no TOML: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return printable(text)
