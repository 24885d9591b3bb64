"""Which recipes there are: fivestep's, the person's own, those that packages bring.

Imports little, since `--help` needs it, and nothing of a package that brings presets.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

DEFAULT: Final = "digits-cnn"
"""What runs when nobody names a preset."""

GROUP: Final = "fivestep.presets"
"""Entry points of packages that bring presets; the value names a package with *.toml files."""

_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Preset:
    """A recipe that has a name."""

    name: str
    path: Path
    source: str = ""
    """Whose it is: empty for fivestep's, "yours", or the name of the package that brought it."""
    hidden: str = ""
    """Whose preset of the same name comes first and hides this one; empty if none does."""


def names() -> list[str]:
    """The names of fivestep's own presets, sorted."""
    return sorted(file.stem for file in _HERE.glob("*.toml"))


def everything() -> list[Preset]:
    """Fivestep's presets, the person's own, packages': the first of a name hides the others."""
    owners: dict[str, str] = {}
    presets = []
    for name, file, source in _files():
        presets.append(Preset(name, file, source, owners.get(name, "")))
        owners.setdefault(name, source or "fivestep")
    return presets


def find(name: str) -> Preset | None:
    """The preset of this name; None if there is none."""
    if name in names():
        return Preset(name, _HERE / f"{name}.toml")
    return next((preset for preset in everything() if preset.name == name), None)


def config_folder() -> Path:
    """Where a person's own settings and presets lie, whether it exists or not."""
    from platformdirs import user_config_path  # late: it takes its time

    return user_config_path("fivestep", appauthor=False)


def own_folder() -> Path:
    """Where a person's own presets lie, whether it exists or not."""
    return config_folder() / "presets"


def _files() -> Iterator[tuple[str, Path, str]]:
    """Name, file and source of every recipe."""
    for name in names():
        yield name, _HERE / f"{name}.toml", ""
    for folder, source in ((own_folder(), "yours"), *package_folders()):
        try:
            files = sorted(file for file in folder.glob("*.toml") if file.is_file())
        except OSError:  # not ours to read
            continue
        for file in files:
            yield file.stem, file, source


@cache
def package_folders() -> tuple[tuple[Path, str], ...]:
    """Folders with the presets of installed packages, and the packages' names.

    Of "package.recipes" only the package is searched for; to search for all of it would import it.
    """
    if not _any_package_has_presets():
        return ()
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    folders = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if not re.fullmatch(r"\w+(\.\w+)*", entry.value):
            continue
        top, *rest = entry.value.split(".")
        try:
            spec = find_spec(top) if top not in sys.modules else sys.modules[top].__spec__
        except (ImportError, ValueError):
            continue
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            source = entry.dist.name if entry.dist is not None else entry.value
            folders.append((Path(place, *rest), source))
    return tuple(folders)


def _any_package_has_presets() -> bool:
    """Whether an installed package may bring presets.

    Reads their entry points itself: to import `importlib.metadata` takes longer.
    """
    for place in sys.path:
        try:
            names = os.listdir(place or ".")  # noqa: PTH208 - a Path for each would take as long
        except NotADirectoryError:  # an archive of packages
            return True
        except OSError:
            continue
        for name in names:
            if name.endswith(("-info", "EGG-INFO")):
                try:
                    text = Path(place, name, "entry_points.txt").read_bytes()
                except OSError:  # most packages have none
                    continue
                if GROUP.encode() in text:
                    return True
    return False
