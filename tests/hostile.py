"""Hostile recipes and tables under an audit hook: `python hostile.py COUNT FOLDER [SEED]`.

Prints, as JSON, how many were taken and how many refused, and everything that went wrong: an
error that is not one clean line, or an event that no recipe and no table may cause.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fivestep.presets import registry
from fivestep.presets.build import load_data
from fivestep.presets.recipe import RecipeError, load, parse_set

FORBIDDEN = tuple(
    "import exec compile subprocess. os.system os.exec os.posix_spawn os.fork os.spawn os.remove "
    "os.rename os.mkdir os.rmdir os.link os.symlink os.putenv shutil. socket. ctypes. pickle. "
    "marshal. code. webbrowser.".split()
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
TOKENS = (
    "__import__('os').system('true')",
    "os.system",
    "torch.hub.load",
    "__class__",
    "!!python/object/apply:os.system",
    "../../../../etc/passwd",
    "/dev/zero",
    "/etc/hostname",
    "file:///etc/passwd",
    "http://127.0.0.1:9/",
    "=cmd|' /C calc'!A0",
    "${HOME}",
    "{0.__class__}",
    "%s%n",
    "\x1b]0;evil\x07",
    "\u202egnp.exe",
    "\0",
    "x" * 300,
    "[" * 300,
    '"',
    "'",
    '"""',
    "\\",
    "",
    "true",
    "nan",
    "inf",
    "-0",
    "1e999",
    "9" * 400,
    "[]",
    "{}",
    "[[[1]]]",
    "1979-05-27",
    "csv",
    "mnist",
    "gpt",
    "*",
    "\ufeff",
    "\ud7ff",
    "1,2",
    ";",
    "\t",
    "$1,000.50",
    "-1.234,5 €",
    "(5 %)",
    "31.12.2024 23:59",
    "99/99/9999",
    "1 " * 29,
)
TABLE = "a,b,kind,y\n" + "\n".join(f"{i},{i * 0.5},k{i % 3},{i % 2}" for i in range(20))
KEYS = tuple(
    "path target task ignore categories decimal missing data_dir seed validation test noise".split()
)

watching = False
events: list[str] = []


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Keep what must not happen while a recipe or a table is read."""
    if not watching:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
    if writes or event.startswith(FORBIDDEN):
        events.append(f"{event} {arguments[:1]!r}"[:200])


def spoiled(draw: random.Random, text: str, between: str) -> bytes:
    """The text with a few changes: words, lines and bytes replaced, added, doubled, left out."""
    for _ in range(draw.randint(1, 4)):
        lines = text.split("\n")
        at = draw.randrange(len(lines))
        words = lines[at].split(between)
        match draw.randrange(6):
            case 0 | 1:
                words[draw.randrange(len(words))] = draw.choice(TOKENS)
                lines[at] = between.join(words)
            case 2:
                token = draw.choice(TOKENS).replace("\\", "\\\\").replace('"', '\\"')
                words[-1] = f'"{token}"'
                lines[at] = between.join(words)
            case 3:
                lines.insert(at, draw.choice(lines))
            case 4:
                lines[at] = draw.choice((between.join(words[:-1]), lines[at] + between, "[x]"))
            case 5:
                place = draw.randrange(len(text) + 1)
                lines = (text[:place] + draw.choice(TOKENS) + text[place:]).split("\n")
        text = "\n".join(lines)
    data = bytearray(text.encode(errors="replace"))
    if not draw.randrange(4):
        for _ in range(draw.randint(1, 5)):
            data[draw.randrange(len(data) or 1) : 0] = bytes([draw.randrange(256)])
    return bytes(data)


def recipe(draw: random.Random, folder: Path) -> Callable[[], object]:
    """A spoiled recipe, or a preset with hostile overrides."""
    name = draw.choice(registry.names())
    if draw.randrange(3):
        file = folder / "hostile.toml"
        text = (Path(registry.__file__).parent / f"{name}.toml").read_text(encoding="utf-8")
        file.write_bytes(spoiled(draw, text, " = "))
        return lambda: load(str(file))
    sections = ("dataset", "model", "criterion", "optimizer", "scheduler", "expect", "freeze")
    key = draw.choice((*sections, f"{draw.choice(sections)}.{draw.choice(('name', *KEYS))}"))
    text = f"{draw.choice((key, draw.choice(TOKENS)))}={draw.choice(TOKENS)}"
    return lambda: load(name, dict([parse_set(text)])).to_toml()


def table(draw: random.Random, folder: Path) -> Callable[[], object]:
    """A spoiled CSV file, now and then with hostile options."""
    file = folder / "hostile.csv"
    file.write_bytes(spoiled(draw, TABLE, ","))
    changes: dict[str, Any] = {"dataset.name": "csv", "dataset.path": str(file)}
    changes["dataset.missing"] = draw.choice(("refuse", "median", "drop"))
    if draw.randrange(2):
        changes["dataset.categories"] = ["a", "b", "kind"]
    if not draw.randrange(4):
        value: Any = draw.choice(TOKENS)
        changes[f"dataset.{draw.choice(KEYS)}"] = draw.choice((value, [value]))
    return lambda: load_data(load("iris-mlp", changes))


def main(count: int, folder: Path, seed: int) -> None:
    """Try so many, half of them recipes and half of them tables."""
    global watching  # noqa: PLW0603 - a hook can't be taken away
    draw = random.Random(seed)
    taken = refused = 0
    wrong: list[str] = []
    sys.addaudithook(audit)
    (folder / "hostile.csv").write_text(TABLE, encoding="utf-8")
    for name in registry.names():  # what is imported late is imported now
        load(name).to_toml()
    for task in ("classification", "regression"):
        own = {"dataset.name": "csv", "dataset.path": str(folder / "hostile.csv")}
        load_data(load("iris-mlp", own | {"dataset.task": task}))
    watching = True
    compile("1", "a proof that the hook hears", "eval")
    watching = False
    assert events, "the hook hears nothing"
    events.clear()
    for number in range(count):
        case = (recipe, table)[number % 2](draw, folder)
        watching = True
        try:
            case()
            taken += 1
        except RecipeError as error:
            refused += 1
            text = str(error)
            if not text or not text.isprintable() or len(text) > 1000:
                wrong.append(f"case {number}: {text!r}"[:2000])
        except BaseException as error:
            wrong.append(f"case {number}: {type(error).__name__}: {error}"[:2000])
        watching = False
    found = {"taken": taken, "refused": refused, "wrong": wrong, "events": events}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
