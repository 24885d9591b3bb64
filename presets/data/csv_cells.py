"""What the cells of a column say: numbers however they are written, dates, or texts.

The whole column decides. What most of it are, the rest has to be; what may be read in two ways
is refused, never guessed. Standard library only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from ..errors import shown

LARGEST: Final = 1e30
MISSING: Final = frozenset(
    ("", "?", "-", "--", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none")
)
"""What stands where a value is missing, in any case."""
LONGEST: Final = 60
"""Characters of a cell, unless it is a plain number."""

_PLAIN: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DOUBTFUL: Final = re.compile(r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+")
"""A number that is another one with a decimal comma."""
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
        rf"([1-9][0-9]{{0,2}}(?:([{other}{_SPACES}])[0-9]{{3}})(?:\2[0-9]{{3}})*(?:[{mark}][0-9]*)?)"
        rf"|(?:[0-9]+(?:[{mark}][0-9]*)?|[{mark}][0-9]+)(?:[eE][+-]?[0-9]+)?"
    )
    for mark, other in ((".", ","), (",", "."))
}
"""A number's digits by its decimal mark; the first group is one with thousands set apart."""
_DAY: Final = {
    "ymd": re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})(.*)"),
    "dmy": re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})(.*)"),
    "mdy": re.compile(r"([0-9]{1,2})([-/])([0-9]{1,2})\2([0-9]{4})(.*)"),
}
_TIME: Final = re.compile(
    r"[T ]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}(?:[.,][0-9]+)?))?"
    r" ?(?:(Z|UTC)|([+-])([0-9]{2}):?([0-9]{2}))?"
)
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
    order: str = ""
    """Of year, month and day: ymd, dmy or mdy."""
    doubtful: str = ""
    """A cell that would be another number with a decimal comma; "" where none would."""

    def number(self, cell: str) -> float:
        """The number that a cell says: an amount, or days since 1970-01-01.

        Raises:
            CellError: it says none, or one that is not finite or beyond `LARGEST`.
        """
        if self.kind == "date":
            days = _days(cell, self.order)
            if days is None:
                raise CellError(cell, f"is no date{_ORDERS[self.order]}, but others here are")
            return days
        number = _plain(cell) if self.decimal == "." and not self.unit else None
        if number is None:
            unit, body = _split(cell)
            number = _amount(body, self.decimal)
            if number is None:
                raise CellError(cell, f"is no number{self._mark}, but others here are")
            if unit != self.unit and math.isfinite(number):
                raise CellError(
                    cell, f"is {_measured(unit)}, but others here {_measured(self.unit)}"
                )
        if not math.isfinite(number) and _INFINITE.fullmatch(cell):
            raise CellError(cell, "is no finite number")
        if abs(number) > LARGEST:
            raise CellError(cell, f"is beyond {LARGEST:g}")
        return number

    @property
    def said(self) -> str:
        """What was understood, where that needs to be said; "" for plain numbers and texts."""
        if self.kind == "date":
            return f"dates{_ORDERS[self.order]}, as days since 1970-01-01"
        parts = [
            _measured(self.unit) if self.unit else "",
            'decimal ","' if self.decimal == "," else "",
            "thousands set apart" if self.grouped else "",
        ]
        found = [part for part in parts if part]
        return f"numbers ({', '.join(found)})" if found else ""

    @property
    def _mark(self) -> str:
        return ' with the decimal mark ","' if self.decimal == "," else ""


_ORDERS: Final = {"ymd": "", "dmy": " (day first)", "mdy": " (month first)"}
TEXT: Final = Reading("text")


def is_missing(cell: str) -> bool:
    """Whether a stripped cell stands for a missing value."""
    return len(cell) <= 4 and cell.lower() in MISSING


