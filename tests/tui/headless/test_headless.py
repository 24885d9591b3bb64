"""Whole runs without a screen, in this process: what each face tells of them."""

from __future__ import annotations

import errno
import io
import json
import math
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from fivestep.core.protocol.record_fields import REPORT
from fivestep.core.protocol.snapshot import Change, EpochSummary
from fivestep.core.session.session import Session
from fivestep.presets import build as building
from fivestep.presets import recipe
from fivestep.tui.headless import runner as headless
from fivestep.tui.headless import text_reporter
from fivestep.tui.headless.json_reporter import JsonReporter, line
from fivestep.tui.headless.reporter import Reporter
from fivestep.tui.headless.text_reporter import TextReporter
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.terminal.output import Output

from ..conftest import Cli

README = Path(__file__).parents[3] / "README.md"
LINE = ["train", "line-linear", "--no-ui", "--device", "cpu"]


def no_constants(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(row, parse_constant=no_constants) for row in text.splitlines()]


def trained(cli: Cli, *arguments: str, code: int = 0) -> str:
    """What a run printed on stdout."""
    out, err = cli(*LINE, *arguments, code=code)
    assert err == "" or code
    return out


# Lines for people.


def test_people_get_what_runs_each_epoch_and_how_it_ended(cli: Cli) -> None:
    start, kept, facts, *epochs, end = trained(cli, "--epochs", "3").splitlines()
    assert start == "line-linear: linear on line, 3 epochs, batch size 32, SGD lr 0.1, seed 0"
    assert kept.startswith("kept in ")
    assert "2 parameters" in facts
    assert "thread" in facts
    assert [row.split()[1] for row in epochs] == ["1/3", "2/3", "3/3"]
    for row in epochs:
        for word in ("train loss", "val loss", "r2", "batches/s"):
            assert word in row
    assert end.startswith("finished after 3 epochs, 75 batches in ")
    assert "best r2 0.9" in end


