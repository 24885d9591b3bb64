"""`fivestep eval --run`: judging what a run has learned."""

from __future__ import annotations

import json

import pytest

from fivestep.tui.cli import app as cli

Captured = pytest.CaptureFixture[str]


def test_a_runs_best_weights_are_judged_as_the_run_judged_them(capsys: Captured) -> None:
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
