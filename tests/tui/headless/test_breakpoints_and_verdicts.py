"""Without a screen: breakpoints end a run, a broken loop says so, verdicts are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fivestep.core.protocol.faults import FAULTS, Fault
from fivestep.core.protocol.record_fields import REPORT
from fivestep.tui.headless import reporter as verdict_watch

from ..conftest import Cli


def ran(cli: Cli, *arguments: str, code: int = 0) -> str:
    """What a run of line-linear printed on stdout."""
    out, err = cli("train", "line-linear", "--device", "cpu", *arguments, code=code)
    assert err == "" or code
    return out


def records(out: str, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(row) for row in out.splitlines()]
    for record in found:
        assert list(record) == ["type", *REPORT[record["type"]]]
    return [record for record in found if record["type"] == kind]


# Breakpoints.


def test_a_breakpoint_ends_the_run_with_a_report_and_the_way_on(cli: Cli) -> None:
    out = ran(cli, "--no-ui", "--name", "one", "--break", "grad_norm < 1", code=3)
    rows = out.splitlines()
    start = next(i for i, row in enumerate(rows) if row.startswith("breakpoint grad_norm < 1 ("))
    assert rows[start].endswith("at epoch 1, batch 4, before update")
    assert rows[start + 1].startswith("the newest batch: features float32 (32, 1), labels float32")
    assert ", loss 0." in rows[start + 1]
    assert rows[start + 2].split()[:2] == ["layer", "type"]
    assert rows[start + 3].split()[:2] == ["1", "Linear"]
    assert rows[start + 4].startswith("stopped after 0 epochs, 4 batches")
    assert rows[start + 5] == "saved at batch 4; to resume: fivestep resume one"


def test_a_resumed_run_takes_breakpoints_too_and_goes_on_past_them(cli: Cli) -> None:
    ran(cli, "--no-ui", "--name", "one", "--break", "batch > 2", code=3)
    out = cli("resume", "one", "--no-ui", "--break", "epoch == 2 and batch > 4", code=3).out
    assert "at epoch 2, batch 5, before zero_grad" in out
    (end,) = records(cli("resume", "one", "--json").out, "run_end")
    assert (end["outcome"], end["batches"]) == ("finished", 500)


def test_the_record_of_a_breakpoint(cli: Cli) -> None:
    arguments = ["--json", "--no-save", "--break", "epoch > 9", "--break", "loss < 1"]
    out = ran(cli, *arguments, code=3)
    (told,), (change,), (end,) = (records(out, kind) for kind in ("break", "change", "run_end"))
    assert told["condition"] == "loss < 1"
    assert told["values"] == {"loss": told["loss"]}
    assert told["loss"] < 1
    assert told["where"].endswith(f"batch {told['batch']}, before backward")
    assert told["outputs"] == [{"path": "", "dtype": "float32", "shape": [32, 1]}]
    assert [row["type"] for row in told["layers"]] == ["Linear"]
    assert told["layers"][0]["grad_norm"] is None  # cleared, and not yet filled
    assert change["kind"] == "break"
    assert end["outcome"] == "stopped"
    assert end["reason"].startswith("breakpoint loss < 1 (loss 0.")
    batches = records(out, "batch")
    assert batches[-1]["batch"] == told["batch"]  # that batch was finished


def test_an_infinite_loss_is_caught_before_it_does_harm(cli: Cli) -> None:
    out = ran(cli, "--json", "--no-save", "--lr", "1000", "--break", "nonfinite", code=3)
    (told,) = records(out, "break")
    assert told["loss"] is None
    assert records(out, "run_end")[0]["outcome"] == "stopped"


def test_quiet_says_it_in_one_line_on_stderr(cli: Cli) -> None:
    arguments = ["train", "line-linear", "--quiet", "--no-save", "--break", "val_metric > 0"]
    out, err = cli(*arguments, code=3)
    assert out == ""
    assert err.startswith("fivestep: breakpoint val_metric > 0: val_metric 0.")
    assert err.count("\n") == 1


def test_a_breakpoint_that_never_fires_changes_nothing(cli: Cli) -> None:
    losses = [
        [b["loss"] for b in records(ran(cli, "--json", "--epochs", "2", *more), "batch")]
        for more in ([], ["--break", "grad_norm > 1e9"])
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train", "--break", "los > 3"], '--break "los > 3": column 1: there is no "los"; did'),
        (["resume", "--break", "loss >"], "column 7: something is missing at the end"),
        (["train", "no/such.py", "--break", "f1 <"], "column 5: something is missing"),
        (["train", "--break-it", "zero"], "there are no-zero-grad, late-zero-grad"),
        (["resume", "--break-it", "no-step"], "there is no option --break-it"),
    ],
)
def test_what_can_not_be_understood_is_refused(cli: Cli, arguments: list[str], line: str) -> None:
    assert line in cli.refused(*arguments)


def test_a_name_that_only_the_run_can_know_is_looked_up_in_it(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "from fivestep.core.training.training import Training\n"
        "def training():\n"
        "    model = torch.nn.Linear(3, 2)\n"
        "    data = [(torch.ones(4, 3), torch.zeros(4, 2))]\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "    return Training(model, torch.nn.MSELoss(), optimizer, data, data, epochs=9,\n"
        "                    metrics={'largest': lambda outputs, labels: outputs.abs().max()})\n"
    )
    quiet = ("train", str(file), "--quiet", "--break")
    assert "breakpoint largest < 9" in cli(*quiet, "largest < 9", code=3).err
    told = cli.refused(*quiet, "smallest < 9")
    assert told.startswith('--break: column 1: there is no "smallest"')


# A loop that is broken on purpose.


def test_a_broken_run_says_so_before_and_after(cli: Cli) -> None:
    info = FAULTS[Fault.NO_STEP]
    out = ran(cli, "--no-ui", "--epochs", "2", "--break-it", "no-step")
    _, _, _, before, *epochs, end, after = out.splitlines()
    assert before == f"broken on purpose: {info.label}. What to expect: {info.expect}"
    assert len({row.split("batches/s")[0].split("train loss")[1][:20] for row in epochs}) == 1
    assert end.endswith("broken on purpose: step left out")
    assert after == f"why ({info.label}): {info.why}"


def test_its_records_and_its_directory_say_so(cli: Cli, tmp_path: Path) -> None:
    broken = ["--break-it", "no-step", "--break-it", "eval-mode"]
    out = ran(cli, "--json", "--epochs", "2", "--name", "one", *broken)
    changes, (end,) = records(out, "change"), records(out, "run_end")
    assert [(c["kind"], c["batches_done"]) for c in changes] == [("switch", 0)] * 2
    assert {b["loss"] for b in records(out, "batch") if b["batch"] == 1} != set()
    assert sorted(end["switches"]) == ["eval-mode", "no-step"]
    shown = cli("runs", "show", "one").out
    assert f"broken       on purpose: {', '.join(end['switches'])}" in shown
    folder = tmp_path / "runs" / "one"
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["switches"] == end["switches"]
    events = [json.loads(row) for row in (folder / "events.jsonl").read_text().splitlines()]
    assert [e["text"] for e in events if e.get("kind") == "switch"] == [c["text"] for c in changes]


def test_what_goes_on_from_a_broken_run_says_so_too(cli: Cli) -> None:
    broken = ["--break-it", "lr-x100", "--break", "batch > 2"]
    ran(cli, "--no-ui", "--name", "one", *broken, code=3)
    rows = cli("resume", "one", "--no-ui", "--break", "batch > 4", code=3).out.splitlines()
    assert rows[3].startswith("broken on purpose: multiply the learning rate by 100.")
    assert rows[-3].endswith("broken on purpose: lr ×100")


def test_a_run_that_nobody_broke_says_nothing_of_it(cli: Cli) -> None:
    assert "purpose" not in ran(cli, "--no-ui", "--epochs", "1")
    assert records(ran(cli, "--json", "--epochs", "1"), "run_end")[0]["switches"] == []


# Verdicts.


@pytest.fixture
def _all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict_watch, "SPACING", 0.0)


DIVERGING = ("--no-save", "--lr", "1.1", "--epochs", "4")


@pytest.mark.usefixtures("_all_the_time")
def test_a_run_that_diverges_is_told_of_once(cli: Cli) -> None:
    out = ran(cli, *DIVERGING, "--no-ui")
    (row,) = [row for row in out.splitlines() if row.startswith("danger: ")]
    assert row.startswith("danger: the loss exploded from 1.49 to")
    assert row.endswith(
        "divide the learning rate by 10; warm it up; clip the gradients (clip_norm = 1)"
    )
    (told,) = records(ran(cli, *DIVERGING, "--json"), "verdict")
    assert (told["rule"], told["severity"]) == ("lr too high", "danger")
    assert told["batches_done"] >= 20


@pytest.mark.usefixtures("_all_the_time")
def test_of_a_broken_loop_it_is_told_what_to_put_right(cli: Cli) -> None:
    out = ran(cli, "--json", "--no-save", "--break-it", "no-step")
    (told,) = records(out, "verdict")
    assert told["rule"] == "not falling"
    assert told["next"] == "put right again what was changed on purpose: leave out optimizer.step()"


@pytest.mark.usefixtures("_all_the_time")
def test_nothing_is_told_of_a_healthy_run(cli: Cli) -> None:
    assert records(ran(cli, "--json", "--no-save"), "verdict") == []
    out = ran(cli, "--no-ui", "--no-save")
    assert not [row for row in out.splitlines() if row.startswith(("note", "warning", "danger"))]