@pytest.mark.parametrize("wrong", ["device", "file"])
def test_a_run_that_cannot_be_built_leaves_no_folder(cli: Cli, tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def training(:\n")
    what = ["line-linear", "--device", "mps"] if wrong == "device" else [str(file)]
    name = ["--name", "one"] if wrong == "device" else []
    out, err = cli("train", *what, *name, "--no-ui", code=2)
    assert "kept in" not in out
    assert err.count("\n") == 1
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_pipe_gets_no_control_sequence(cli: Cli) -> None:
    out = trained(cli, "--epochs", "2")
    assert "\r" not in out
    assert "\x1b" not in out


def test_many_fast_epochs_are_no_flood(cli: Cli) -> None:
    rows = trained(cli, "--epochs", "300", "--batch-size", "800").splitlines()
    told = [row.split("/")[0].split()[1] for row in rows if row.startswith("epoch ")]
    assert len(told) < 30
    assert told[0] == "1"
    assert told[-1] == "300"


def test_a_long_epoch_shows_a_sign_of_life(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_reporter, "SIGN_OF_LIFE", 0.0)
    monkeypatch.setattr(TextReporter, "interval", 0.001)
    out = trained(cli, "--epochs", "8")
    row = next(row for row in out.splitlines() if "  batch " in row)
    assert row.startswith("epoch ")
    assert "%" in row
    assert "loss" in row
    assert "ETA" in row


def test_quiet_prints_nothing(cli: Cli) -> None:
    assert trained(cli, "--quiet", "--epochs", "1") == ""


@pytest.mark.parametrize("reporter", [[], ["--json"], ["--quiet"]])
def test_a_failure_has_its_reason_on_stderr(cli: Cli, reporter: list[str]) -> None:
    out, err = cli(*LINE, "--lr", "1000", *reporter, code=1)
    assert err.startswith("fivestep: epoch 1, batch ")
    assert "the loss is" in err
    assert "try a lower learning rate" in err
    assert err.count("\n") == 1
    if reporter == ["--json"]:
        end = records(out)[-1]
        assert end["outcome"] == "failed"
        assert end["where"].startswith("epoch 1, batch ")
    elif not reporter:
        *_, end, resume_command = out.splitlines()
        assert end.startswith("failed after 0 epochs, ")
        assert resume_command.startswith("saved at batch 0; to resume: fivestep resume ")


def test_a_failures_traceback_on_request(cli: Cli) -> None:
    assert "NonFiniteLoss" in cli(*LINE, "--lr", "1000", "--quiet", "--traceback", code=1).err


def test_a_device_that_is_not_there(cli: Cli) -> None:
    err = cli(*LINE, "--device", "cuda:999", code=2).err
    assert err.count("\n") == 1
    assert "cuda:999" in err
    assert "cpu" in err


@pytest.mark.parametrize("columns", [20, 60, 80])
def test_rows_on_a_terminal_are_never_wider_than_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(Output, "is_terminal", True)
    monkeypatch.setattr(Output, "columns", columns)
    out = trained(cli, "--epochs", "3")
    rows = re.split(r"[\r\n]", out.replace("\x1b[K", ""))
    assert max(map(len, rows)) < columns
    if columns == 80:
        assert any(re.fullmatch(r"epoch 3/3 .* r2 0\.\d+ .* batches/s", row) for row in rows)


# Lines for programs.


def test_every_record_has_the_fields_that_are_documented(cli: Cli) -> None:
    found = records(trained(cli, "--json", "--epochs", "2"))
    assert {record["type"] for record in found} == {"run_start", "batch", "epoch", "run_end"}
    for record in found:
        assert list(record) == ["type", *REPORT[record["type"]]]
    assert found[0]["type"] == "run_start"
    assert found[-1]["type"] == "run_end"
    assert found[0]["preset"] == "line-linear"
    assert found[0]["device"] == "cpu"
    assert found[0]["lr"] == 0.1
    assert set(found[0]["versions"]) == {"fivestep", "python", "torch", "numpy"}


def test_readme_names_every_field_of_every_record() -> None:
    named: dict[str, list[str]] = {}
    kind = ""
    for row in README.read_text(encoding="utf-8").split("| record | field |")[1].splitlines()[2:]:
        if not row.startswith("|"):
            break
        first, fields, *_ = row.strip("|").split("|")
        kind = first.strip(" `") or kind
        named.setdefault(kind, []).extend(re.findall(r"`(\w+)`", fields))
    assert {kind: sorted(fields) for kind, fields in named.items()} == {
        kind: sorted(fields) for kind, fields in REPORT.items()
    }


def test_the_records_of_a_run_agree_with_each_other(cli: Cli) -> None:
    found = records(trained(cli, "--json", "--epochs", "3"))
    start, end = found[0], found[-1]
    batches = [r for r in found if r["type"] == "batch"]
    epochs = [r for r in found if r["type"] == "epoch"]
    assert [b["batches_done"] for b in batches] == list(range(1, 76))
    assert start["batches_per_epoch"] == 25
    for epoch in epochs:
        losses = [b["loss"] for b in batches if b["epoch"] == epoch["epoch"]]
        epoch_loss = 0.0  # as in the guide
        for loss in losses:
            epoch_loss += loss
        assert epoch["train_loss"] == epoch_loss / len(losses)
        assert epoch["val_metric"] == epoch["metrics"]["r2"]
    assert end["outcome"] == "finished"
    assert (end["epochs"], end["batches"]) == (3, 75)
    assert end["train_loss"] == epochs[-1]["train_loss"]
    assert end["val_loss"] == epochs[-1]["val_loss"]
    assert end["best_val_metric"] == max(e["val_metric"] for e in epochs)
    assert epochs[end["best_epoch"] - 1]["val_metric"] == end["best_val_metric"]
    assert end["metric_name"] == start["metric_name"] == "r2"
    assert end["seconds"] > 0


def test_nan_and_infinity_are_null() -> None:
    stream = io.BytesIO()
    reporter = JsonReporter(Output(stream))
    reporter.batch(1, 1, 1, math.nan, 0.1)
    reporter.epoch(EpochSummary(1, 1, 1, math.nan, math.inf, (("r2", -math.inf),), 1.0, 1.0, 0.1))
    reporter.change(Change(1.5, 1, 1, "lr ÷2", "lr"))
    reporter.output.flush()
    batch, epoch, change = records(stream.getvalue().decode())
    assert batch["loss"] is None
    assert epoch["train_loss"] is epoch["val_loss"] is epoch["val_metric"] is None
    assert epoch["metrics"] == {"r2": None}
    assert list(change) == ["type", *REPORT["change"]]
    assert change["text"] == "lr ÷2"


def test_a_record_stays_on_one_line_whatever_a_text_holds() -> None:
    assert line("change", text="a\nb\u2028\x1b[2J").count("\n") == 1
    assert line("change", text="a\x1b[2J").isascii()


def test_validation_may_be_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    real = building.build

    def without_validation(chosen: recipe.Recipe, *doing: Any) -> Any:
        training = real(chosen, *doing)
        training.validation = None
        return training

    monkeypatch.setattr(building, "build", without_validation)
    found = records(trained(cli, "--json", "--epochs", "1"))
    assert found[-2]["val_loss"] is None
    assert found[-1]["best_val_metric"] is None
    *_, epoch, end = trained(cli, "--epochs", "1").splitlines()
    assert "val" not in epoch
    assert "best" not in end


# How a run ends otherwise.


class Ends(Reporter):
    """Raises a signal at the first tick, and keeps how the run ended."""

    interval = 0.001
    word = ""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(Output(io.BytesIO()))
        self.number: signal.Signals | None = number

    def tick(self, session: Session) -> None:
        picture = session.latest()
        if self.number is not None and picture is not None and picture.batches_done:
            signal.raise_signal(self.number)
            self.number = None

    def end(self, session: Session, ending: Any) -> None:
        self.word = ending.word
        self.reason = ending.outcome.reason
        self.batches_done = ending.last.batches_done


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_the_run_after_its_batch(name: str, code: int) -> None:
    reporter = Ends(signal.Signals[name])
    before = signal.getsignal(reporter.number or 0)
    long = recipe.load("line-linear", {"epochs": 1_000_000, "device": "cpu"})
    assert headless.run(RunBuilder.nowhere(RecipePlan(long)), reporter) == code
    assert reporter.word == "interrupted"
    assert reporter.reason == f"interrupted by {name}"
    assert reporter.batches_done > 0
    assert signal.getsignal(signal.Signals[name]) is before


class Broken(io.RawIOBase):
    """A stream that nothing can be written to."""

    def __init__(self, number: int) -> None:
        self.number = number

    def write(self, _: Any) -> int:
        raise OSError(self.number, "No room")


@pytest.mark.parametrize("make", [TextReporter, JsonReporter])
def test_a_reader_that_went_away_ends_the_run_quietly(
    capsys: pytest.CaptureFixture[str], make: type[Reporter]
) -> None:
    long = recipe.load("line-linear", {"epochs": 1_000_000, "device": "cpu"})
    assert (
        headless.run(RunBuilder.nowhere(RecipePlan(long)), make(Output(Broken(errno.EPIPE)))) == 141
    )
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("make", [TextReporter, JsonReporter])
def test_a_full_disk_does_not_end_the_run(
    capsys: pytest.CaptureFixture[str], make: type[Reporter]
) -> None:
    reporter = make(Output(Broken(errno.ENOSPC)))
    ended: list[str] = []
    reporter.end = lambda session, ending: ended.append(ending.word)  # type: ignore[method-assign]
    short = recipe.load("line-linear", {"epochs": 2, "device": "cpu"})
    assert headless.run(RunBuilder.nowhere(RecipePlan(short)), reporter) == 1
    assert ended == ["finished"]
    assert capsys.readouterr().err == "fivestep: some lines could not be written: No room\n"


def test_the_only_process_of_torchrun_trains(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert "finished after 1 epoch" in cli("train", "line-linear", "--no-ui", "--epochs", "1").out
