"""The command as somebody types it, without anything that needs torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from doing import python

import fivestep
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.presets import registry
from fivestep.tui.cli import presets as listing
from fivestep.tui.terminal.output import Output

from ..conftest import Cli


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "alone it needs a terminal; fivestep train trains digits-cnn without one"),
        (["trian"], 'there is no command "trian"; did you mean train?'),
        (["spirals-mlp"], "to train that preset: fivestep train spirals-mlp"),
        (["qqqq"], "there are train, run, presets, show"),
        (["train", "digit-mlp"], 'digit-mlp"; did you mean digits-mlp?'),
        (["train", "no/such.toml"], 'no/such.toml": there is no such file'),
        (["train", "--epoch", "3"], "there is no option --epoch; did you mean --epochs?"),
        (["presets", "--jsn"], "there is no option --jsn; did you mean --json?"),
        (["show", "--zzzz"], "there is no option --zzzz; see fivestep show --help"),
        (["train", "--epochs"], "--epochs"),
        (["train", "a", "b"], "unexpected extra argument"),
        (["train", "--epochs", "abc"], "--epochs: expected a whole number from 1"),
        (["train", "--lr", "-1"], "--lr: expected a number above 0"),
        (["train", "--optimizer", "Adamm"], "did you mean Adam?"),
        (["train", "--set", "epochs"], "--set: expected key=value, not"),
        (["train", "--set", "dataset.nois=1"], "dataset.nois"),
        (["train", "line-linear", "--model", "gpt"], "--model: gpt takes tokens (B, T), but line"),
        (["train", "--json", "--quiet"], "contradict each other"),
        (
            ["train", "--hold", "--no-ui"],
            "--hold needs the screen, whose keys let the run go on",
        ),
        (["train", "--hold"], "there is no terminal; leave --hold out"),
        (["resume", "--hold", "--json"], "leave --no-ui, --json and --quiet out"),
    ],
)
def test_wrong_usage_gets_one_line(cli: Cli, arguments: list[str], line: str) -> None:
    assert line in cli.refused(*arguments)


def test_without_a_command_the_options_are_those_of_train(cli: Cli) -> None:
    assert cli.refused("--epochs", "x").startswith("--epochs: expected")
    assert cli.refused("--no-ui", "train", "--lr", "x", "line-linear").startswith("--lr: ")


def test_a_terminal_never_sees_what_a_name_smuggles_in(cli: Cli) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\x9b31m\u202ename"
    for arguments in (["train", hostile], [hostile], ["train", "--set", f"{hostile}=1"]):
        line = cli.refused(*arguments)
        assert line.isprintable()
        assert "\u202e" not in line


def test_traceback_shows_where_a_refusal_comes_from(cli: Cli) -> None:
    err = cli("train", "nope", "--traceback", code=2).err
    assert err.startswith("Traceback (most recent call last)")
    assert err.splitlines()[-1].startswith("fivestep: no preset is called")


def test_an_error_of_our_own_is_one_line_too(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "as_json", lambda: 1 / 0)
    err = cli("presets", "--json", code=1).err
    assert err.endswith("ZeroDivisionError: division by zero; --traceback shows where\n")
    assert err.count("\n") == 1


def test_help_offers_nothing_that_does_nothing(cli: Cli) -> None:
    assert "--epochs" not in cli("eval", "--help").out
    assert "opens the choosing screen" in " ".join(cli("--help").out.split())
    assert "--csv" not in cli("export", "--help").out


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"fivestep {fivestep.__version__}\n"


@pytest.mark.parametrize("command", [[], ["train"], ["presets"], ["show"]])
def test_help(cli: Cli, command: list[str]) -> None:
    assert cli(*command, "--help").out.startswith(" ".join(["Usage: fivestep", *command]))


def test_presets_as_objects(cli: Cli) -> None:
    presets = json.loads(cli("presets", "--json").out)
    assert [preset["name"] for preset in presets] == registry.names()
    assert [preset["name"] for preset in presets if preset["default"]] == [registry.DEFAULT]
    for preset in presets:
        assert preset["data"]
        assert preset["command"] == f"fivestep train {preset['name']}"


def test_presets_as_a_table(cli: Cli) -> None:
    head, *rows = cli("presets").out.splitlines()
    assert head.split("  ")[0] == "preset"
    assert [row.split()[0] for row in rows] == registry.names()


@pytest.mark.parametrize("columns", [30, 50, 80, 120, 200])
def test_the_table_fits_the_terminal(columns: int) -> None:
    expected = "98 % accuracy after 20 epochs, in about 12 s on 2 cores of a small machine"
    rows = [
        ("preset", "data", "model", "parameters", "what to expect"),
        ("digits-cnn", "handwritten digits 8x8", "cnn", "9,930", expected),
    ]
    text = listing.table(rows, columns)
    assert max(map(len, text.splitlines())) < columns
    words = text.split()
    assert [word for word in expected.split() if word not in words] == []


def test_show_prints_a_recipe_that_can_be_run_again(cli: Cli, tmp_path: Path) -> None:
    first = cli("show", "spirals-mlp", "--lr", "0.25", "--set", "dataset.arms=2").out
    assert first.startswith("# fivestep train spirals-mlp --lr 0.25 --set dataset.arms=2\n")
    file = tmp_path / "again.toml"
    file.write_text(first, encoding="utf-8")
    assert cli("show", str(file)).out.splitlines()[1:] == first.splitlines()[1:]


def test_options_may_stand_before_the_preset(cli: Cli) -> None:
    before = cli("show", "--seed", "5", "line-linear", "--epochs", "2").out.splitlines()
    behind = cli("show", "line-linear", "--epochs", "2", "--seed", "5").out.splitlines()
    assert behind[1:] == before[1:]


TOLD = """
import sys
from fivestep.tui.cli import app
for line in sys.argv[1:]:
    code = app.run(line.split())
    print(line, code, *{"torch", "numpy", "textual", "sklearn"} & {*sys.modules}, file=sys.stderr)
