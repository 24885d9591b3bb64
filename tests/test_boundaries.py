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
for floor in map(importlib.import_module, sys.argv[1:]):
    for module in pkgutil.walk_packages(floor.__path__, floor.__name__ + "."):
        importlib.import_module(module.name)
    print(*sys.modules)
"""


def test_a_floor_loads_nothing_from_above() -> None:
    told = python("-c", IMPORT_ALL, "fivestep.core", "fivestep.presets").stdout.splitlines()
    core, both = (set(line.split()) for line in told)
    assert "fivestep.core.session.session" in core
    assert not core & CORE_MUST_NOT
    assert "fivestep.presets.build" in both
    assert not both & PRESETS_MUST_NOT


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
