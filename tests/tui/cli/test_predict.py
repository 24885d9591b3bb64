"""`fivestep predict`: new rows through what a run has learned of a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.presets.build import build, load_data
from fivestep.presets.data.table import Table
from fivestep.presets.recipe import load
from fivestep.tui.terminal.output import Output

from ..conftest import Cli

HOMES = "size;kind;paid;price\n" + "\n".join(
    f"{i},5;{'ab'[i % 2]};2024-01-{i % 28 + 1:02d};{1000 + i * 20 + i % 2 * 300},25"
    for i in range(60)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIVESTEP_RUNS", str(tmp_path / "runs"))
    return tmp_path


def trained(cli: Cli, file: str, *options: str) -> str:
    """Train a run called "mine" on this table; what it printed."""
    own = ("--dataset", "csv", "--set", f"dataset.path={file}", "--name", "mine", "--no-ui")
    sets = [word for option in options for word in ("--set", option)]
    return cli("train", "iris-mlp", *own, "--set", "epochs=3", *sets).out


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_regression_is_predicted_in_the_units_of_its_target(cli: Cli, folder: Path) -> None:
    (folder / "homes.csv").write_text("\ufeff" + HOMES, encoding="utf-8")
    out = trained(cli, "homes.csv")
    assert 'size, price read as numbers (decimal ",")' in out
    assert "paid read as dates" in out
    recipe = load(str(folder / "runs/mine/recipe.toml"))
    table, training = load_data(recipe).table, build(recipe)
    (folder / "homes.csv").unlink()
    new = 'paid,size,kind\n2024-01-03,"30,5",a\n2024-01-04,"31,5",b\n'
    (folder / "new.csv").write_text(new)
    found, err = cli("predict", "mine", "new.csv")
    assert err == ""
    first, second = rows_of(found)
    assert (first["size"], first["kind"]) == ("30,5", "a"), "the rows as they were given"
    assert list(first) == ["paid", "size", "kind", "prediction"]
    assert float(second["prediction"]) != float(first["prediction"])
    assert table is not None
    assert table.scaling is not None
    state: dict[str, Any] = CheckpointStore(folder / "runs/mine/checkpoints").best() or {}
    training.model.load_state_dict(state["model"])
    days = torch.tensor([[30.5], [31.5]]), torch.eye(2), torch.tensor([[19725.0], [19726.0]])
    size, _, paid = table.features
    parts = (size.scaling.apply(days[0]), days[1], paid.scaling.apply(days[2]))  # type: ignore[union-attr]
    expected = table.scaling.undo(training.model.eval()(torch.cat(parts, 1)))
    values = [float(row["prediction"]) for row in (first, second)]
    assert values == pytest.approx(expected.flatten().tolist(), rel=1e-6)


def test_classes_come_with_their_probabilities(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "a,b,kind\n" + "\n".join(f"{i},{i % 5},{'xyz'[i % 3]}" for i in range(60))
    (folder / "table.csv").write_text(text)
    trained(cli, "table.csv")
    given = "kind,note,b,a\nx,first,1,2\n,\x1b[31m,3,50\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    printed = cli("predict", "mine", "-", "--last", "--out", "said.csv")
    assert printed.out == ""
    assert printed.err == "fivestep: not learned from, only passed on: note\n"
    rows = rows_of((folder / "said.csv").read_text())
    assert [row["note"] for row in rows] == ["first", "\x1b[31m"]
    for row in rows:
        shares = {name: float(row[f"probability of {name}"]) for name in "xyz"}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == max(shares, key=lambda name: shares[name])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    assert '"said.csv" is there already' in cli.refused("predict", "mine", "-", "--out", "said.csv")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1,2\n")))
    cli("predict", "mine", "-", "--out", "said.csv", "--overwrite")
    assert len(rows_of((folder / "said.csv").read_text())) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("size,kind\n1,a\n", '"new.csv": no column is called "paid"; there are size, kind'),
        (
            "size,kind,paid\n1,c\x1b,2024-01-01\n",
            'row 2, column "kind": "c?" is none of the 2 texts',
        ),
        ("size,kind,paid\n1,a,2024-01-01\n1.5,a,2024-01-01", 'row 3, column "size": "1.5" is no'),
        ("size,kind,paid\n1,a,soon\n", 'row 2, column "paid": "soon" is no date'),
        ("size,kind,paid\n,a,2024-01-01\n", 'row 2, column "size": a value is missing'),
        ("size,kind,paid\n", '"new.csv": there are no rows below the header'),
        ("size,kind,paid,prediction\n1,a,2024-01-01,7\n", 'a column "prediction" already'),
        (None, '"new.csv": there is no such file'),
    ],
)
def test_rows_that_are_not_like_those_learned_are_refused(
    cli: Cli, folder: Path, text: str | None, says: str
) -> None:
    (folder / "homes.csv").write_text(HOMES, encoding="utf-8")
    trained(cli, "homes.csv")
    if text is not None:
        (folder / "new.csv").write_text(text)
    assert says in cli.refused("predict", "mine", "new.csv")


@pytest.mark.parametrize("missing", ["median", "drop"])
def test_missing_values_are_treated_as_in_training(cli: Cli, folder: Path, missing: str) -> None:
    text = "a,kind,y\n" + "\n".join(
        f"{'' if i % 9 == 1 else i},{'aab'[i % 3]},{i}.5" for i in range(60)
    )
    (folder / "table.csv").write_text(text)
    out = trained(cli, "table.csv", f"dataset.missing={missing}")
    assert ("filled in" in out) == (missing == "median")
    (folder / "new.csv").write_text("a,kind\n5,a\n,a\n7,NA\n")
    printed = cli("predict", "mine", "new.csv")
    predicted = [bool(row["prediction"]) for row in rows_of(printed.out)]
    if missing == "median":
        assert predicted == [True, True, True]
        assert printed.err == ""
    else:
        assert predicted == [True, False, False]
        assert printed.err == "fivestep: 2 rows with missing values without a prediction\n"


def test_a_terminal_gets_nothing_that_it_obeys(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "table.csv").write_text("a,b\n" + "\n".join(f"{i},{i}.5" for i in range(9)))
    trained(cli, "table.csv")
    (folder / "new.csv").write_text("a,note\n1,\x1b[2Jevil\n")
    assert "\x1b[2Jevil" in cli("predict", "mine", "new.csv").out
    monkeypatch.setattr(Output, "is_terminal", True)
    assert rows_of(cli("predict", "mine", "new.csv").out)[0]["note"] == "evil"


def test_a_run_with_filled_in_values_resumes_bit_for_bit(cli: Cli, folder: Path) -> None:
    text = "a,kind,y\n" + "\n".join(f"{i or ''},{'ab?'[i % 3]},{i}.5" for i in range(40))
    (folder / "table.csv").write_text(text)
    options = ("dataset.missing=median", "scheduler.name=none")
    trained(cli, "table.csv", *options)
    (folder / "runs/mine").rename(folder / "runs/whole")
    trained(cli, "table.csv", *options, "epochs=2")
    assert (
        "missing cells of a, kind are filled in"
        in cli("resume", "mine", "--epochs", "3", "--no-ui").out
    )
    one, other = (
        CheckpointStore(folder / "runs" / name / "checkpoints").newest()
        for name in ("mine", "whole")
    )
    assert one.state["progress"]["batches_done"] == other.state["progress"]["batches_done"]
    for name, weights in one.state["model"].items():
        assert torch.equal(weights, other.state["model"][name])


def test_a_table_that_comes_along_is_predicted_too(cli: Cli, folder: Path) -> None:
    cli("train", "iris-mlp", "--name", "mine", "--quiet", "--epochs", "20")
    names = "sepal length,sepal width,petal length,petal width\n"
    (folder / "new.csv").write_text(names + "5.1,3.5,1.4,0.2\n")
    (row,) = rows_of(cli("predict", "mine", "new.csv").out)
    assert row["prediction"] == "setosa"


def test_what_is_no_table_is_refused(cli: Cli, folder: Path) -> None:
    cli("train", "line-linear", "--name", "line", "--quiet", "--epochs", "1")
    assert (
        cli.refused("predict", "line", "x.csv")
        == "predict is for tables, and line has learned points"
    )
    assert cli.refused("predict", "none", "x.csv")
    cli("new", "own.py")
    cli("train", "own.py", "--name", "own", "--quiet", "--epochs", "1")
    assert "came from a Python file" in cli.refused("predict", "own", "x.csv")


@pytest.mark.parametrize(
    "spoiled", [{}, {"features": []}, {"classes": []}, {"features": [{"name": 3}]}]
)
def test_a_table_that_was_spoiled_is_refused(spoiled: dict[str, Any]) -> None:
    facts = load_data(load("iris-mlp")).table.facts()  # type: ignore[union-attr]
    assert Table.of(facts).facts() == facts
    facts["features"][0]["reading"]["decimal"] = "x"
    for wrong in (facts, spoiled and facts | spoiled):
        with pytest.raises(ValueError, match="it does not say how its table was read"):
            Table.of(wrong)


def test_what_was_understood_is_in_the_records(cli: Cli, folder: Path) -> None:
    (folder / "homes.csv").write_text(HOMES, encoding="utf-8")
    own = ("--dataset", "csv", "--set", "dataset.path=homes.csv", "--name", "mine", "--json")
    out = cli("train", "iris-mlp", *own, "--epochs", "1").out
    start = json.loads(out.splitlines()[0])
    assert start["notes"] == [
        'columns are separated by ";"',
        'size, price read as numbers (decimal ",")',
        "paid read as dates, as days since 1970-01-01",
    ]
    assert cli("show", *own[:4], "iris-mlp").out.splitlines()[1:4] == [
        f"# {note}" for note in start["notes"]
    ]
