"""Other keys for the commands of the watch screen, as a person wants them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any, Final

from ...presets.errors import nearest, shown
from .keymap import BY_ID, COMMANDS, KEYS, KeyCommand

DEFAULTS: Final = tuple(COMMANDS)
RENAMED: Final = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
"""Characters that Textual calls otherwise than Unicode does."""
NAMED: Final = (
    *"space tab enter escape backspace delete insert home end pageup pagedown".split(),
    *"up down left right".split(),
    *(f"f{number}" for number in range(1, 13)),
)
MODIFIERS: Final = ("ctrl", "alt", "shift")
TAKEN: Final = {
    "ctrl+c": "always asks to stop",
    "ctrl+p": "opens the palette",
    "ctrl+z": "goes to the shell",
}
"""What keeps its key, since it is the way out, or not in the table."""


def rebind(wanted: Mapping[str, Any]) -> None:
    """Give commands other keys, all others those that they have by default.

    A command that shares its keys with one that is named moves along, as `resume` with `pause`.

    Args:
        wanted: a key, or a list of keys, by the command's id.

    Raises:
        ValueError: there is no such command or key, or two commands would have one key.
    """
    by_id = {command.id: command for command in DEFAULTS}
    moved: dict[tuple[str, ...], dict[str, Any]] = {}
    changes: dict[str, dict[str, Any]] = {}
    for name, said in wanted.items():
        if name not in by_id:
            guess = nearest(name, by_id)
            way_out = f"; did you mean {guess}?" if guess else ", fivestep config lists all"
            raise ValueError(f"keys: there is no command {shown(name)}{way_out}")
        texts = said if isinstance(said, list) else [said]
        if not texts:
            raise ValueError(f"keys.{name}: expected a key, not an empty list")
        keys = tuple(_key(name, text) for text in texts)
        old = by_id[name].keys
        changes[name] = {"keys": (*keys, *(key for key in old if key in TAKEN)), "shown": texts[0]}
        moved.setdefault(old, changes[name])
    commands = [
        replace(command, **changes.get(command.id) or moved.get(command.keys, {}))
        for command in DEFAULTS
    ]
    _check(commands)
    COMMANDS[:] = commands
    BY_ID.update({command.id: command for command in commands})
    KEYS[:] = dict.fromkeys(key for command in commands for key in command.keys)


def _check(commands: list[KeyCommand]) -> None:
    """Refuse one key for two commands that may apply at the same time."""
    for (old, new), (other_old, other) in combinations(zip(DEFAULTS, commands, strict=True), 2):
        both = set(new.keys) & set(other.keys)
        if both and not set(old.keys) & set(other_old.keys):
            key = written(min(both))
            raise ValueError(
                f"keys: {key} would be both {new.id} and {other.id}; give one another key"
            )


def _key(command: str, text: Any) -> str:
    """Textual's name of a key. Raises ValueError if there is no such key."""
    if not isinstance(text, str) or not text:
        raise ValueError(f"keys.{command}: expected a key such as P or ctrl+s, not {shown(text)}")
    if text in TAKEN:
        raise ValueError(f"keys.{command}: {text} {TAKEN[text]}")
    *modifiers, key = text.split("+") if len(text) > 1 else [text]
    known = key in NAMED or (len(key) == 1 and key.isprintable() and key != " ")
    if not known or any(one not in MODIFIERS for one in modifiers):
        guess = nearest(text, NAMED)
        way_out = f"; did you mean {guess}?" if guess else ", one is a character, f2 or ctrl+s"
        raise ValueError(f"keys.{command}: there is no key {shown(text)}{way_out}")
    return "+".join([*modifiers, _textual(key) if len(key) == 1 else key])


def _textual(character: str) -> str:
    if character.isalnum():
        return character
    name = unicodedata.name(character, character).lower().replace("-", "_").replace(" ", "_")
    return RENAMED.get(name, name)


_CHARACTERS: Final = {_textual(chr(code)): chr(code) for code in range(0x21, 0x7F)}


def written(key: str) -> str:
    """A key as a person writes it, from Textual's name."""
    return _CHARACTERS.get(key, key)
