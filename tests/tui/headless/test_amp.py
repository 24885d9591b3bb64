"""Mixed precision and compiling, from the command line to what is told of a run."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
import torch

from fivestep.core.training.compile import COMPILING

from ..conftest import Cli

LINE = ["train", "line-linear", "--no-ui", "--device", "cpu"]


def told(cli: Cli, *arguments: str, code: int = 0) -> str:
    out, err = cli(*arguments, code=code)
    return out if code == 0 else err


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(row) for row in text.splitlines()]


def test_show_prints_them(cli: Cli) -> None:
    plain = tomllib.loads(told(cli, "show", "iris-mlp"))
    assert (plain["amp"], plain["compile"]) == ("off", False)
    text = told(cli, "show", "iris-mlp", "--compile", "--amp", "bf16")
    assert text.startswith("# fivestep train iris-mlp --amp bf16 --compile\n")
    asked = tomllib.loads(text)
    assert (asked["amp"], asked["compile"]) == ("bf16", True)


def test_programs_are_told(cli: Cli) -> None:
    start, *_, end = records(told(cli, *LINE, "--json", "--epochs", "1"))
    assert (start["amp"], start["compile"], end["skipped_updates"]) == (None, False, 0)
    start, *_, end = records(told(cli, *LINE, "--json", "--epochs", "1", "--amp", "fp16"))
    assert start["amp"] == "fp16"
    assert end["outcome"] == "finished"
    assert 0 < end["skipped_updates"] < end["batches"]


def test_people_are_told(cli: Cli) -> None:
    out = told(cli, *LINE, "--epochs", "1", "--amp", "fp16")
    assert ", fp16\n" in out
    assert "updates skipped by fp16's GradScaler" in out or "1 update skipped by fp16's" in out


def test_compiling_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda forward: forward)  # the real one takes seconds
    out = told(cli, *LINE, "--epochs", "1", "--compile")
    assert f"\n{COMPILING}\n" in out
    assert out.rstrip().endswith(", compiled")


def test_a_resumed_run_goes_on_in_the_same_precision(cli: Cli) -> None:
    whole = records(told(cli, *LINE, "--json", "--epochs", "2", "--amp", "fp16"))[-1]
    told(cli, *LINE, "--epochs", "1", "--amp", "fp16", "--name", "half")
    text = told(cli, "resume", "half", "--epochs", "2", "--no-ui", "--json")
    start, *_, end = records(text)
    assert start["amp"] == "fp16"
    for key in ("train_loss", "val_loss", "skipped_updates", "batches"):
        assert end[key] == whole[key]


def test_a_file_of_ones_own_says_it_itself(cli: Cli, tmp_path: Any) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def training(): ...\n", encoding="utf-8")
    line = told(cli, "train", str(file), "--no-ui", "--amp", "bf16", code=2)
    assert "--amp: " in line
    assert "chooses its amp itself" in line
