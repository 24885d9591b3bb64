"""A person's Python file as a module, under a name by which any process can import it.

A loader's workers that are spawned (as on macOS and Windows) are sent its data set as a pickle,
which names the module of each class. The name says here where the file is, so that a worker reads
the file again; it never calls `training()`. It is not `__main__`, so a main guard doesn't run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

from ..core.training.own_code import is_own

__path__: list[str] = []  # a module may only have others in it if it has a path

_imported: dict[str, Path | None] = {}
"""Modules of a person's own that the last file imported, each with its file if it has one."""
_led: list[str] = []
"""The folder that leads `sys.path` for the last file."""


class _Fresh(SourceFileLoader):
    """Compiles the file as it stands; no bytecode is kept that could be older."""

    def get_code(self, fullname: str) -> CodeType | None:
        return self.source_to_code(self.get_data(self.path), self.path)


class _Finder(MetaPathFinder):
    """Finds the file that a name stands for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        before, _, code = fullname.rpartition(".")
        if before != __name__:
            return None
        try:
            where = os.fsdecode(bytes.fromhex(code))
        except ValueError:
            return None
        spec = ModuleSpec(fullname, _Fresh(fullname, where), origin=where)
        spec.has_location = True
        return spec


_finder: Final = _Finder()
sys.meta_path.append(_finder)


def run_file(path: Path) -> ModuleType:
    """Run the file afresh, as `python path` would but for its name: the module that it makes.

    Raises:
        Exception, SystemExit: whatever the file raises.
    """
    name = f"{__name__}.{os.fsencode(path.resolve()).hex()}"
    spec = _finder.find_spec(name, None)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their classes' module up there
    spec.loader.exec_module(module)
    return module


def begin_imports(path: Path) -> frozenset[str]:
    """Have the file's folder lead `sys.path`, as for `python path`, and forget what the last file
    imported: edited since, it is to be read again. Gives what is imported already.
    """
    for name in _imported:
        sys.modules.pop(name, None)
    _imported.clear()
    while _led:
        if (folder := _led.pop()) in sys.path:
            sys.path.remove(folder)
    _led.append(str(path.resolve().parent))
    sys.path.insert(0, _led[0])  # it stays: workers import, too, and functions when they are called
    return frozenset(sys.modules)


def end_imports(before: frozenset[str], roots: Sequence[Path]) -> None:
    """Note what was imported since `before` from these folders."""
    for name in sys.modules.keys() - before:
        module = sys.modules[name]
        file, folders = getattr(module, "__file__", None), getattr(module, "__path__", ())
        if name.partition(".")[0] == __name__.partition(".")[0]:
            continue
        if file is None and any(_is_own(Path(one), roots) for one in folders):
            _imported[name] = None  # a folder without __init__.py
        elif isinstance(file, str) and file.endswith(".py") and _is_own(Path(file), roots):
            _imported[name] = Path(file).resolve()


def _is_own(path: Path, roots: Sequence[Path]) -> bool:
    """Whether a path lies in one of these folders, and is not installed there."""
    return is_own(str(path)) and any(path.resolve().is_relative_to(root) for root in roots)


def imported_files() -> list[Path]:
    """The files of a person's own that the last file imported, in order."""
    return sorted({file for file in _imported.values() if file is not None})
