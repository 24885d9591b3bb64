"""What a recipe takes of a CSV file: its target, its features, its rows. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from ..errors import printable, shown
from .csv_cells import SAY_WHICH
from .csv_file import Column, Sheet, read_sheet

if TYPE_CHECKING:
    from ...core.protocol.steps import TaskName

CATEGORIES: Final = 100
"""Different texts in one column."""
CLASSES: Final = 20
"""Different whole numbers in a target up to which they count as classes."""
NAMED: Final = 6
"""Columns that a note names."""
MISSING_WAYS: Final = (
    '--set dataset.missing=median fills such cells in, "drop" leaves their rows out'
)


class TableError(ValueError):
    """A table that can't be used; `option` is the one of the data set that is to blame."""

    def __init__(self, option: str, text: str) -> None:
        super().__init__(text)
        self.option = option


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The columns that are learned from and the one that is learned, of the rows that count."""

    target: Column
    features: tuple[Column, ...]
    notes: tuple[str, ...]
    """How they were read, in words; a line each."""


def table_columns(options: Mapping[str, Any]) -> TableColumns:
    """The columns of a table, read, and without the rows that `dataset.missing` leaves out.

    Args:
        options: those of the data set, checked.

    Raises:
        TableError: the file can't be used, or has no such columns; one line.
    """
    sheet, target = _sheet_and_target(options)
    names = [name for name in sheet.names if name != target and name not in options["ignore"]]
    if not names:
        raise TableError("ignore", "no column is left to learn from")
    texts, decimal, missing = (options[key] for key in ("categories", "decimal", "missing"))
    return _columns(sheet, target, tuple(names), tuple(texts), decimal, missing)


@lru_cache(maxsize=1)
def _columns(
    sheet: Sheet,
    target_name: str,
    names: tuple[str, ...],
    texts: tuple[str, ...],
    decimal: str,
    missing: str,
) -> TableColumns:
    target = _target(sheet, target_name, texts, decimal, missing)
    features = [_column(sheet, name, texts, decimal, _left_out(name)) for name in names]
    _no_doubt(sheet, [*features, target])
    features, target, gaps = _without_gaps(sheet, features, target, missing)
    if len(target.texts) < 3:
        rows = "rows without missing cells" if gaps else "rows below the header"
        text = f"{sheet.called}: expected at least 3 {rows}, not {len(target.texts)}"
        raise TableError("path", text)
    _varies(target)
    for column in features:
        if column.numbers is None:
            categories(column)
    notes = [*_readings(features, target), *gaps]
    if sheet.delimiter != ",":
        mark = "tabs" if sheet.delimiter == "\t" else shown(sheet.delimiter)
        notes.insert(0, f"columns are separated by {mark}")
    return TableColumns(target, tuple(features), tuple(notes))


def target_of(options: Mapping[str, Any]) -> Column:
    """The column to predict: `dataset.target`, or else the last.

    Raises:
        TableError: there is none of that name, or it never varies; or the file can't be used.
    """
    sheet, name = _sheet_and_target(options)
    return _target(
        sheet, name, options["categories"], str(options["decimal"]), str(options["missing"])
    )


def task_of(target: Column) -> tuple[TaskName, str]:
    """Classification for texts and for a few whole numbers; regression for other numbers.

    Besides, a line that asks where numbers may have been meant in the other way; or "".

    Raises:
        TableError: texts that are too many for classes.
    """
    different = len(target.different)
    if target.numbers is None:
        classes_of(target)
        return "classification", ""
    whole = all(number.is_integer() for number in target.known if isinstance(number, float))
    few = different <= CLASSES and different < len(target.known)
    asked = f"the target {shown(target.name)} has {different} different whole numbers, taken for"
    if target.reading.kind == "date" or not whole or different > CATEGORIES:
        return "regression", ""
    if few:
        other = "to learn an amount: --set dataset.task=regression"
        return "classification", f"{asked} classes; {other}"
    other = "to learn classes: --set dataset.task=classification"
    return "regression", f"{asked} an amount; {other}"


def categories(column: Column) -> tuple[str, ...]:
    """The different texts of a feature. Raises TableError where they are too many."""
    if len(column.different) > CATEGORIES:
        raise _too_many(column, "path", "categories: set dataset.ignore to leave it out")
    return column.different


def classes_of(target: Column) -> tuple[str, ...]:
    """The different values of a target. Raises TableError where they are too many."""
    if len(target.different) > CATEGORIES:
        texts = target.numbers is None
        other = "dataset.target to learn another column" if texts else "dataset.task to regression"
        raise _too_many(target, "target", f"classes: set {other}")
    return target.different


def _too_many(column: Column, option: str, text: str) -> TableError:
    kind = "texts" if column.numbers is None else "numbers"
    return TableError(
        option,
        f"the column {shown(column.name)} has {len(column.different):,} different {kind}; at "
        f"most {CATEGORIES} can be {text}",
    )


def _sheet_and_target(options: Mapping[str, Any]) -> tuple[Sheet, str]:
    """The file's cells, and the name of the column to predict."""
    try:
        sheet = read_sheet(str(options["path"]), str(options["data_dir"]))
    except ValueError as error:
        raise TableError("path", str(error)) from error
    for option in ("target", "ignore", "categories"):
        named = options[option]
        for name in filter(None, [named] if option == "target" else named):
            if name not in sheet.names:
                raise TableError(option, no_column(name, sheet.names))
    return sheet, str(options["target"]) or sheet.names[-1]


