"""A table of one's own: what is read from a CSV file, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fivestep.presets.build import build
from fivestep.presets.data import csv_file
from fivestep.presets.data.csv_dataset import csv
from fivestep.presets.data.dataset import Dataset
from fivestep.presets.recipe import RecipeError, load

Table = Callable[[str | bytes], str]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write a CSV file and give its path."""

    def table(text: str | bytes) -> str:
        file = tmp_path / "mine.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(file)

    return table


def own(path: str, task: str = "classification", **changes: Any) -> Dataset:
    options: dict[str, Any] = {"target": "", "ignore": (), "categories": (), "data_dir": ""}
    options |= {"decimal": "auto", "missing": "refuse", "validation": 0.2, "test": 0.2}
    return csv(path=path, task=task, seed=0, **options | changes)


def refusal(path: str, **changes: Any) -> str:
    """The line that answers, when the recipe is loaded or built."""
    keys = {f"dataset.{key}": value for key, value in changes.items()}
    with pytest.raises(RecipeError) as caught:
        build(load("iris-mlp", {"dataset.name": "csv", "dataset.path": path, **keys}))
    text = str(caught.value)
    assert text.isprintable(), "one line, nothing that a terminal obeys"
    assert len(text) < 1000
    return text


ROWS = [(i, "ab"[i % 2], i * 2.5) for i in range(50)]
PRICES = "size,kind,price\n" + "\n".join(f"{a},{b},{c}" for a, b, c in ROWS)


def test_numbers_are_standardised_and_categories_become_columns(table: Table) -> None:
    data = own(table(PRICES), "regression")
    assert data.feature_names == ("size", "kind=a", "kind=b")
    assert data.features.shape == (30, 3)
    assert data.val_features.shape == data.test_features.shape == (10, 3)
    assert data.about == "30 rows, 3 features, regression of price"
    for part in (data.features[:, :1], data.labels):
        assert part.mean().abs() < 1e-6
        assert part.std(correction=0) == pytest.approx(1)
    assert torch.equal(data.features[:, 1:].sum(1), torch.ones(30))
    assert torch.allclose(data.labels, data.features[:, :1], atol=1e-5), "the price is the size"


def test_nothing_is_learned_from_rows_to_validate_and_to_test_on(table: Table) -> None:
    plain = own(table(PRICES), "regression")
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    changed = [*ROWS]
    for i in order[30:].tolist():
        changed[i] = (i * 1000, *ROWS[i][1:])
    text = "size,kind,price\n" + "\n".join(f"{a},{b},{c}" for a, b, c in changed)
    other = own(table(text), "regression")
    assert torch.equal(plain.features, other.features)
    assert not torch.equal(plain.test_features, other.test_features)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["red", "blue"], "classification"),
        (["0", "1"], "classification"),
        (["1.0", "2", "3"], "classification"),
        (["1", "2.5"], "regression"),
        ([str(i) for i in range(21)], "regression"),
        ([str(i) for i in range(20)], "classification"),
    ],
)
def test_the_target_decides_the_task(table: Table, values: list[str], task: str) -> None:
    rows = "\n".join(f"{i},{values[i % len(values)]}" for i in range(60))
    path = table(f"x,y\n{rows}")
    changes = {"dataset.name": "csv", "dataset.path": path}
    recipe = load("digits-mlp", changes)
    assert recipe.task == task
    assert recipe.table["dataset"]["task"] == task, "and the resolved recipe says it"
    training = build(recipe)
    assert training.task.name == task
    assert (f"{len(values)} classes of y" in training.about.data) == (task == "classification")
    features, labels = next(iter(training.batches))
    assert training.criterion(training.model(features), labels).isfinite()


def test_the_task_can_be_said(table: Table) -> None:
    path = table("x,y\n" + "\n".join(f"{i},{i % 3}" for i in range(30)))
    changes = {"dataset.name": "csv", "dataset.path": path, "dataset.task": "regression"}
    assert build(load("digits-mlp", changes)).task.name == "regression"


def test_classes_are_numbered_in_order(table: Table) -> None:
    data = own(table("x,y\n" + "\n".join(f"{i},{[10, 9, 2][i % 3]}" for i in range(30))))
    assert data.label_names == ("2", "9", "10")
    place = {0: 2, 1: 1, 2: 0}
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))[:18]
    assert data.labels.tolist() == [place[i % 3] for i in order.tolist()]


