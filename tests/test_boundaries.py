"""The house's law, live: a fresh interpreter imports a floor and reports what came with it."""

from __future__ import annotations

import pytest
from doing import python

CORE_MUST_NOT = {"textual", "typer", "plotext", "sklearn", "fivestep.presets", "fivestep.tui"}
PRESETS_MUST_NOT = {"textual", "typer", "plotext", "fivestep.tui"}
TORCH = {"torch", "numpy"}
LISTING = ("run_index", "run_directory", "run_log", "environment")

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
    count, *loaded = python("-c", IMPORT_ALL, floor).stdout.split()
    return int(count), set(loaded)


@pytest.mark.parametrize(
    ("floor", "forbidden"),
    [("fivestep.core", CORE_MUST_NOT), ("fivestep.presets", PRESETS_MUST_NOT)],
)
def test_a_floor_loads_nothing_from_above(floor: str, forbidden: set[str]) -> None:
    count, loaded = modules_after_importing(floor)
    assert count > 0
    assert not loaded & forbidden


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (["fivestep"], TORCH),
        ([f"fivestep.core.protocol.{name}" for name in ("steps", "commands", "snapshot")], TORCH),
        ([f"fivestep.core.storage.{name}" for name in LISTING], TORCH),
        (
            ["fivestep.tui.cli.main", "fivestep.tui.app.open", "fivestep.tui.choose.screen"],
            {*TORCH, "sklearn", "typer", "pydantic", "plotext"},
        ),
        (["fivestep.tui.app.script"], {"torch", "sklearn"}),
    ],
    ids=["the package", "what a face needs first", "a list of runs", "the first picture", "others"],
)
def test_what_is_there_without_torch(modules: list[str], absent: set[str]) -> None:
    code = f"import sys, {', '.join(modules)}; print(*sys.modules, hasattr(fivestep, 'nothing'))"
    *loaded, unknown = python("-c", code).stdout.split()
    assert set(modules) <= set(loaded)
    assert not absent & set(loaded)
    assert unknown == "False"