def _target(sheet: Sheet, name: str, texts: Sequence[str], decimal: str, missing: str) -> Column:
    target = _column(sheet, name, texts, decimal, "dataset.target takes another column")
    if target.missing and missing == "refuse":
        _refuse_missing(sheet, target, "--set dataset.missing=drop leaves such rows out")
    if len(target.texts) >= 3:
        _varies(target)
    return target


def _varies(target: Column) -> None:
    """Raise TableError if a target has but one value."""
    if len(target.different) < 2:
        text = f"the column {shown(target.name)} never varies, so there is no target"
        raise TableError("target", text)


def no_column(name: str, names: Iterable[str]) -> str:
    """That there is no such column, and some that there are."""
    some = ", ".join(printable(one, 40) for one in list(names)[:12])
    return f"no column is called {shown(name)}; there are {some}"


def _column(sheet: Sheet, name: str, texts: Sequence[str], decimal: str, without: str) -> Column:
    """A column, read; `without` says how to do without it."""
    try:
        return sheet.column(name, decimal, as_text=name in texts)
    except ValueError as error:
        as_text = f"--set 'dataset.categories=[{shown(name)}]' reads the column as texts, "
        ways = without if name in texts else as_text + without
        raise TableError("path", f"{error}; {ways}") from error


def _left_out(name: str) -> str:
    return f"--set 'dataset.ignore=[{shown(name)}]' leaves the column out"


def _no_doubt(sheet: Sheet, columns: Sequence[Column]) -> None:
    """Refuse "1.234" beside a column of decimal commas, where it may be one thousand and more."""
    if not any(column.reading.decimal == "," for column in columns):
        return
    for column in columns:
        cell = column.reading.doubtful
        if cell and column.reading.decimal == ".":
            row, why = column.texts.index(cell), "other columns have decimal commas"
            _refuse(sheet, column.name, row, f"{shown(cell)} is not clear, as {why}; {SAY_WHICH}")


def _without_gaps(
    sheet: Sheet, features: Sequence[Column], target: Column, missing: str
) -> tuple[list[Column], Column, list[str]]:
    """Columns without the rows that are left out, and what is to be said of missing cells."""
    gaps = [column for column in features if column.missing]
    if missing == "refuse" and gaps:
        first = min(gaps, key=lambda column: column.missing[0])
        _refuse_missing(sheet, first, f"{MISSING_WAYS}, {_left_out(first.name)}")
    total, notes = len(target.texts), []
    left_out = frozenset(target.missing)
    if left_out:
        notes.append(f"{len(left_out):,} of {total:,} rows have no target and are left out")
    if missing == "drop" and gaps:
        dropped = frozenset(row for column in gaps for row in column.missing) - left_out
        notes.append(f"{len(dropped):,} of {total:,} rows have missing cells and are left out")
        left_out |= dropped
    if missing == "median" and gaps:
        cells = sum(len(column.missing) for column in gaps)
        notes.append(
            f"{cells:,} missing cells of {_named(gaps)} are filled in: the median of the training "
            "rows, of texts the most frequent one"
        )
    return [column.without(left_out) for column in features], target.without(left_out), notes


def _refuse_missing(sheet: Sheet, column: Column, ways_out: str) -> None:
    _refuse(sheet, column.name, column.missing[0], f"a value is missing; {ways_out}")


def _refuse(sheet: Sheet, name: str, row: int, text: str) -> None:
    try:
        sheet.refuse(name, row, text)
    except ValueError as error:
        raise TableError("path", str(error)) from error


def _readings(features: Sequence[Column], target: Column) -> list[str]:
    """What was understood of columns that are no plain numbers; a line for each way."""
    alike: dict[str, list[Column]] = {}
    for column in (*features, target):
        said = column.reading.said
        if column.numbers is None and column is not target and len(column.different) > CLASSES:
            said = f"{len(column.different)} different texts, a feature for each"
        if said:
            alike.setdefault(said, []).append(column)
    return [f"{_named(found)} read as {said}" for said, found in alike.items()]


def _named(columns: Sequence[Column]) -> str:
    names = [printable(column.name, 40) for column in columns[:NAMED]]
    more = len(columns) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
