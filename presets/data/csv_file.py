"""Reading a CSV file, which anybody may have written. Standard library only."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import printable, reason, shown

if TYPE_CHECKING:
    from ...core.protocol.steps import TaskName

BYTES: Final = 20_000_000
CELLS: Final = 2_000_000
COLUMNS: Final = 1000
CATEGORIES: Final = 100
"""Different texts in one column."""
CLASSES: Final = 20
"""Different whole numbers in a target up to which they count as classes."""
LARGEST: Final = 1e30

_MISSING: Final = frozenset({"", "?", "-", "na", "n/a", "nan", "null", "none"})
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `numbers` is None unless all of its values are numbers."""

    name: str
    texts: tuple[str, ...]
    numbers: tuple[float, ...] | None

    @property
    def different(self) -> tuple[str, ...]:
        """The distinct values in order, as texts; numbers by size, and 1 and 1.0 are the same."""
        if self.numbers is None:
            return tuple(sorted(set(self.texts)))
        return tuple(f"{number:.9g}" for number in sorted(set(self.numbers)))

    @property
    def places(self) -> tuple[int, ...]:
        """The index of each value in `different`."""
        values: tuple[float, ...] | tuple[str, ...] = self.numbers or self.texts
        order = {value: place for place, value in enumerate(sorted(set(values)))}  # type: ignore[type-var]
        return tuple(order[value] for value in values)


def read_sheet(path: str, data_dir: str = "") -> tuple[Column, ...]:
    """The columns of a CSV file with a header, from which the delimiter is guessed.

    Raises:
        ValueError: no such file, too large, no table, or a value is missing; one line.
    """
    if not path:
        raise ValueError("expected the path of a CSV file: --set dataset.path=...")
    file = Path(data_dir) / path
    try:
        if not file.is_file():
            raise ValueError(f"{shown(str(file))}: there is no such file")
        about = file.stat()
        return _read(file, about.st_mtime_ns, about.st_size)
    except OSError as error:
        raise ValueError(f"{shown(str(file))}: can't be read: {reason(error)}") from error


def target_of(columns: tuple[Column, ...], name: str) -> Column:
    """The column to predict: the one of this name, or else the last.

    Raises:
        ValueError: there is none of that name, or it never varies.
    """
    found = [column for column in columns if column.name == name] if name else [columns[-1]]
    if not found:
        names = ", ".join(printable(column.name, 40) for column in columns[:12])
        raise ValueError(f"no column is called {shown(name)}; there are {names}")
    if len(found[0].different) < 2:
        raise ValueError(f"the column {shown(found[0].name)} never varies, so there is no target")
    return found[0]


def task_of(target: Column) -> TaskName:
    """Classification for texts and for a few whole numbers; regression for other numbers.

    Raises:
        ValueError: texts that are too many for classes.
    """
    different = len(target.different)
    if target.numbers is None:
        categories(target)
        return "classification"
    whole = all(number.is_integer() for number in target.numbers)
    few = different <= CLASSES and different < len(target.numbers)
    return "classification" if whole and few else "regression"


def categories(column: Column) -> tuple[str, ...]:
    """The different texts of a column. Raises ValueError where they are too many."""
    if len(column.different) > CATEGORIES:
        raise ValueError(
            f"the column {shown(column.name)} has {len(column.different):,} different texts; at "
            f"most {CATEGORIES} can be categories: set dataset.ignore to leave it out"
        )
    return column.different


@lru_cache(maxsize=1)
def _read(file: Path, _changed: int, _size: int) -> tuple[Column, ...]:
    called = shown(file.name)
    with file.open("rb") as opened:
        data = opened.read(BYTES + 1)
    if len(data) > BYTES:
        raise ValueError(f"{called}: expected at most {BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{called}: expected a text file in UTF-8") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return _columns(reader, called)
    except csv.Error as error:
        raise ValueError(f"{called}: row {reader.line_num}: {printable(str(error))}") from error


def _columns(reader: Any, called: str) -> tuple[Column, ...]:
    names = [name.strip() for name in next(reader, [])]
    if len(names) < 2 or not all(names):
        raise ValueError(f"{called}: expected a header that names two columns or more")
    if len(names) > COLUMNS:
        raise ValueError(f"{called}: expected at most {COLUMNS:,} columns, not {len(names):,}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{called}: two columns are called {shown(twice)}")
    rows: list[list[str]] = []
    for row in reader:
        if not row:
            continue  # an empty line
        where = f"{called}: row {reader.line_num}"
        if len(row) != len(names):
            raise ValueError(f"{where}: expected {len(names)} values, not {len(row)}")
        values = [value.strip() for value in row]
        for name, value in zip(names, values, strict=True):
            if value.lower() in _MISSING:
                raise ValueError(f"{where}, column {shown(name)}: a value is missing")
            if len(value) > 60 and _number(value) is None:
                raise ValueError(f"{where}, column {shown(name)}: a text is too long")
        rows.append(values)
        if len(rows) * len(names) > CELLS:
            raise ValueError(f"{called}: expected at most {CELLS:,} values")
    if len(rows) < 3:
        raise ValueError(f"{called}: expected at least 3 rows below the header, not {len(rows)}")
    return tuple(_column(n, t, called) for n, t in zip(names, zip(*rows, strict=True), strict=True))


def _column(name: str, texts: tuple[str, ...], called: str) -> Column:
    numbers = [_number(text) for text in texts]
    known = [number for number in numbers if number is not None]
    if len(known) < len(texts):
        return Column(name, texts, None)
    if not all(math.isfinite(number) and abs(number) <= LARGEST for number in known):
        raise ValueError(f"{called}: column {shown(name)}: a number is beyond {LARGEST:g}")
    return Column(name, texts, tuple(known))


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None
