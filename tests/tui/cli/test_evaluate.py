"""`fivestep eval`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

from fivestep.core.training.evaluate import Evaluation
from fivestep.tui.cli.evaluate import _confusion

from ..conftest import Cli


def told(cli: Cli, *arguments: str) -> list[str]:
    out, err = cli("eval", *arguments, "--device", "cpu")
    assert err == ""
    return out.splitlines()


def test_classes_get_a_confusion(cli: Cli) -> None:
    first, fresh, validation, test, _, title, head, *rows = told(cli, "digits-mlp")
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


def test_values_get_a_histogram_of_residuals(cli: Cli) -> None:
    lines = told(cli, "line-linear")
    assert "r2" in lines[2]
    assert lines[5].startswith("test, residuals (label - prediction): mean ")
    assert len(lines) == 6 + 12


def test_json_is_one_object(cli: Cli) -> None:
    (line,) = told(cli, "line-linear", "--json")
    record = json.loads(line)
    assert (record["type"], record["preset"], record["trained"]) == ("eval", "line-linear", False)
    assert [part["part"] for part in record["parts"]] == ["validation", "test"]
    assert record["parts"][1]["metric"] == record["parts"][1]["metrics"]["r2"]
    assert sum(record["parts"][1]["residuals"]["counts"]) == record["parts"][1]["samples"]


def test_text_gets_its_perplexity(cli: Cli) -> None:
    lines = told(cli, "docs-gpt")
    assert "perplexity" in lines[2]
    assert len(lines) == 4


def test_many_classes_are_told_by_what_is_confused_most() -> None:
    counts = [[0] * 40 for _ in range(40)]
    counts[3][7], counts[7][3], counts[5][5] = 9, 4, 100
    part = Evaluation("test", 113, 1.0, (), tuple(map(tuple, counts)))
    title, *rows = _confusion(part, (), 80)
    assert title == "test, what is confused most:"
    assert rows == ["3 taken for 7: 9", "7 taken for 3: 4"]


def test_a_file_of_ones_own_is_evaluated_too(tmp_path: Path, cli: Cli) -> None:
    file = str(tmp_path / "own.py")
    cli("new", file)
    assert "inner" in cli("eval", file).out
    text = Path(file).read_text().replace("        validation=", "        # validation=")
    Path(file).write_text(text)
    assert "neither validation nor test data" in cli("eval", file, code=2).err


def test_a_runs_best_weights_are_evaluated_as_the_run_evaluated_them(cli: Cli) -> None:
    out = cli("train", "moons-mlp", "--json", "--name", "mine", "--epochs", "4").out
    end = json.loads(out.splitlines()[-1])
    found = json.loads(cli("eval", "--run", "mine", "--json").out)
    assert found["trained"] is True
    assert found["parts"][0]["metric"] == end["best_val_metric"]
    out = cli("eval", "--run", "mine", "--last").out
    assert "the weights of run mine, last checkpoint: 4 epochs" in out


def test_what_contradicts_the_recipe_of_a_run_is_refused(cli: Cli) -> None:
    cli("train", "moons-mlp", "--json", "--name", "base", "--epochs", "1")
    line = cli.refused("eval", "digits-cnn", "--run", "base", "--lr", "3", "--set", "seed=1")
    assert line.startswith("--run base brings its own recipe: leave out digits-cnn, --lr, --set")
    assert "weights of run base" in cli("eval", "moons-mlp", "--run", "base").out
    assert cli.refused("eval", "moons-mlp", "--last").startswith("--last goes with --run")


def test_a_run_that_is_not_there_is_refused_in_one_line(cli: Cli) -> None:
    assert cli("eval", "--run", "nothing", code=2).err.count("\n") == 1
