"""`Table`: how rows of a table become features, and a model's outputs what they stand for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ..errors import printable, shown
from .csv_cells import CellError, Reading, is_missing
from .csv_file import Column, Sheet
from .scaling import Scaling


@dataclass(frozen=True, slots=True)
class NumberFeature:
    """A column of numbers, scaled: one feature."""

    name: str
    scaling: Scaling
    """Of one column."""
    reading: Reading = field(default_factory=Reading)
    fill: float | None = None
    """What stands for a missing value; None where none may be missing."""

    def read(self, cell: str) -> float:
        """The number in a cell. Raises CellError if there is none."""
        return self.reading.number(cell)

    def encode(self, values: Sequence[float]) -> Tensor:
        """Numbers, NaN where one is missing, as features (N, 1)."""
        return self.scaling.apply(_filled(values, self.fill))

    @property
    def names(self) -> list[str]:
        return [printable(self.name, 40)]

    def facts(self) -> dict[str, Any]:
        reading, scaling = asdict(self.reading), self.scaling.facts()
        return {"name": self.name, "reading": reading, "scaling": scaling, "fill": self.fill}


@dataclass(frozen=True, slots=True)
class CategoryFeature:
    """A column of texts: a feature for each, 1 where it stands and 0 elsewhere."""

    name: str
    texts: tuple[str, ...]
    fill: str | None = None
    """What stands for a missing text; None where none may be missing."""

    def read(self, cell: str) -> str:
        """The text in a cell. Raises CellError if it was not among those that were trained on."""
        if cell not in self.texts:
            some = ", ".join(shown(text) for text in self.texts[:9])
            raise CellError(cell, f"is none of the {len(self.texts)} texts known here: {some}")
        return cell

    def encode(self, values: Sequence[str]) -> Tensor:
        """Texts, "" where one is missing, as features (N, K)."""
        place = {text: i for i, text in enumerate(self.texts)}
        fill = self.texts[0] if self.fill is None else self.fill
        places = torch.tensor([place.get(text, place[fill]) for text in values])  # (N,)
        return torch.nn.functional.one_hot(places, len(self.texts)).float()  # (N, K)

    @property
    def names(self) -> list[str]:
        return [f"{printable(self.name, 40)}={printable(text, 40)}" for text in self.texts]

    def facts(self) -> dict[str, Any]:
        return {"name": self.name, "texts": list(self.texts), "fill": self.fill}


Feature = NumberFeature | CategoryFeature


@dataclass(frozen=True, slots=True)
class Table:
    """The columns that a model was trained on, and what its outputs stand for."""

    features: tuple[Feature, ...]
    target: str
    classes: tuple[str, ...] = ()
    """What each output stands for; empty for a regression."""
    scaling: Scaling | None = None
    """Of the values to predict, for a regression."""
    drops: bool = False
    """Whether rows with missing values were left out, rather than filled in or refused."""

    @property
    def width(self) -> int:
        """How many features a row has."""
        return sum(len(one.names) for one in self.features)

    def facts(self) -> dict[str, Any]:
        """All of it in plain values, which `of` takes."""
        return {
            "features": [one.facts() for one in self.features],
            "target": self.target,
            "classes": list(self.classes),
            "scaling": None if self.scaling is None else self.scaling.facts(),
            "drops": self.drops,
        }

    @classmethod
    def of(cls, facts: Any) -> Table:
        """What gave these facts. Raises ValueError where they are no table's."""
        try:
            scaling = facts["scaling"]
            table = cls(
                tuple(_feature(one) for one in facts["features"]),
                str(facts["target"]),
                tuple(map(str, facts["classes"])),
                None if scaling is None else Scaling.of_facts(scaling),
                bool(facts["drops"]),
            )
            if not table.features or bool(table.classes) == (table.scaling is not None):
                raise TypeError("neither classes nor values")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("it does not say how its table was read") from error
        return table

    def encode(self, sheet: Sheet) -> tuple[Tensor, frozenset[int]]:
        """The rows of a sheet as features (N, D); its columns are found by name.

        Besides, the rows that have missing values where those were left out in training: what
        stands for them is not to be used.

        Raises:
            ValueError: a column is not there, or a cell can't be read as in training; one line.
        """
        absent = [one.name for one in self.features if one.name not in sheet.names]
        if absent:
            some = ", ".join(shown(name) for name in absent[:6])
            there = ", ".join(printable(name, 40) for name in sheet.names[:12])
            raise ValueError(f"{sheet.called}: no column is called {some}; there are {there}")
        left_out: set[int] = set()
        parts = [one.encode(self._values(one, sheet, left_out)) for one in self.features]
        return torch.cat(parts, 1), frozenset(left_out)

    def _values(self, feature: Feature, sheet: Sheet, left_out: set[int]) -> list[Any]:
        """The values of a feature's column, with a stand-in where one is missing."""
        nothing = math.nan if isinstance(feature, NumberFeature) else ""
        values: list[Any] = []
        for row, cell in enumerate(sheet.texts(feature.name)):
            if is_missing(cell):
                if feature.fill is None and not self.drops:
                    text = "a value is missing, and the run was trained without missing values"
                    sheet.refuse(feature.name, row, text)
                left_out |= {row} if feature.fill is None else set()
                values.append(nothing)
                continue
            try:
                values.append(feature.read(cell))
            except CellError as error:
                sheet.refuse(feature.name, row, str(error))
        return values


def _feature(facts: Any) -> Feature:
    name, fill = str(facts["name"]), facts["fill"]
    if "texts" in facts:
        texts = tuple(map(str, facts["texts"]))
        return CategoryFeature(name, texts, None if fill is None else texts[texts.index(fill)])
    scaling, reading = Scaling.of_facts(facts["scaling"]), Reading(**facts["reading"])
    reading.check()
    return NumberFeature(name, scaling, reading, None if fill is None else float(fill))


def number_features(names: Sequence[str], scalings: Sequence[Scaling]) -> tuple[Feature, ...]:
    """Columns of plain numbers."""
    return tuple(NumberFeature(n, s) for n, s in zip(names, scalings, strict=True))


def feature_of(column: Column, train: Sequence[int], *, fills: bool) -> Feature:
    """How a column becomes features, told by the training rows alone but for its texts.

    Args:
        column: of all rows.
        train: the numbers of the training rows.
        fills: missing values are filled in.

    Raises:
        ValueError: no training row has a value to fill in with.
    """
    missing = frozenset(column.missing)
    known = [row for row in train if row not in missing]
    if fills and not known:
        raise ValueError(
            f"the column {shown(column.name)} has no value in the training rows: dataset.ignore "
            "leaves it out"
        )
    if column.numbers is None:
        often = Counter(column.texts[row] for row in known).most_common()
        first = min(text for text, count in often if count == often[0][1]) if fills else None
        return CategoryFeature(column.name, column.different, first)
    middle = median(column.numbers[row] for row in known) if fills else None
    values = _filled(column.numbers, middle)  # (N, 1)
    return NumberFeature(column.name, Scaling.of(values[list(train)]), column.reading, middle)


def encode_column(feature: Feature, column: Column) -> Tensor:
    """A column as features (N, D)."""
    if isinstance(feature, NumberFeature):
        assert column.numbers is not None
        return feature.encode(column.numbers)
    return feature.encode(column.texts)


def _filled(values: Sequence[float], fill: float | None) -> Tensor:
    numbers = torch.tensor(values, dtype=torch.float64).view(-1, 1)  # (N, 1)
    return numbers if fill is None else numbers.nan_to_num(nan=fill)
