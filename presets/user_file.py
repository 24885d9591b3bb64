"""A user's own run: a Python file with a function `training()`.

The one place that runs code that somebody wrote, and only because the person named that file.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .check import TOP
from .errors import RecipeError, existing_file, printable, reason, shown
from .overrides import flag

if TYPE_CHECKING:
    from types import CodeType

    from ..core.training.training import Training

ENDING: Final = ".py"
MODULE: Final = "_fivestep_run"
"""The file's name in `sys.modules`: never `__main__`, so that a main guard doesn't run."""
CHANGEABLE: Final = ("epochs", "seed", "threads")
"""Keys that a command line can change."""
_REASONS: Final = {
    "dataset": "makes its data",
    "batch_size": "makes its batches",
    "model": "makes its model",
    "optimizer": "makes its optimizer",
    "device": "chooses its device",
    "amp": "chooses its amp",
    "compile": "decides on compile",
}
_neighbours: set[str] = set()
"""Modules that the last file imported from its own folder."""


@dataclass(frozen=True, slots=True)
class OwnRun:
    """A Python file, and the keys of its training that the command line changes."""

    path: Path
    changes: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return printable(self.path.stem, 64)

    def build(self) -> Training:
        """Run the file afresh and return its Training.

        A seed from the command line seeds torch's global generator first, from which the file
        draws its weights.

        Raises:
            RecipeError: it fails, or gives no Training; one line with file and line.
        """
        import torch

        from ..core.training.training import About, Training

        if "seed" in self.changes:
            torch.manual_seed(self.changes["seed"])
        with _running(self.path):
            made = _function(self.path)()
        if not isinstance(made, Training):
            raise RecipeError(
                f"{_called(self.path)}: training() gave {_type_of(made)}, expected a "
                "fivestep.core.training.training.Training"
            )
        for key, value in self.changes.items():
            setattr(made, key, value)
        if made.about.name == About().name:
            made.about = replace(made.about, name=self.name)
        return made


def load_own(path: str, overrides: Mapping[str, Any] | None = None) -> OwnRun:
    """The run of a Python file. Nothing of it is read yet.

    Raises:
        RecipeError: there is no such file, or an override that it can't take.
    """
    file = existing_file(path, "Python")
    if file is None:
        raise RecipeError(f"{shown(path)}: there is no such file")
    changes: dict[str, int] = {}
    for key, value in (overrides or {}).items():
        if key not in CHANGEABLE:
            reason = _REASONS.get(key.split(".")[0])
            why = f"{_called(file)} {reason} itself" if reason else "a Python file has no such key"
            kept = "only --epochs, --seed and --threads can be changed here"
            raise RecipeError(f"{printable(flag(key))}: {why}; {kept}")
        try:
            number = TOP[key].check(value)
            if not isinstance(number, int):
                raise ValueError(f"expected a number, not {shown(value)}")
        except ValueError as error:
            raise RecipeError(f"{flag(key)}: {error}") from error
        changes[key] = number
    return OwnRun(file, changes)


def write_starter(path: str) -> Path:
    """A commented file that runs as it is, to begin with.

    Raises:
        RecipeError: there is a file already, or no such folder, or it can't be written there.
    """
    file = Path(path)
    if file.suffix != ENDING:
        raise RecipeError(f"{shown(path)}: a Python file's name ends in {ENDING}")
    source = Path(__file__).with_name("starter.py").read_text(encoding="utf-8")
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(source.replace("my_run.py", printable(path)))
    except FileExistsError as error:
        raise RecipeError(f"{shown(path)}: it is there already, and stays as it is") from error
    except FileNotFoundError as error:
        raise RecipeError(f"{shown(path)}: there is no folder {shown(str(file.parent))}") from error
    except (OSError, ValueError) as error:
        raise RecipeError(f"{shown(path)}: can't be written: {reason(error)}") from error
    return file


class _Fresh(SourceFileLoader):
    """Compiles the file as it stands; no bytecode is kept that could be older."""

    def get_code(self, fullname: str) -> CodeType | None:
        return self.source_to_code(self.get_data(self.path), self.path)


def _function(path: Path) -> Callable[[], Any]:
    """The file's `training`, after running the file."""
    where = str(path.resolve())
    loader = _Fresh(MODULE, where)
    spec = ModuleSpec(MODULE, loader, origin=where)
    spec.has_location = True
    module = module_from_spec(spec)
    sys.modules[MODULE] = module  # dataclasses and pickle look their classes' module up there
    loader.exec_module(module)
    function = getattr(module, "training", None)
    if not callable(function):
        raise RecipeError(
            f"{_called(path)}: expected a function training() that gives a Training; "
            f"{'there is none' if function is None else f'it is {_type_of(function)}'}"
        )
    made: Callable[[], Any] = function
    return made


@contextmanager
def _running(path: Path) -> Generator[None, None, None]:
    """The file's folder leads `sys.path`, as for `python file`; errors become one line."""
    folder = str(path.resolve().parent)
    for name in _neighbours:
        sys.modules.pop(name, None)  # edited beside the file, they are to be read again too
    _neighbours.clear()
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        yield
    except RecipeError:
        raise
    except (Exception, SystemExit) as error:
        raise RecipeError(_error_line(error, path)) from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
        _neighbours.update(_from_folder(set(sys.modules) - before, folder))


def _from_folder(names: set[str], folder: str) -> set[str]:
    """Those of the modules that lie in the folder itself, and their submodules."""
    tops = set()
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if "." not in name and isinstance(file, str):
            place = Path(file).parent
            if folder in (str(place), str(place.parent) if Path(file).stem == "__init__" else ""):
                tops.add(name)
    return {name for name in names if name.partition(".")[0] in tops}


def _error_line(error: BaseException, path: Path) -> str:
    """File, line and error, in one line."""
    folder, file, line = path.resolve().parent, path.resolve(), None
    if isinstance(error, SyntaxError) and error.filename:
        file, line = Path(error.filename), error.lineno
    else:
        for frame in traceback.extract_tb(error.__traceback__):
            if Path(frame.filename).parent == folder:
                file, line = Path(frame.filename), frame.lineno
    called = _called(path) if file.name == path.name else printable(file.name)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = printable(text.strip().split("\n", 1)[0], 400)
    where = called if line is None else f"{called}, line {line}"
    return f"{where}: {type(error).__name__}{f': {first}' if first else ''}"


def _called(path: Path) -> str:
    return printable(str(path))


def _type_of(value: object) -> str:
    return "None" if value is None else f"a {printable(type(value).__name__, 60)}"