def test_target_and_columns_can_be_chosen(table: Table) -> None:
    path = table("id;a;b;c\n" + "\n".join(f"n{i};{i % 2};{i};{i * i}" for i in range(200)))
    data = own(path, target="a", ignore=("id",))
    assert data.feature_names == ("b", "c")
    assert data.label_names == ("0", "1")


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    rows = "\r\n".join(f'" a, b "\t{i}\t{i % 2}' for i in range(9))
    text = f'\ufeffname\t"quoted\tname"\ty\r\n\r\n{rows}'
    (tmp_path / "mine.csv").write_bytes(text.encode())
    data = own("mine.csv", data_dir=str(tmp_path))
    assert data.feature_names == ("name=a, b", "quoted?name")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected a header that names two columns or more"),
        ("a\n1\n2\n3", "expected a header that names two columns or more"),
        ("a,,b\n1,2,3", "expected a header"),
        ("a,a\n1,2", 'two columns are called "a"'),
        ("a,b\n1,2\n3,4", "expected at least 3 rows below the header, not 2"),
        ("a,b\n1,2\n\n1,2,3", '"mine.csv": row 4: expected 2 values, not 3'),
        ("a,b\n1,2\n,4", '"mine.csv": row 3, column "a": a value is missing'),
        ("a,b\n1,2\n3, NaN ", 'row 3, column "b": a value is missing'),
        ("a,b\n1,2\n?,3", 'row 3, column "a": a value is missing'),
        ("a,b\n1,2\n2,2\n3,2", 'the column "b" never varies'),
        ("a,b\n1,2\n2,1e999\n3,4", 'row 3, column "b": "1e999" is beyond 1e+30'),
        (f"a,b\n1,x\n2,{'x' * 61}\n3,y", 'row 3, column "b": a text is too long'),
        ('a,b\n1,2\n"2', 'row 3: a quote (") is opened here, and not closed'),
        ('a,b\n1,2\n3,"4\n5,6\n7,8\n', 'row 3: a quote (") is opened here, and not closed'),
        ('a,b\n1,2\n3,"4\n5,"6"\n7,8\n', 'row 3: a quote (") is opened here, and not closed'),
        (b"\xff\xfe\x00", "expected a text file in UTF-8"),
        ("a,b\n1,2\n3,4\n5," + "6" * 200_000, "row 4: field larger than field limit"),
        (",".join(f"c{i}" for i in range(1001)), "expected at most 1,000 columns, not 1,001"),
        (
            "a,b\n" + "\n".join(f"n{i},{i % 2}" for i in range(101)),
            'the column "a" has 101 different texts; at most 100 can be categories: set dataset.ig',
        ),
        (
            "a,b\n" + "\n".join(f"{i},n{i}" for i in range(101)),
            'the column "b" has 101 different texts',
        ),
        ("a,b\x1b]0;evil\x07\n1,2\n1,2\n1,2", 'the column "b?]0;evil?" never varies'),
    ],
)
def test_files_that_are_no_table(table: Table, text: str | bytes, says: str) -> None:
    assert says in refusal(table(text))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": "prize"}, 'no column is called "prize"; there are size, kind, price'),
        ({"ignore": ["sise"]}, 'ignore: no column is called "sise"'),
        ({"ignore": ["size", "kind"]}, "ignore: no column is left to learn from"),
        ({"target": "kind", "task": "regression"}, 'the column "kind" has texts: no regression'),
        ({"task": "clustering"}, "--set dataset.task: expected one of auto, classification"),
        ({"ignore": "size"}, "--set dataset.ignore: expected a list"),
        ({"path": ""}, "--set dataset.path: expected the path of a CSV file"),
        ({"path": "nowhere.csv"}, '"nowhere.csv": there is no such file'),
        ({"path": "x" * 900}, "File name too long"),
        ({"path": "/dev/zero"}, "there is no such file"),
        ({"path": "."}, "there is no such file"),
        ({"path": "a\0b"}, "--set dataset.path: expected a path"),
        ({"path": 3}, "--set dataset.path: expected a path"),
    ],
)
def test_choices_that_a_table_does_not_have(
    table: Table, changes: dict[str, Any], says: str
) -> None:
    path = changes.get("path", table(PRICES))
    rest = {key: value for key, value in changes.items() if key != "path"}
    assert says in refusal(path, **rest)


def test_limits_on_size(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "CELLS", 100)
    assert "expected at most 100 values" in refusal(table(PRICES))
    monkeypatch.setattr(csv_file, "BYTES", 50)
    assert "expected at most 50 bytes" in refusal(table(PRICES + "\n"))


def test_a_changed_file_is_read_again(table: Table) -> None:
    path = table(PRICES)
    assert len(own(path, "regression").features) == 30
    table(PRICES + "\n1,a,1.5" * 50)
    assert len(own(path, "regression").features) == 60
