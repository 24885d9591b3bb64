"""How cells of a table are read: the whole column decides, and what was understood is said."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fivestep.presets.build import load_data
from fivestep.presets.data.csv_table import TableColumns, table_columns
from fivestep.presets.recipe import Recipe, RecipeError, load

Own = Callable[..., Recipe]
Cells = Mapping[str, Sequence[object]]


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """Write a table with these columns and a target of numbers, and give its recipe."""

    def own(columns: Cells | str, delimiter: str = ",", **options: Any) -> Recipe:
        file = tmp_path / "mine.csv"
        if isinstance(columns, str):
            file.write_text(columns, encoding="utf-8")
        else:
            length = len(next(iter(columns.values())))
            with file.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.writer(stream, delimiter=delimiter)
                writer.writerow([*columns, "y"])
                rows = zip(*columns.values(), range(1, length + 1), strict=True)
                writer.writerows([*row, f"{y}5"] for *row, y in rows)
        keys = {"dataset.path": str(file), "dataset.task": "regression"}
        keys |= {f"dataset.{key}": value for key, value in options.items()}
        return load("iris-mlp", {"dataset.name": "csv"} | keys)

    return own


def read(recipe: Recipe) -> TableColumns:
    return table_columns(recipe.dataset.options)


def refusal(recipe: Recipe) -> str:
    with pytest.raises(RecipeError) as caught:
        load_data(recipe)
    text = str(caught.value)
    assert text.isprintable(), "one line"
    return text


@pytest.mark.parametrize(
    ("cells", "numbers", "said"),
    [
        (["$1,000.50", "-$2", "$3.5"], [1000.5, -2, 3.5], "numbers (in $, thousands set apart)"),
        (
            ["($1,000)", "$12.5", "+$1"],
            [-1000, 12.5, 1],
            "numbers (in $, thousands set apart, brackets for a minus)",
        ),
        (["5 %", "12.5%", "-1%"], [5, 12.5, -1], "numbers (in %)"),
        (["1.000,50 €", "2 €", "0,5€"], [1000.5, 2, 0.5], None),
        (["EUR 1.5", "EUR 2", "EUR 3"], [1.5, 2, 3], "numbers (in EUR)"),
        (["1234,56", "7", "-,5"], [1234.56, 7, -0.5], 'numbers (decimal ",")'),
        (["0,123", "1,234", "2,345"], [0.123, 1.234, 2.345], 'numbers (decimal ",")'),
        (["1,234,567", "1,234", "9"], [1234567, 1234, 9], "numbers (thousands set apart)"),
        (["1'000.5", "20 000", "3"], [1000.5, 20000, 3], "numbers (thousands set apart)"),
        (["1\u00a0000,5", "2", "3"], [1000.5, 2, 3], None),
        (["\u22125", "1e3", ".5"], [-5, 1000, 0.5], ""),
        (["1.234", "2.345", "3.456"], [1.234, 2.345, 3.456], ""),
        (["(5)", "6", "(7.5)"], [-5, 6, -7.5], "numbers (brackets for a minus)"),
        (["01234", "90210", "00501"], [1234, 90210, 501], "numbers (leading zeros dropped: "),
        (["0", "0.5", "-0.5"], [0, 0.5, -0.5], ""),
        (["1970-01-02", "1971-01-01", "1969-12-31"], [1, 365, -1], "dates, as days since"),
        (
            ["1970-01-01T12:00", "1970-01-02 06:00:00Z", "1970-01-01 01:00+01:00"],
            [0.5, 1.25, 0],
            None,
        ),
        (["02.01.1970", "1.1.1970", "31.12.1969"], [1, 0, -1], "dates (day first), as days since"),
        (["1/2/1970", "1/31/1970", "12/31/1969"], [1, 30, -1], "dates (month first), as days"),
        (["31/12/1969", "2/1/1970", "1/1/1970"], [-1, 1, 0], "dates (day first), as days since"),
        (["12A", "B", "7"], None, ""),
        (["1.2.3", "192.168.0.1", "2024-13-01"], None, ""),
    ],
)
def test_what_a_column_says(
    own: Own, cells: list[str], numbers: list[float] | None, said: str | None
) -> None:
    recipe = own({"x": cells})
    found = read(recipe)
    column = found.features[0]
    assert column.numbers == (None if numbers is None else pytest.approx(numbers))
    if said == "":
        assert found.notes == ()
    else:
        assert found.notes[0].startswith(f"x read as {said or ''}")
    assert recipe.notes == found.notes
    assert "".join(f"# {note}\n" for note in found.notes) in recipe.to_toml()


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (["1", "inf", "3"], 'row 3, column "x": "inf" is no finite number'),
        (["1", "2", "-Infinity", "3"], 'row 4, column "x": "-Infinity" is no finite number'),
        (
            ["1", "2", "abc"],
            'row 4, column "x": "abc" is no number, but the column is read as numbers',
        ),
        (["1,5", "2,5", "2.5"], '"2.5" is no number with the decimal mark ",", but the column'),
        (["1,234", "5,678", "9"], '"1,234" may be 1.234 or 1234; set dataset.decimal'),
        (["$1", "$2", "€3"], '"€3" is in €, but the column is read as numbers in $'),
        (["5%", "6%", "0.07"], '"0.07" is without a unit, but the column is read as numbers in %'),
        (["1", "2", "1e40"], 'row 4, column "x": "1e40" is beyond 1e+30'),
        (
            ["2024-01-01", "2024-02-30", "2024-03-01"],
            '"2024-02-30" is no date, but the column is read as dates',
        ),
        (["1/2/2024", "2/3/2024", "3/4/2024"], '"1/2/2024" may have its day or its month first'),
        (["1", "NA", "3"], 'row 3, column "x": a value is missing; --set dataset.missing=median'),
        (["1", "-", "3"], 'row 3, column "x": a value is missing'),
        (["a", "#N/A", "b"], 'row 3, column "x": a value is missing'),
    ],
)
def test_the_cell_that_does_not_go_with_its_column_is_named(
    own: Own, cells: list[str], says: str
) -> None:
    columns = {"x": cells, "z": range(len(cells))}
    text = refusal(own(columns))
    assert says in text
    assert "--set 'dataset.ignore=[\"x\"]' leaves the column out" in text
    load_data(own(columns, ignore=["x"]))
    if "missing" not in says:
        load_data(own(columns, categories=["x"]))


def test_the_decimal_mark_can_be_said(own: Own) -> None:
    cells = {"x": ["1,234", "5,678", "9"]}
    assert read(own(cells, decimal=".")).features[0].numbers == (1234, 5678, 9)
    assert read(own(cells, decimal=",")).features[0].numbers == (1.234, 5.678, 9)
    assert "decimal mark" in refusal(own({"x": ["1.5", "2", "3"]}, decimal=","))


def test_points_are_not_clear_beside_decimal_commas(own: Own) -> None:
    columns = {"x": ["1.234", "5.678", "2.000"], "z": ["1,5", "2", "3"]}
    text = refusal(own(columns, ";"))
    assert '"1.234" is not clear, as other columns have decimal commas' in text
    assert read(own(columns, ";", decimal=",")).features[0].numbers == (1234, 5678, 2000)
    columns["x"][0] = "1.23"
    assert read(own(columns, ";")).features[0].numbers == (1.23, 5.678, 2)


@pytest.mark.parametrize(("delimiter", "said"), [(";", '";"'), ("\t", "tabs"), ("|", '"|"')])
def test_the_delimiter_is_told_from_the_rows(own: Own, delimiter: str, said: str) -> None:
    cells = {"price, net": ["1,5", "2,5", "3,5"], "size, m2": ["1", "2", "3"]}
    found = read(own(cells, delimiter))
    assert [column.name for column in found.features] == ["price, net", "size, m2"]
    assert found.notes[0] == f"columns are separated by {said}"


def test_ignored_is_ignored_whatever_stands_there(own: Own) -> None:
    cells = {"x": [1, 2, 3, 4], "junk": ["", "inf", "long " * 30, "7"]}
    assert [column.name for column in read(own(cells, ignore=["junk"])).features] == ["x"]


def test_many_texts_are_said(own: Own) -> None:
    found = read(own({"x": [f"Jan {i}" for i in range(30)]}))
    assert found.notes == ("x read as 30 different texts, a feature for each",)


TEXTS = "x,y\n" + "\n".join(f"{i},n{i}" for i in range(101))


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        (TEXTS, {"task": "auto"}, "set dataset.target to learn another column"),
        ("x,y\n1,a\n2,b\n3,\n", {"task": "auto"}, "missing=drop leaves such rows out"),
        ("x,y\n1,1\n2,inf\n3,3\n", {}, "dataset.target takes another column"),
        (
            "x,y\n" + "\n".join(f"{i},{i}" for i in range(101)),
            {"task": "classification"},
            "101 different numbers; at most 100 can be classes: set dataset.task to regression",
        ),
        ("x,y\n1,1\n2,2\n3,3\n", {"categories": ["z"]}, 'no column is called "z"; there are x, y'),
    ],
)
def test_what_is_advised_about_a_target_can_be_followed(
    own: Own, text: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load_data(own(text, **options))
    assert says in str(caught.value)
    assert "ignore" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "task", "asks"),
    [
        (["1", "2"], "classification", "2 different whole numbers, taken for classes; to learn an"),
        ([str(i) for i in range(30)], "regression", "taken for an amount; to learn classes: --set"),
        (["1,5", "2"], "regression", ""),
        (["red", "blue"], "classification", ""),
        ([str(i) for i in range(200)], "regression", ""),
        ([f"{i},5" for i in range(80)], "regression", ""),
    ],
)
def test_what_a_target_of_numbers_was_taken_for_is_asked(
    own: Own, values: list[str], task: str, asks: str
) -> None:
    rows = [f"{i};{values[i % len(values)]}" for i in range(240)]
    recipe = own("x;y\n" + "\n".join(rows), task="auto")
    assert recipe.task == task
    if not asks:
        assert not any("taken for" in note for note in recipe.notes)
        return
    assert asks in recipe.notes[0]
    way = recipe.notes[0].rpartition("=")[2]
    other = own("x;y\n" + "\n".join(rows), task=way)
    assert other.task == way
    assert not any("taken for" in note for note in other.notes), "it was said"


GAPS = "x,kind,y\n" + "\n".join(
    f"{'' if i % 5 == 2 else i},{'?' if i % 7 == 3 else 'aab'[i % 3]},{i}.5" for i in range(50)
)


def test_missing_values_are_filled_in_from_the_training_rows_alone(own: Own) -> None:
    recipe = own(GAPS, missing="median")
    data = load_data(recipe)
    (note,) = recipe.notes
    assert note.startswith("17 missing cells of x, kind are filled in: the median of the training")
    assert data.table is not None
    number, kind = data.table.features
    order = data.labels.double() * data.table.scaling.spread + data.table.scaling.mean  # type: ignore[union-attr]
    trained = [round(value - 0.5) for value in order.flatten().tolist()]
    known = sorted(row for row in trained if row % 5 != 2)
    middle = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
    assert (number.fill, kind.fill) == (middle, "a")
    changed = [row for row in range(50) if row not in trained and row % 5 != 2]
    rows = list(csv.reader(io.StringIO(GAPS)))
    for row in changed:
        rows[row + 1][0] = "9999"
    other = load_data(own("\n".join(",".join(row) for row in rows), missing="median"))
    assert (other.features == data.features).all(), "nothing is learned from the others"


def test_rows_with_missing_values_can_be_left_out(own: Own) -> None:
    recipe = own(GAPS, missing="drop")
    found = read(recipe)
    assert recipe.notes == ("16 of 50 rows have missing cells and are left out",)
    assert len(found.target.texts) == 34
    assert all(not column.missing for column in found.features)
    data = load_data(recipe)
    parts = (data.features, data.val_features, data.test_features)
    assert sum(len(part) for part in parts) == 34


@pytest.mark.parametrize("missing", ["median", "drop"])
def test_rows_without_a_target_are_left_out(own: Own, missing: str) -> None:
    text = "x,y\n" + "\n".join(f"{i},{'NA' if i % 4 == 0 else i / 2}" for i in range(40))
    recipe = own(text, missing=missing)
    assert recipe.notes == ("10 of 40 rows have no target and are left out",)
    assert load_data(recipe).labels.isfinite().all()


def test_rows_that_are_left_may_all_be_of_one_class(own: Own) -> None:
    text = "x,y\n" + "\n".join(f"{i if i % 2 else ''},{'ab'[i % 2]}" for i in range(9))
    recipe = own(text, missing="drop", task="classification")
    assert 'the column "y" never varies' in refusal(recipe)


def test_what_can_not_be_filled_in_is_refused(own: Own) -> None:
    text = "x,z,y\n" + "\n".join(f"{i},,{i}.5" for i in range(9))
    assert 'the column "z" has no value in the training rows' in refusal(
        own(text, missing="median")
    )
    assert "at least 3 rows without missing cells, not 0" in refusal(own(text, missing="drop"))
