"""`fivestep eval`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fivestep.core.training.evaluate import Evaluation
from fivestep.tui.cli import app as cli
from fivestep.tui.cli.evaluate import _confusion

Captured = pytest.CaptureFixture[str]


def told(capsys: Captured, *arguments: str) -> list[str]:
    assert cli.run(["eval", *arguments, "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def test_classes_get_a_confusion(capsys: Captured) -> None:
    first, fresh, validation, test, _, title, head, *rows = told(capsys, "digits-mlp")
    assert first.startswith("digits-mlp: mlp on digits")
    assert fresh == "the model is freshly initialised: nothing has been trained"
    assert validation.startswith("validation: 180 samples, loss 2.")
    assert test.startswith("test: ")
    assert "accuracy" in test
    assert title == "test, labels down, predictions across:"
    assert head.split() == ["label", *map(str, range(10))]
    assert [row.split()[0] for row in rows] == [str(n) for n in range(10)]
    samples = int(test.split()[1])
    assert sum(int(n) for row in rows for n in row.split()[1:]) == samples


def test_values_get_a_histogram_of_residuals(capsys: Captured) -> None:
    lines = told(capsys, "line-linear")
    assert "r2" in lines[2]
    assert lines[5].startswith("test, residuals (label - prediction): mean ")
    assert len(lines) == 6 + 12


def test_json_is_one_object(capsys: Captured) -> None:
    (line,) = told(capsys, "line-linear", "--json")
    record = json.loads(line)
    assert (record["type"], record["preset"], record["trained"]) == ("eval", "line-linear", False)
    assert [part["part"] for part in record["parts"]] == ["validation", "test"]
    assert record["parts"][1]["metric"] == record["parts"][1]["metrics"]["r2"]
    assert sum(record["parts"][1]["residuals"]["counts"]) == record["parts"][1]["samples"]


def test_text_gets_its_perplexity(capsys: Captured) -> None:
    lines = told(capsys, "docs-gpt")
    assert "perplexity" in lines[2]
    assert len(lines) == 4


def test_many_classes_are_told_by_what_is_confused_most() -> None:
    counts = [[0] * 40 for _ in range(40)]
    counts[3][7], counts[7][3], counts[5][5] = 9, 4, 100
    part = Evaluation("test", 113, 1.0, (), tuple(map(tuple, counts)))
    title, *rows = _confusion(part, (), 80)
    assert title == "test, what is confused most:"
    assert rows == ["3 taken for 7: 9", "7 taken for 3: 4"]


def test_a_file_of_ones_own_is_evaluated_too(tmp_path: Path, capsys: Captured) -> None:
    file = str(tmp_path / "own.py")
    assert cli.run(["new", file]) == 0
    capsys.readouterr()
    assert cli.run(["eval", file]) == 0
    assert "inner" in capsys.readouterr().out
    text = Path(file).read_text().replace("        validation=", "        # validation=")
    Path(file).write_text(text)
    assert cli.run(["eval", file]) == 2
    assert "neither validation nor test data" in capsys.readouterr().err


def test_a_runs_best_weights_are_evaluated_as_the_run_evaluated_them(capsys: Captured) -> None:
    assert cli.run(["train", "moons-mlp", "--json", "--name", "mine", "--epochs", "4"]) == 0
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert cli.run(["eval", "--run", "mine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trained"] is True
    assert found["parts"][0]["metric"] == end["best_val_metric"]
    assert cli.run(["eval", "--run", "mine", "--last"]) == 0
    assert "the weights of run mine, last checkpoint: 4 epochs" in capsys.readouterr().out


def test_a_run_that_is_not_there_is_refused_in_one_line(capsys: Captured) -> None:
    assert cli.run(["eval", "--run", "nothing"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