def reading_of(counts: Mapping[str, int], decimal: str = "auto") -> Reading:
    """How a column is read: as what most of its cells are. Others are found when they are read.

    Args:
        counts: its cells in order of appearance, without those that are missing, and how often
            each is there.
        decimal: the decimal mark of numbers, "." or ","; "auto" leaves it to the column.

    Raises:
        CellError: this cell may be read in two ways, and no other cell tells which.
    """
    if decimal != "," and all(map(_PLAIN.fullmatch, counts)):
        dotted = [cell for cell in counts if "." in cell]
        sure = decimal == "." or not all(map(_DOUBTFUL.fullmatch, dotted))
        return Reading(doubtful="" if sure else next(iter(dotted), ""))
    most = sum(counts.values()) / 2
    written = {cell: found for cell in counts if (found := _split(cell))[1]}
    if sum(counts[cell] for cell in written) > most:
        return _numbers(counts, written, (".", ",") if decimal == "auto" else (decimal,))
    dates = {order: [c for c in counts if _days(c, order) is not None] for order in _DAY}
    order = max(dates, key=lambda name: sum(counts[cell] for cell in dates[name]))
    if sum(counts[cell] for cell in dates[order]) > most:
        return _dates(dates, order)
    return TEXT


def _numbers(
    counts: Mapping[str, int], written: Mapping[str, tuple[str, str]], marks: tuple[str, ...]
) -> Reading:
    bodies = {cell: body for cell, (_, body) in written.items()}
    fitting = {
        mark: sum(_amount(body, mark) is not None for body in bodies.values()) for mark in marks
    }
    mark = max(marks, key=lambda name: fitting[name])  # the first of two that fit alike
    doubtful = ""
    if len(marks) == 2 and set(fitting.values()) == {len(bodies)}:
        for cell, body in bodies.items():
            point, comma = _amount(body, "."), _amount(body, ",")
            if point != comma:
                doubtful = doubtful or cell
                if "," in body:
                    raise CellError(cell, f"may be {comma:.12g} or {point:.12g}; {SAY_WHICH}")
    units: dict[str, int] = {}
    for cell, (unit, body) in written.items():
        if not _INFINITE.fullmatch(body):
            units[unit] = units.get(unit, 0) + counts[cell]
    unit = max(units, key=lambda name: units[name], default="")
    found = (_BODY[mark].fullmatch(body.lstrip("+-")) for body in bodies.values())
    grouped = any(match is not None and match[1] for match in found)
    return Reading("number", mark, unit, grouped, doubtful=doubtful)


def _dates(dates: Mapping[str, list[str]], order: str) -> Reading:
    if order != "ymd" and len(dates["dmy"]) == len(dates["mdy"]):
        for cell in dates["dmy"]:
            if _days(cell, "dmy") != _days(cell, "mdy"):
                raise CellError(cell, "may have its day or its month first; write year-month-day")
    return Reading("date", order=order)


def _plain(cell: str) -> float | None:
    return float(cell) if _PLAIN.fullmatch(cell) else None


def _split(cell: str) -> tuple[str, str]:
    """The unit of a number and its digits, with "-" before them if it is negative; "" and ""
    where it looks like none.
    """
    if len(cell) > LONGEST:
        return ("", cell) if _PLAIN.fullmatch(cell) else ("", "")
    if _INFINITE.fullmatch(cell):
        return "", cell
    found = _WRITTEN.fullmatch(cell)
    if found is None:
        return "", ""
    opened, sign, before, inner, body, behind, closed = found.groups()
    minus = [text for text in (opened, sign, inner) if text and text != "+"]
    body = body.strip()
    if bool(opened) != bool(closed) or (sign and inner) or (before and behind) or len(minus) > 1:
        return "", ""
    if not any(pattern.fullmatch(body) for pattern in _BODY.values()):
        return "", ""
    return before or behind or "", f"-{body}" if minus else body


def _amount(body: str, mark: str) -> float | None:
    """The number that such digits are with this decimal mark."""
    if not body:
        return None
    if _INFINITE.fullmatch(body):
        return -math.inf if body.startswith("-") else math.inf
    digits = body.lstrip("+-")
    if not _BODY[mark].fullmatch(digits):
        return None
    digits = "".join(c for c in digits if c in "0123456789eE+-" or c == mark)
    number = float(digits.replace(mark, "."))
    return -number if body.startswith("-") else number


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
