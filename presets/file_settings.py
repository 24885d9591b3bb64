"""The parameters of a Python file's `training()`, read off its source: nothing of it is run."""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from .errors import nearest, shown

FUNCTION: Final = "training"
_TYPES: Final[Mapping[str, tuple[str, type | tuple[type, ...]]]] = {
    "bool": ("true or false", bool),
    "int": ("a whole number", int),
    "float": ("a number", (int, float)),
    "str": ("a text", str),
    "Path": ("a path", str),
    "list": ("a list", (list, tuple)),
    "tuple": ("a list", (list, tuple)),
    "dict": ("a table, such as {a = 1}", dict),
}
"""What is asked for, in words, and the types that a value of it may have."""
_MADE: Final[Mapping[str, Callable[[Any], Any]]] = {"float": float, "Path": Path, "tuple": tuple}
"""Makes of a checked value what the function is called with."""


@dataclass(frozen=True, slots=True)
class FileSetting:
    """A parameter of `training()`."""

    name: str
    default: str | None
    """As `--set` takes it, or as the file writes it if it is no plain value; None if it must be
    given."""
    kind: str = ""
    """What it takes, a key of `_TYPES`; "" if nothing says."""
    choices: tuple[Any, ...] = ()
    optional: bool = False
    """None is a value, too, and written `none`."""
    guessed: bool = False
    """Only its default says what it takes."""

    @property
    def expected(self) -> str:
        """What it takes, in words; "" if nothing says."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        return _TYPES[self.kind][0] if self.kind else ""

    def check(self, value: Any) -> Any:
        """The value in plain form. Raises ValueError, for behind "key: ", where it is wrong."""
        if self.optional and value in (None, "none", "None"):
            return None
        if self.choices:
            if value in self.choices:
                return value
            guess = nearest(str(value), map(str, self.choices))
            hint = f"; did you mean {guess}?" if guess else ""
            raise ValueError(f"expected {self.expected}, not {shown(value)}{hint}")
        if isinstance(value, str) and self.kind == "float":
            value = _number(value)
        if self.kind in ("", "int", "float") and isinstance(value, float):
            meant = str(value) in str(self.default).lower()  # the file may be made for infinity
            if not math.isfinite(value) and not meant:
                raise ValueError(f"expected {self.expected or 'a number'}, not {value}")
        if not self.kind:
            return value
        types = _TYPES[self.kind][1]
        if self.kind == "str" and isinstance(value, (bool, int, float)):
            value = str(value).lower()  # it looked like a number
        if not isinstance(value, types) or (isinstance(value, bool) and self.kind != "bool"):
            wider = self.guessed and self.kind == "int" and isinstance(value, float)
            hint = f"; {self.name}: float = {self.default} in the file allows it" if wider else ""
            raise ValueError(f"expected {self.expected}, not {shown(value)}{hint}")
        return value

    def argument(self, value: Any) -> Any:
        """What the function is called with for a checked value."""
        return value if value is None else _MADE.get(self.kind, lambda same: same)(value)


@dataclass(frozen=True, slots=True)
class FileSettings:
    """All of them, by name."""

    known: Mapping[str, FileSetting] = field(default_factory=dict)
    open: bool = False
    """There may be others: it takes `**settings`, or only running the file could tell."""

    def argument(self, name: str, value: Any) -> Any:
        """What the function is called with for a checked value."""
        return self.known[name].argument(value) if name in self.known else value

    @property
    def missing(self) -> set[str]:
        """Names of those that must be given."""
        return {name for name, one in self.known.items() if one.default is None}


def read_settings(path: Path) -> FileSettings:
    """What a file's `training()` takes. A file that can't be read or parsed will say so itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return FileSettings(open=True)
    named = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == FUNCTION]
    if named and not named[-1].decorator_list:
        return _settings_of(named[-1].args)
    return FileSettings(open=any(_binds(node) for node in ast.walk(tree)))


def _binds(node: ast.AST) -> bool:
    """Whether the name is given to something here: imported, assigned, or a function's."""
    match node:
        case ast.FunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
            return name == FUNCTION
        case ast.alias(name=name, asname=other):
            return FUNCTION in (name, other) or name == "*"
    return False


def _settings_of(arguments: ast.arguments) -> FileSettings:
    plain = arguments.args
    defaults: list[ast.expr | None] = [None] * len(plain)
    given = arguments.defaults[-len(plain) :] if plain else []
    defaults[len(plain) - len(given) :] = given
    pairs = [*zip(plain, defaults, strict=True)]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    known = {one.arg: _setting(one, default) for one, default in pairs}
    return FileSettings(known, open=arguments.kwarg is not None)


def _setting(argument: ast.arg, default: ast.expr | None) -> FileSetting:
    kind, choices, optional = _annotated(argument.annotation)
    if default is None:
        return FileSetting(argument.arg, None, kind, choices, optional)
    try:
        value = ast.literal_eval(default)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return FileSetting(argument.arg, ast.unparse(default), kind, choices, optional)
    guessed = not kind and not choices and type(value).__name__ in _TYPES
    kind = type(value).__name__ if guessed else kind
    return FileSetting(argument.arg, said(value), kind, choices, optional or value is None, guessed)


def said(value: Any) -> str:
    """A plain value as `--set` takes it."""
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return f"[{', '.join(_quoted(one) for one in value)}]"
        case Mapping():
            return f"{{{', '.join(f'{key} = {_quoted(one)}' for key, one in value.items())}}}"
    return str(value)


def _quoted(value: Any) -> str:
    """The same inside a list or a table."""
    return json.dumps(value) if isinstance(value, str) else said(value)


def _annotated(node: ast.expr | None) -> tuple[str, tuple[Any, ...], bool]:
    """Kind, choices and whether it may be None, as far as an annotation says so."""
    match node:
        case ast.Constant(value=None):
            return "", (), True
        case ast.Constant(value=str(text)):  # quoted
            try:
                return _annotated(ast.parse(text, mode="eval").body)
            except SyntaxError:
                return "", (), False
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in _TYPES:
            return name, (), False
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            sides = _annotated(left), _annotated(right)
            optional = any(side[2] for side in sides)
            found = [side for side in sides if side[0] or side[1]]
            return (*found[0][:2], optional) if len(found) == 1 and optional else ("", (), optional)
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            if name == "Optional":
                return (*_annotated(inner)[:2], True)
            if name == "Literal":
                items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
                values = tuple(one.value for one in items if isinstance(one, ast.Constant))
                return "", tuple(one for one in values if one is not None), None in values
            if name in _TYPES:
                return name, (), False
    return "", (), False


def _number(text: str) -> Any:
    """The number that a text is; the text itself if it is none."""
    try:
        return float(text)
    except ValueError:
        return text
