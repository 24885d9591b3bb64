"""What the cells of a column say: numbers however they are written, dates, or texts.

The whole column decides. What most of it are, the rest has to be; what may be read in two ways
is refused, never guessed. Standard library only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, NamedTuple

from ..errors import shown

LARGEST: Final = 1e30
MISSING: Final = frozenset(
    ("", "?", "-", "--", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none")
)
"""What stands where a value is missing, in any case."""
LONGEST: Final = 60
"""Characters of a cell, unless it is a plain number."""

_PLAIN: Final = {
    mark: re.compile(rf"[+-]?([0-9]+[{mark}]?[0-9]*|[{mark}][0-9]+)([eE][+-]?[0-9]+)?")
    for mark in ".,"
}
"""A number as programs write it, by its decimal mark."""
_GROUPS: Final = {
    mark: re.compile(rf"[+-]?[1-9][0-9]{{0,2}}([{mark}][0-9]{{3}})+") for mark in ".,"
}
"""One of these that is another number where its mark stands between thousands."""
_INFINITE: Final = re.compile(r"[+-]?(inf|infinity|∞)", re.IGNORECASE)
_UNIT: Final = r"%|‰|[$€£¥₹₽₺₩₪₫₴₦₱฿¢]|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD"
_SPACES: Final = "'’ \u00a0\u2009\u202f"
"""Between thousands, whatever the decimal mark is."""
_WRITTEN: Final = re.compile(
    rf"(\()?([+\-−]?)\s*({_UNIT})?\s*([+\-−]?)"
    rf"([.,]?[0-9][0-9.,{_SPACES}]*(?:[eE][+-]?[0-9]+)?)({_UNIT})?(\))?"
)
_BODY: Final = {
    mark: re.compile(
        rf"[1-9][0-9]{{0,2}}([{other}{_SPACES}])[0-9]{{3}}(?:\1[0-9]{{3}})*(?:[{mark}][0-9]*)?"
        rf"|(?:[0-9]+(?:[{mark}][0-9]*)?|[{mark}][0-9]+)(?:[eE][+-]?[0-9]+)?"
    )
    for mark, other in ((".", ","), (",", "."))
}
"""A number's digits by its decimal mark, with or without thousands set apart."""
_DAY: Final = {
    "ymd": re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})(.*)"),
    "dmy": re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})(.*)"),
    "mdy": re.compile(r"([0-9]{1,2})([-/])([0-9]{1,2})\2([0-9]{4})(.*)"),
}
_TIME: Final = re.compile(
    r"[T ]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}(?:[.,][0-9]+)?))?"
    r" ?(?:(Z|UTC)|([+-])([0-9]{2}):?([0-9]{2}))?"
)
READ_AS: Final = "but the column is read as"
SAY_WHICH: Final = 'set dataset.decimal to "." or "," to say which'
_EPOCH: Final = date(1970, 1, 1).toordinal()

Kind = Literal["number", "date", "text"]


class CellError(ValueError):
    """A cell that does not go with its column; the text goes on after the cell."""

    def __init__(self, cell: str, text: str) -> None:
        super().__init__(f"{shown(cell)} {text}")
        self.cell = cell


