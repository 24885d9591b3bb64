"""`fivestep lr` as a person types it: a chart, a suggestion, nothing kept, errors in one line."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from fivestep.tui.cli import app as cli
from fivestep.tui.cli.lr import FIELDS


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    found = cli.run(["lr", *arguments])
    out, err = capsys.readouterr()
    assert found == code, out + err
    return out, err


def test_it_draws_the_curve_suggests_and_keeps_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = run(capsys, "line-linear")
    assert "▲ suggested" in out
    assert "learning rate" in out
    assert "1e-4" in out
    words = out.replace("\n", " ").split()
    lr = words[words.index("try") + 2].strip(":")
    assert " ".join(words[-5:]) == f"fivestep train line-linear --lr {lr}"
    assert not Path(os.environ["FIVESTEP_RUNS"]).exists()


def test_it_ends_with_the_command_that_trains_what_it_has_tested(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in (
        "digits-mlp --optimizer SGD --batch-size 16 --set model.dropout=0.1",
        "--seed=3 --set epochs=2 line-linear",
    ):
        told = run(capsys, *words.split())[0].splitlines()[-1]
        assert re.fullmatch(f"fivestep train {re.escape(words)} --lr [0-9.e-]+", told)
    told = run(capsys, "line-linear", "--set", "optimizer.lr=0.5")[0].splitlines()[-1]
    assert re.search("--set optimizer.lr=0.5 --set optimizer.lr=[0-9.e-]+$", told)


def test_as_json_it_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "line-linear", "--json")[0])
    assert list(found) == ["type", *FIELDS]
    assert len(found["lrs"]) == len(found["losses"]) == len(found["smooth"])
    assert found["lrs"][0] < found["suggestion"] < found["lrs"][-1]


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "none.py"
    file.write_text("def training():\n    return 1\n")
    for words, told in (
        (("nothing",), "no preset is called"),
        (("line-linear", "--lr", "0.1"), "there is no option --lr"),
        (("iris-mlp", "--optimizer", "Adan"), "--optimizer: expected one of"),
        ((str(file),), "training() gave a int"),
    ):
        _, err = run(capsys, *words, code=2)
        assert told in err
        assert err.count("\n") == 1
