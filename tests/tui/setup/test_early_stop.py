"""Early stopping as a setting: of recipes, files and resumed runs, and what is told of it."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Shell, run
from .test_resume_files import OWN

MORE = ("--epochs", "30")


def test_a_run_finishes_early_names_its_best_weights_and_goes_on_when_told_to(shell: Shell) -> None:
    told = shell.train("early", *MORE, "--early-stop", "2")
    assert "finished after " in told
    assert "early stopping: no accuracy better than " in told
    assert ": runs/early/checkpoints/best.pt" in told
    outcome = json.loads((run("early") / "outcome.json").read_text())
    assert outcome["state"] == "finished"
    assert outcome["epochs"] == outcome["best_epoch"] + 2
    assert "nothing is left to train" in shell.resume("early")
    records = map(json.loads, shell("resume", "early", "--json", "--force").splitlines())
    first, *_, last = records
    assert (first["early_stop"], first["min_delta"]) == (2, 0.0)
    assert (last["outcome"], last["epochs"]) == ("finished", outcome["epochs"])
    told = shell.resume("early", "--early-stop", "off")
    assert "finished after 30 epochs" in told
    assert "recipe changed: early_stop 2 → off" in told


def test_a_file_of_ones_own_can_be_told_to_stop_early(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN.replace("epochs=4", "validation=DataLoader(data, 8), epochs=30"))
    more = ("--early-stop", "1", "--set", "min_delta=100")
    told = shell("train", str(file), *more, "--name", "own", "--no-ui")
    assert "finished after 2 epochs" in told
    assert "by more than 100 in 1 validation;" in told
    command = json.loads((run("own") / "run.json").read_text())["command"]
    assert command == f"fivestep train {file} --early-stop 1 --set min_delta=100.0"
    file.write_text(OWN)
    shell("train", str(file), "--early-stop", "1", "--no-ui", code=2)
    assert "early_stop waits for validations, and there are none; give the Training" in shell.err


def test_a_patience_that_is_none_is_refused_in_one_line(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    expected = 'fivestep: --early-stop: expected a whole number from 1 to 1000000 or "off", not '
    for what, words in (("iris-mlp", "0"), ("own.py", '"never"')):
        shell("train", what, "--early-stop", words.strip('"'), "--no-ui", code=2)
        assert shell.err == f"{expected}{words}\n"