@dataclass(frozen=True, slots=True)
class Reading:
    """How the cells of one column are read."""

    kind: Kind = "number"
    decimal: str = "."
    """The decimal mark of numbers."""
    unit: str = ""
    """What each number has before or behind it: "$", "%"."""
    grouped: bool = False
    """Whether some numbers have their thousands set apart."""
    bracketed: bool = False
    """Whether some are in brackets, for a minus."""
    zeros: bool = False
    """Whether some begin with zeros, as ZIP codes do."""
    order: str = ""
    """Of year, month and day: ymd, dmy or mdy."""
    doubtful: str = ""
    """A cell that would be another number with a decimal comma; "" where none would."""

    def numbers(self, cells: Collection[str]) -> dict[str, float]:
        """The number that each of different cells says. Raises CellError as `number` does."""
        plain = self.kind == "number" and not self.unit
        if plain and all(map(_PLAIN[self.decimal].fullmatch, cells)):  # 2 million of them, maybe
            found = {cell: float(cell.replace(",", ".")) for cell in cells}
            if max(map(abs, found.values()), default=0) <= LARGEST:
                return found
        return {cell: self.number(cell) for cell in cells}

    def number(self, cell: str) -> float:
        """The number that a cell says: an amount, or days since 1970-01-01.

        Raises:
            CellError: it says none, or one that is not finite or beyond `LARGEST`.
        """
        if self.kind == "date":
            days = _days(cell, self.order)
            if days is None:
                raise CellError(cell, f"is no date{_ORDERS[self.order]}, {READ_AS} dates")
            return days
        amount = _amount(cell)
        number = None if amount is None else amount.by_mark[self.decimal]
        if amount is None or number is None:
            told = self.decimal == "," or amount is not None
            mark = f' with the decimal mark "{self.decimal}"' if told else ""
            raise CellError(cell, f"is no number{mark}, {READ_AS} numbers")
        if _INFINITE.fullmatch(amount.digits):
            raise CellError(cell, "is no finite number")
        if amount.unit != self.unit:
            here = _measured(self.unit)
            raise CellError(cell, f"is {_measured(amount.unit)}, {READ_AS} numbers {here}")
        if abs(number) > LARGEST:
            raise CellError(cell, f"is beyond {LARGEST:g}")
        return number

    def check(self) -> None:
        """Raise ValueError where there is no such way to read, as a damaged file may say."""
        known = self.decimal in _BODY and (self.kind == "number" or self.order in _DAY)
        if not known or not isinstance(self.unit, str):
            raise ValueError("there is no such way to read a cell")

    @property
    def said(self) -> str:
        """What was understood, where that needs to be said; "" for plain numbers and texts."""
        if self.kind == "date":
            return f"dates{_ORDERS[self.order]}, as days since 1970-01-01"
        parts = [
            _measured(self.unit) if self.unit else "",
            'decimal ","' if self.decimal == "," else "",
            "thousands set apart" if self.grouped else "",
            "brackets for a minus" if self.bracketed else "",
            "leading zeros dropped: dataset.categories keeps them" if self.zeros else "",
        ]
        found = [part for part in parts if part]
        return f"numbers ({', '.join(found)})" if found else ""


_ORDERS: Final = {"ymd": "", "dmy": " (day first)", "mdy": " (month first)"}
TEXT: Final = Reading("text")


def is_missing(cell: str) -> bool:
    """Whether a stripped cell stands for a missing value."""
    return cell.lower() in MISSING


def reading_of(counts: Mapping[str, int], decimal: str = "auto") -> Reading:
    """How a column is read: as what most of its cells are. Others are found when they are read.

    Args:
        counts: its cells in order of appearance, without those that are missing, and how often
            each is there.
        decimal: the decimal mark of numbers, "." or ","; "auto" leaves it to the column.

    Raises:
        CellError: this cell may be read in two ways, and no other cell tells which.
    """
    marks = (".", ",") if decimal == "auto" else (decimal,)
    for mark in marks:
        if all(map(_PLAIN[mark].fullmatch, counts)):
            marked = [cell for cell in counts if mark in cell]
            if len(marks) == 1 or not all(map(_GROUPS[mark].fullmatch, marked)):
                return Reading(decimal=mark, zeros=_zeros(counts))
            if mark == "." or not marked:
                doubtful = marked[0] if marked else ""
                return Reading(doubtful=doubtful, zeros=_zeros(counts))
    most = sum(counts.values()) / 2
    amounts = {cell: found for cell in counts if (found := _amount(cell)) is not None}
    if sum(counts[cell] for cell in amounts) > most:
        return _numbers(counts, amounts, marks)
    dates = {order: [c for c in counts if _days(c, order) is not None] for order in _DAY}
    order = max(dates, key=lambda name: sum(counts[cell] for cell in dates[name]))
    if sum(counts[cell] for cell in dates[order]) > most:
        return _dates(dates, order)
    return TEXT