"""


def test_what_can_be_told_without_torch_is() -> None:
    wrong = {"train nope": 2, "train --epochs 0": 2, "train --break los>3": 2}
    right = dict.fromkeys(("train --help", "--help", "show", "presets", "--version"), 0)
    told = python("-c", TOLD, *wrong, *right).stderr.splitlines()
    assert {f"{line} {code}" for line, code in (wrong | right).items()} <= {*told}


FULL = "fivestep: some lines could not be written: No space left on device\n"


@pytest.mark.parametrize(
    ("streams", "code", "told"), [("<&- >&-", 0, ""), ("> /dev/full", 1, FULL)]
)
def test_closed_streams_are_no_error_and_a_full_disk_is_told(
    streams: str, code: int, told: str
) -> None:
    command = ["sh", "-c", f'"$0" -m fivestep presets {streams}', sys.executable]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, told)


class Slow:
    """A pipe that takes three bytes at a time, and sometimes none."""

    def __init__(self) -> None:
        self.taken = b""
        self.calls = 0

    def fileno(self) -> int:
        return sys.__stdout__.fileno() if sys.__stdout__ else 1

    def write(self, data: bytes) -> int | None:
        self.calls += 1
        if self.calls % 2:
            return None
        self.taken += bytes(data[:3])
        return len(data[:3])

    def flush(self) -> None:
        pass


def test_output_is_written_whole_through_a_pipe_that_takes_little() -> None:
    pipe = Slow()
    output = Output(pipe)
    output.write("not one byte may be lost\n")
    output.flush()
    assert pipe.taken == b"not one byte may be lost\n"
    assert output.error is None


def test_what_an_encoding_lacks_becomes_a_question_mark() -> None:
    pipe = Slow()
    output = Output(pipe, "ascii")
    output.write("5 µs — ok\n")
    output.flush()
    assert pipe.taken == b"5 ?s ? ok\n"


@pytest.mark.parametrize("command", [["eval"], ["explain"]])
def test_one_of_several_processes_is_refused_and_one_line_says_so(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert cli.refused(*command).startswith("this is one of 2 processes (WORLD_SIZE), as torchrun")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("fivestep.tui.terminal.output.LINGER", 0)
    assert cli(*command, code=2) == ("", "")


def test_a_run_under_way_says_how_to_stop_it(tmp_path: Path, cli: Cli) -> None:
    run = RunDirectory.create(tmp_path, "one", "digits-cnn")
    try:
        run.write_meta({"format": 1, "name": "one"})
        shown = cli("runs", "show", "one", "--runs-dir", str(tmp_path)).out
    finally:
        run.close()
    assert f"to stop      kill {os.getpid()} (after the batch under way, and saved)" in shown
    assert "to stop" not in cli("runs", "show", "one", "--runs-dir", str(tmp_path)).out
