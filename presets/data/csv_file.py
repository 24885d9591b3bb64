"""Reading a CSV file, which anybody may have written. Standard library only."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NoReturn

from ..errors import printable, reason, shown
from .csv_cells import LONGEST, TEXT, CellError, Reading, is_missing, reading_of

BYTES: Final = 20_000_000
CELLS: Final = 2_000_000
COLUMNS: Final = 1000
LOOKED_AT: Final = 20
"""Rows from which the delimiter is told."""
NAN: Final = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """The cells of a CSV file, stripped and otherwise as they stand."""

    called: str
    """The file, as an error names it."""
    names: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    """Column by column."""
    lines: tuple[int, ...]
    """In the file, where each row ends; counted from 1."""
    delimiter: str

    def texts(self, name: str) -> tuple[str, ...]:
        """The cells of a column."""
        return self.cells[self.names.index(name)] if self.cells else ()

    def column(self, name: str, decimal: str = "auto", *, as_text: bool = False) -> Column:
        """A column, read as what it is.

        Raises:
            ValueError: a cell does not go with the others, or may be read in two ways.
        """
        return _column(self, name, decimal, as_text)

    def refuse(self, name: str, row: int, text: str) -> NoReturn:
        """Raise ValueError about the cell of a column in a row (0 is the first)."""
        where = f"{self.called}: row {self.lines[row]}, column {shown(name)}"
        raise ValueError(f"{where}: {text}")


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column; `numbers` is None where it is read as text."""

    name: str
    texts: tuple[str, ...]
    numbers: tuple[float, ...] | None
    """NaN where a value is missing."""
    reading: Reading
    missing: tuple[int, ...]
    """The rows without a value."""

    def without(self, rows: frozenset[int]) -> Column:
        """The column without these rows."""
        if not rows:
            return self
        kept = [row for row in range(len(self.texts)) if row not in rows]
        place = {row: i for i, row in enumerate(kept)}
        return Column(
            self.name,
            tuple(self.texts[row] for row in kept),
            None if self.numbers is None else tuple(self.numbers[row] for row in kept),
            self.reading,
            tuple(place[row] for row in self.missing if row in place),
        )

    @property
    def known(self) -> list[float] | list[str]:
        """The values that are there."""
        missing = frozenset(self.missing)
        values: tuple[float, ...] | tuple[str, ...] = self.numbers or self.texts
        return [v for row, v in enumerate(values) if row not in missing]  # type: ignore[return-value]

    @property
    def different(self) -> tuple[str, ...]:
        """The distinct values in order, as texts; numbers by size, and 1 and 1.0 are the same."""
        values = sorted(set(self.known))  # type: ignore[type-var]
        return tuple(v if isinstance(v, str) else f"{v:.15g}" for v in values)

    @property
    def places(self) -> tuple[int, ...]:
        """The index of each value in `different`, where none is missing."""
        order = {value: place for place, value in enumerate(sorted(set(self.known)))}  # type: ignore[type-var]
        return tuple(order[value] for value in self.known)


def read_sheet(path: str, data_dir: str = "", *, least: int = 2) -> Sheet:
    """The cells of a CSV file with a header of at least `least` columns; its delimiter is guessed.

    Raises:
        ValueError: no such file, too large, or no table; one line.
    """
    if not path:
        raise ValueError("expected the path of a CSV file: --set dataset.path=...")
    file = Path(data_dir) / path
    try:
        if not file.is_file():
            raise ValueError(f"{shown(str(file))}: there is no such file")
        about = file.stat()
        return _read(file, about.st_mtime_ns, about.st_size, least)
    except OSError as error:
        raise ValueError(f"{shown(str(file))}: can't be read: {reason(error)}") from error


@lru_cache(maxsize=1)
def _read(file: Path, _changed: int, _size: int, least: int) -> Sheet:
    with file.open("rb") as opened:
        return parse_sheet(opened.read(BYTES + 1), shown(file.name), least=least)


def parse_sheet(data: bytes, called: str, *, least: int = 2) -> Sheet:
    """The cells of a CSV file's content; errors speak of it as `called`.

    Raises:
        ValueError: it is too large, or no table; one line.
    """
    if len(data) > BYTES:
        raise ValueError(f"{called}: expected at most {BYTES:,} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        way = 'a spreadsheet saves one as "CSV UTF-8"'
        raise ValueError(f"{called}: expected a text file in UTF-8; {way}") from error
    delimiter = max(",;\t|", key=lambda mark: _fit(text, mark))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return _sheet(reader, called, delimiter, least)


def _fit(text: str, delimiter: str) -> tuple[bool, int]:
    """How well a delimiter goes with the first rows: all of one length, and how many columns."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    widths: list[int] = []
    try:
        for row in rows:
            widths += [len(row)] if row else []
            if len(widths) > LOOKED_AT:
                break
    except csv.Error:
        return False, widths[0] if widths else 0
    return len(set(widths)) == 1 and widths[0] > 1, widths[0] if widths else 0


def _rows(reader: Any, called: str) -> Iterator[list[str]]:
    """The rows of a file. Raises ValueError, with the line in which it begins, at a broken one."""
    began = 1
    try:
        for row in reader:
            yield row
            began = reader.line_num + 1
    except csv.Error as error:
        told = printable(str(error))
        if reader.line_num > began or told == "unexpected end of data":
            told = 'a quote (") is opened here, and not closed where the cell ends'
        raise ValueError(f"{called}: row {began}: {told}") from error


def _sheet(reader: Any, called: str, delimiter: str, least: int) -> Sheet:
    rows_of_file = _rows(reader, called)
    names = tuple(name.strip() for name in next(rows_of_file, []))
    if len(names) < least or not all(names):
        many = "two columns" if least == 2 else "one column"
        raise ValueError(f"{called}: expected a header that names {many} or more")
    if len(names) > COLUMNS:
        raise ValueError(f"{called}: expected at most {COLUMNS:,} columns, not {len(names):,}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{called}: two columns are called {shown(twice)}")
    rows: list[list[str]] = []
    lines: list[int] = []
    for row in rows_of_file:
        if not row:
            continue  # an empty line
        if len(row) != len(names):
            raise ValueError(
                f"{called}: row {reader.line_num}: expected {len(names)} values, not {len(row)}"
            )
        rows.append([value.strip() for value in row])
        lines.append(reader.line_num)
        if len(rows) * len(names) > CELLS:
            raise ValueError(f"{called}: expected at most {CELLS:,} values")
    return Sheet(called, names, tuple(zip(*rows, strict=True)), tuple(lines), delimiter)


@lru_cache(maxsize=4)
def _column(sheet: Sheet, name: str, decimal: str, as_text: bool) -> Column:
    texts = sheet.texts(name)
    counts = Counter(texts)
    nothing = {text for text in counts if len(text) < 5 and is_missing(text)}
    missing = tuple(row for row, text in enumerate(texts) if text in nothing) if nothing else ()
    for text in nothing:
        del counts[text]
    try:
        reading = TEXT if as_text else reading_of(counts, decimal)
        if reading is TEXT:
            long = next((text for text in counts if len(text) > LONGEST), None)
            if long is not None:
                sheet.refuse(name, texts.index(long), "a text is too long")
            return Column(name, texts, None, reading, missing)
        numbers = reading.numbers(counts.keys())
    except CellError as error:
        sheet.refuse(name, texts.index(error.cell), str(error))
    numbers |= dict.fromkeys(nothing, NAN)
    return Column(name, texts, tuple(map(numbers.__getitem__, texts)), reading, missing)
