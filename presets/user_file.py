"""A user's own run: a Python file with a function `training()`.

The one place that runs code that somebody wrote, and only because the person named that file.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..core.training.own_code import first_line, own_line
from . import own_module
from .errors import RecipeError, existing_file, nearest, printable, reason, shown
from .file_settings import FUNCTION, FileSettings, read_settings, said
from .overrides import ALIASES, flag
from .recipe_check import TOP

if TYPE_CHECKING:
    from ..core.training.training import Training

ENDING: Final = ".py"
CHANGEABLE: Final = ("epochs", "seed", "threads", "early_stop", "min_delta")
"""Keys that a command line can change in any file."""
_REASONS: Final = {
    "dataset": "makes its data",
    "batch_size": "makes its batches",
    "model": "makes its model",
    "optimizer": "makes its optimizer",
    "device": "chooses its device",
    "amp": "chooses its amp",
    "compile": "decides on compile",
}
_PARAMETERS: Final = {key: alias[2:].replace("-", "_") for alias, key in ALIASES.items()}
"""The parameter of `training()` that a short option sets, by the recipe's key: lr, batch_size."""


@dataclass(frozen=True, slots=True)
class OwnRun:
    """A Python file, and what the command line changes: parameters of its `training()`, and what
    can be changed in any file.
    """

    path: Path
    changes: Mapping[str, Any] = field(default_factory=dict)
    settings: FileSettings = field(default_factory=FileSettings)

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return printable(self.path.stem, 64)

    @property
    def command(self) -> str:
        """The command that trains it, quoted for a shell."""
        words = ["fivestep", "train", str(self.path)]
        for key, value in self.changes.items():
            text = said(value)
            short = key in CHANGEABLE and key in ALIASES.values()
            words += [flag(key), text] if short else ["--set", f"{key}={text}"]
        return shlex.join(words)

    def number(self, key: str) -> int | None:
        """A whole number of it, as far as that is known before it is built."""
        setting = self.settings.known.get(key)
        text = str(self.changes.get(key, setting and setting.default))
        return int(text) if text.isdecimal() else None

    @property
    def modules(self) -> list[Path]:
        """Files that it imported from its own folder and the working folder when it was built."""
        return own_module.imported_files()

    def build(self) -> Training:
        """Run the file afresh and return its Training.

        A seed from the command line seeds torch's global generator first, from which the file
        draws its weights.

        Raises:
            RecipeError: it fails, or gives no Training; one line with file and line.
        """
        import torch

        from ..core.training.layer_misfit import noting_lines
        from ..core.training.training import About, Training

        if "seed" in self.changes:
            torch.manual_seed(self.changes["seed"])
        with _running(self.path), noting_lines():
            function = _function(self.path)
            taken = _taken(function)
            arguments = {
                key: self.settings.argument(key, value)
                for key, value in self.changes.items()
                if key in taken or key not in CHANGEABLE
            }
            made = function(**arguments)
        if not isinstance(made, Training):
            raise RecipeError(
                f"{_called(self.path)}: training() gave {_type_of(made)}, expected a "
                "fivestep.core.training.training.Training"
            )
        for key in self.changes.keys() & set(CHANGEABLE) - taken.keys():
            value = self.changes[key]
            setattr(made, key, None if value == "off" else value)
        name = self.name if made.about.name == About().name else made.about.name
        settings = tuple((taken | arguments).items())
        made.about = replace(made.about, name=name, settings=settings)
        return made


def load_own(path: str, overrides: Mapping[str, Any] | None = None) -> OwnRun:
    """The run of a Python file. It is read, for the parameters of its `training()`, and not run.

    Raises:
        RecipeError: there is no such file, or an override that it can't take.
    """
    file = existing_file(path, "Python")
    if file is None:
        raise RecipeError(f"{shown(path)}: there is no such file")
    settings = read_settings(file)
    changes: dict[str, Any] = {}
    for key, value in (overrides or {}).items():
        name = _PARAMETERS.get(key, key)
        try:
            if name in settings.known:
                value = settings.known[name].check(value)
            if name in CHANGEABLE and not (name in settings.known and value is None):
                value = TOP[name].check(value)
                if value == "auto":
                    raise ValueError(f"expected a number, not {shown(value)}")
        except ValueError as error:
            raise RecipeError(f"{printable(flag(key))}: {error}") from error
        if name not in (*settings.known, *CHANGEABLE) and not (settings.open and "." not in name):
            raise RecipeError(f"{printable(flag(key))}: {_no_such(key, name, file, settings)}")
        changes[name] = value
    missing = sorted(settings.missing - changes.keys())
    if missing:
        say = " ".join(f"--set {name}=..." for name in missing)
        raise RecipeError(f"{_called(file)}: training() needs {', '.join(missing)}: {say}")
    return OwnRun(file, changes, settings)


def _no_such(key: str, name: str, file: Path, settings: FileSettings) -> str:
    """Why a key can't be changed in a file, and what can."""
    reason = _REASONS.get(key.partition(".")[0])
    why = f"{_called(file)} {reason} itself" if reason else "a Python file has no such key"
    own = [one for one in settings.known if one not in CHANGEABLE]
    others = f", and {', '.join(own)} of its training()," if own else ""
    guess = nearest(name, (*settings.known, *CHANGEABLE))
    hint = f"; did you mean {guess}?" if guess else ""
    return f"{why}; only {', '.join(map(flag, CHANGEABLE))}{others} can be changed here{hint}"


def _taken(function: Callable[..., Any]) -> dict[str, Any]:
    """What the function takes by name: each parameter with its default, None without one."""
    try:
        parameters = signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}
    by_name = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return {
        one.name: None if one.default is Parameter.empty else one.default
        for one in parameters
        if one.kind in by_name
    }


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


def _function(path: Path) -> Callable[..., Any]:
    """The file's `training`, after running the file."""
    function = getattr(own_module.run_file(path), FUNCTION, None)
    if not callable(function):
        raise RecipeError(
            f"{_called(path)}: expected a function training() that gives a Training; "
            f"{'there is none' if function is None else f'it is {_type_of(function)}'}"
        )
    made: Callable[..., Any] = function
    return made


@contextmanager
def _running(path: Path) -> Generator[None, None, None]:
    """Import as for `python path`; errors become one line."""
    roots = (path.resolve().parent, Path.cwd())
    before = own_module.begin_imports(path)
    try:
        yield
    except RecipeError:
        raise
    except (Exception, SystemExit) as error:
        raise RecipeError(_error_line(error, path)) from error
    finally:
        own_module.end_imports(before, roots)


def _error_line(error: BaseException, path: Path) -> str:
    """File, line and error, in one line."""
    where = own_line(error)
    return (
        f"{printable(where, 400) if where else _called(path)}: {printable(first_line(error), 400)}"
    )


def _called(path: Path) -> str:
    return printable(str(path))


def _type_of(value: object) -> str:
    return "None" if value is None else f"a {printable(type(value).__name__, 60)}"
