"""The house's law, live: a fresh interpreter imports a floor and reports what came with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CORE_MUST_NOT = {"textual", "typer", "plotext", "sklearn", "fivestep.presets", "fivestep.tui"}
PRESETS_MUST_NOT = {"textual", "typer", "plotext", "fivestep.tui"}

IMPORT_ALL = """
import importlib, pkgutil, sys
floor = importlib.import_module(sys.argv[1])
names = [m.name for m in pkgutil.walk_packages(floor.__path__, floor.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(len(names))
print(*sys.modules, sep="\\n")
"""


def modules_after_importing(floor: str) -> tuple[int, set[str]]:
    """How many modules the floor has, and everything that is loaded once all of them are."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, floor], capture_output=True, text=True, check=True
    )
    count, *loaded = done.stdout.split()
    return int(count), set(loaded)


@pytest.mark.parametrize(
    ("floor", "forbidden"),
    [("fivestep.core", CORE_MUST_NOT), ("fivestep.presets", PRESETS_MUST_NOT)],
)
def test_a_floor_loads_nothing_from_above(floor: str, forbidden: set[str]) -> None:
    count, loaded = modules_after_importing(floor)
    assert count > 0
    assert not loaded & forbidden


def imported_by(*python_arguments: str) -> set[str]:
    """The modules that a fresh interpreter with these arguments imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *python_arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {row.rpartition("|")[2].strip() for row in rows}


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    imported = imported_by("-m", "fivestep", *arguments)
    assert "fivestep.tui.cli.app" in imported
    assert not imported & {"torch", "textual", "numpy", "sklearn"}


def test_what_a_face_needs_first_loads_without_torch() -> None:
    modules = {f"fivestep.core.protocol.{name}" for name in ("steps", "commands", "snapshot")}
    imported = imported_by("-c", f"import {', '.join(modules)}")
    assert modules <= imported
    assert not imported & {"torch", "numpy"}


def test_the_first_picture_needs_neither_torch_nor_typer() -> None:
    imported = imported_by("-c", "import fivestep.tui.cli.main, fivestep.tui.app.open")
    assert "fivestep.tui.choose.screen" in imported
    assert not imported & {"torch", "numpy", "sklearn", "typer", "pydantic", "plotext"}