def _numbers(
    counts: Mapping[str, int], amounts: Mapping[str, Amount], marks: Sequence[str]
) -> Reading:
    fitting = {
        mark: sum(amount.by_mark[mark] is not None for amount in amounts.values()) for mark in marks
    }
    mark = max(marks, key=lambda name: fitting[name])  # the first of two that fit alike
    doubtful = ""
    if len(marks) == 2 and set(fitting.values()) == {len(amounts)}:
        for cell, amount in amounts.items():
            point, comma = amount.by_mark["."], amount.by_mark[","]
            if point != comma:
                doubtful = doubtful or cell
                if "," in amount.digits:
                    raise CellError(cell, f"may be {comma:.12g} or {point:.12g}; {SAY_WHICH}")
    finite = {c: a for c, a in amounts.items() if not _INFINITE.fullmatch(a.digits)}
    units: dict[str, int] = {}
    for cell, amount in finite.items():
        units[amount.unit] = units.get(amount.unit, 0) + counts[cell]
    unit = max(units, key=lambda name: units[name], default="")
    between = set(f".,{_SPACES}") - {mark}
    grouped = any(between & set(amount.digits) for amount in finite.values())
    bracketed, zeros = any(cell[0] == "(" for cell in amounts), _zeros(counts)
    return Reading("number", mark, unit, grouped, bracketed, zeros, doubtful=doubtful)


def _zeros(cells: Iterable[str]) -> bool:
    return any(cell[0] == "0" and cell[1:2].isdigit() for cell in cells)


def _dates(dates: Mapping[str, list[str]], order: str) -> Reading:
    if order != "ymd" and len(dates["dmy"]) == len(dates["mdy"]):
        for cell in dates["dmy"]:
            if _days(cell, "dmy") != _days(cell, "mdy"):
                raise CellError(cell, "may have its day or its month first; write year-month-day")
    return Reading("date", order=order)


class Amount(NamedTuple):
    """A cell that looks like a number."""

    unit: str
    digits: str
    """Without sign and unit."""
    by_mark: Mapping[str, float | None]
    """The number that it is, by the decimal mark; None where it is none."""


def _amount(cell: str) -> Amount | None:
    """The number that a cell looks like; None where it looks like none."""
    if _INFINITE.fullmatch(cell):
        return Amount("", cell, dict.fromkeys(".,", math.inf))
    if len(cell) > LONGEST:
        return (
            Amount("", cell, {".": float(cell), ",": None}) if _PLAIN["."].fullmatch(cell) else None
        )
    found = _WRITTEN.fullmatch(cell)
    if found is None:
        return None
    opened, sign, before, inner, digits, behind, closed = found.groups()
    signs = [text for text in (opened, sign, inner) if text]
    if bool(opened) != bool(closed) or (before and behind) or len(signs) > 1:
        return None
    digits = digits.strip()
    by_mark = {mark: _number(digits, mark) for mark in ".,"}
    if signs and signs != ["+"]:
        by_mark = {mark: None if n is None else -n for mark, n in by_mark.items()}
    fits = any(number is not None for number in by_mark.values())
    return Amount(before or behind or "", digits, by_mark) if fits else None


def _number(digits: str, mark: str) -> float | None:
    """The number that digits are with this decimal mark."""
    if not _BODY[mark].fullmatch(digits):
        return None
    return float("".join(c for c in digits if c.isalnum() or c in f"+-{mark}").replace(mark, "."))


def _measured(unit: str) -> str:
    return f"in {unit}" if unit else "without a unit"


def _days(cell: str, order: str) -> float | None:
    """Days since 1970-01-01 at midnight UTC; None where it is no such date."""
    found = _DAY[order].fullmatch(cell) if len(cell) <= LONGEST else None
    if found is None:
        return None
    parts = dict(zip(order, (found[1], found[3], found[4]), strict=True))
    try:
        days = date(*(int(parts[name]) for name in "ymd")).toordinal() - _EPOCH
    except ValueError:
        return None
    if not found[5]:
        return float(days)
    time = _TIME.fullmatch(found[5])
    if time is None or int(time[1]) > 24 or int(time[2]) > 59:
        return None
    seconds = int(time[1]) * 3600 + int(time[2]) * 60 + float((time[3] or "0").replace(",", "."))
    if time[5]:
        ahead = int(time[6]) * 3600 + int(time[7]) * 60
        seconds -= ahead if time[5] == "+" else -ahead
    return days + seconds / 86400
