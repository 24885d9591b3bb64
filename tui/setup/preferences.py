"""What a person prefers, whichever run it is: by the command line, else the environment, else the
file config.toml, else as it is by default.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...presets.errors import RecipeError, nearest, printable, reason, shown
from ...presets.registry import config_folder

SLOWEST, FASTEST = 0.5, 30.0
"""Frames a second."""
YES: Final = ("true", "yes", "on", "1")
NO: Final = ("false", "no", "off", "0")


def _theme(value: Any) -> str:
    if value not in ("dark", "light"):
        raise ValueError("dark or light")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a text")
    return value


def _folder(value: Any) -> str:
    if not _text(value):
        raise ValueError("a folder")
    return str(value)


def _switch(value: Any) -> bool:
    word = str(value).lower()
    if isinstance(value, (bool, str)) and word in (*YES, *NO):
        return word in YES
    raise ValueError("true or false")


def _rate(value: Any) -> float:
    wanted = f"a number from {SLOWEST:g} to {FASTEST:g}"
    if isinstance(value, bool):
        raise ValueError(wanted)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(wanted) from None
    if not SLOWEST <= number <= FASTEST:
        raise ValueError(wanted)
    return number


@dataclass(frozen=True, slots=True)
class Preference:
    """Something a person may prefer otherwise."""

    default: Any
    variable: str
    """Of the environment."""
    read: Callable[[Any], Any]
    """The value of what was written; where it makes none, ValueError says what does."""
    option: str = ""
    """Of the command line."""


PREFERENCES: Final = {
    "theme": Preference("dark", "FIVESTEP_THEME", _theme),
    "runs_dir": Preference("runs", "FIVESTEP_RUNS", _folder, "--runs-dir"),
    "notify": Preference("", "FIVESTEP_NOTIFY", _text, "--notify"),
    "bell": Preference(True, "FIVESTEP_BELL", _switch, "--bell, --no-bell"),
    "fps": Preference(10.0, "FIVESTEP_FPS", _rate),
}
"""By their names in the file, where the table `keys` may stand beside them."""


@dataclass(frozen=True, slots=True)
class Preferred:
    """What holds, and why."""

    value: Any
    source: str
    """An option, a variable of the environment, the file, or "default"."""


def file() -> Path:
    """The person's own config.toml, whether it is there or not."""
    return config_folder() / "config.toml"


def preferred(name: str, said: Any = None) -> Preferred:
    """What holds of one preference.

    Args:
        name: of it.
        said: on the command line; None or "" says nothing.

    Raises:
        RecipeError: what was written makes no sense, or the file can't be read; one line.
    """
    return _preferred(name, said, _read_file())


def preference(name: str, said: Any = None) -> Any:
    """The value that holds of one preference; as `preferred`."""
    return preferred(name, said).value


def all_preferred(said: Mapping[str, Any]) -> dict[str, Preferred]:
    """What holds of all of them, keys behind; as `preferred`."""
    from ..render.keymap import COMMANDS
    from ..render.rebinding import DEFAULTS, written

    in_file = _read_file()
    found = {name: _preferred(name, said.get(name), in_file) for name in PREFERENCES}
    for command, usual in zip(COMMANDS, DEFAULTS, strict=True):
        keys = [written(key) for key in command.keys]
        source = "default" if command.keys == usual.keys else str(file())
        found[f"keys.{command.id}"] = Preferred(keys, source)
    return found


def take_preferences() -> None:
    """Check the file as a whole, and let its keys hold.

    Raises:
        RecipeError: it makes no sense.
    """
    in_file = _read_file()
    for name in in_file.keys() - {"keys"}:
        if name not in PREFERENCES:
            guess = nearest(name, (*PREFERENCES, "keys"))
            way_out = f"did you mean {guess}?" if guess else f"there are {', '.join(PREFERENCES)}"
            raise RecipeError(f"{_named()}: there is no setting {shown(name)}; {way_out}")
    for name in PREFERENCES:
        _preferred(name, None, in_file)
    keys = in_file.get("keys", {})
    if not isinstance(keys, dict):
        raise RecipeError(f"{_named()}: keys: expected a section, [keys], not {shown(keys)}")
    if not keys:
        return
    from ..render.rebinding import rebind

    try:
        rebind(keys)
    except ValueError as error:
        raise RecipeError(f"{_named()}: {error}") from error


def _preferred(name: str, said: Any, in_file: Mapping[str, Any]) -> Preferred:
    about = PREFERENCES[name]
    places = (
        (about.option, None if said == "" else said),
        (about.variable, os.environ.get(about.variable) or None),
        (str(file()), in_file.get(name)),
    )
    for source, value in places:
        if value is None:
            continue
        from_file = source == places[-1][0]
        is_text = from_file and isinstance(value, str) and not isinstance(about.default, str)
        try:  # in the file, unlike elsewhere, "no" is a text and no more
            return Preferred(about.read(None if is_text else value), source)
        except ValueError as error:
            place = f"{printable(source)}: {name}" if from_file else source
            raise RecipeError(f"{place}: expected {error}, not {shown(value)}") from None
    return Preferred(about.default, "default")


def _read_file() -> dict[str, Any]:
    try:
        text = file().read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RecipeError(f"{_named()}: can't be read: {reason(error)}") from error
    import tomllib  # late: most people have no such file

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{_named()}: {reason(error)}") from error


def _named() -> str:
    return printable(str(file()))
