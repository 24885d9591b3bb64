"""`fivestep.watch` as README shows it, and what it prints."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import python
from terminal import Terminal
from torch import nn
from torch.utils.data import DataLoader

import fivestep
from fivestep.core.foreign.script import ScriptLoop
from fivestep.core.protocol.commands import SetLR, Stop
from fivestep.core.protocol.steps import State
from fivestep.core.storage.log_file import read_log
from fivestep.core.storage.run_directory import RunDirectory, RunError
from fivestep.core.storage.run_index import export_rows, list_runs, summary
from fivestep.tui.headless import loop_lines
from fivestep.tui.setup.attach import attach, live_runs
from fivestep.tui.setup.options import runs_folder

from ..conftest import Cli

FLAGS = re.MULTILINE | re.DOTALL
README = Path(__file__).parents[3] / "README.md"


def test_the_example_in_readme_runs_and_tells_of_itself() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), FLAGS)
    (example,) = [block for block in blocks if "fivestep.watch" in block]
    done = python("-c", example)
    assert done.stderr == ""
    first, *epochs, end, times = done.stdout.splitlines()
    assert first.startswith("watching Linear, 4 parameters, SGD lr 0.1000; cpu, ")
    assert [line.split()[:2] for line in epochs] == [["epoch", str(n)] for n in (1, 2, 3)]
    assert all("4 batches  train loss " in line for line in epochs)
    assert end.startswith("finished after 3 epochs, 12 batches in ")
    assert re.search(r"backward \d+ %", times)
    assert re.search(r"forward \d+ %", times)
    assert "validation" not in times


def test_what_is_unknown_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with fivestep.watch(model, optimizer) as watched:
        for x in watched([torch.ones(4, 2), torch.ones(4, 2)]):
            model(x).backward(torch.ones(4, 2))
            optimizer.step()
    out = capsys.readouterr().out
    assert "train loss" not in out
    assert "zero_grad" not in out  # this loop has none
    assert re.search(r"loss ~\d+ %", out)


LOOP = """
import sys, torch, fivestep
from torch import nn
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
lines = iter(sys.stdin.readline, "")
with fivestep.watch(model, optimizer) as watched:
    for x in watched([torch.ones(4, 3)] * 100_000):
        optimizer.zero_grad()
        model(x).mean().backward()
        optimizer.step()
        if watched.progress.batches_done == 500:
            OWN
"""


def test_the_live_line_is_cut_to_a_narrow_terminal() -> None:
    code = LOOP.replace("OWN", "pass")
    with Terminal(command=(sys.executable, "-c", code), columns=30, rows=12) as terminal:
        for columns in (30, 20):
            terminal.resize(columns, 12)
            rows: set[str] = set()
            while len(rows) < 3:  # drawn again and again, always in one row
                shown = terminal.until("epoch 1  batch ")
                terminal.read()
                rows |= {line for line in shown.splitlines() if line.startswith("epoch 1")}
            assert len([line for line in terminal.screen.display if "epoch 1" in line]) == 1


def test_the_live_line_gives_way_to_what_the_script_prints() -> None:
    own = "print('my own line'); print('and half a', end='', flush=True); next(lines); print()"
    code = LOOP.replace("OWN", own)
    with Terminal(command=(sys.executable, "-c", code)) as terminal:
        terminal.until("and half a")
        shown = [line.rstrip() for line in terminal.screen.display if line.strip()]
        assert shown[-2:] == ["my own line", "and half a"]
        terminal.type("\r")
        terminal.until("loss -")


def test_without_a_terminal_there_is_a_sign_of_life(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_lines, "SIGN_OF_LIFE", 0.0)
    _trained()
    assert "epoch 1  batch 1/2" in capsys.readouterr().out


def test_of_several_processes_the_first_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    _trained()
    assert capsys.readouterr().out == ""


def _trained() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with fivestep.watch(model, optimizer) as watched:
        for x in watched([torch.ones(4, 2), torch.ones(4, 2)]):
            model(x).mean().backward()
            optimizer.step()


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_labels_that_are_stretched_over_the_outputs_are_told_of_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, criterion = nn.Linear(2, 1), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with fivestep.watch(model, optimizer, criterion) as watched:
        for x in watched([torch.rand(4, 2)] * 3):
            criterion(model(x), x.sum(1)).backward()
            optimizer.step()
    out = capsys.readouterr().out
    assert out.count("danger: outputs (4, 1) meet labels (4,): the loss compares each with") == 1


def test_a_failure_comes_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loop() -> None:
        with fivestep.watch(model, optimizer) as watched:
            for x in watched(torch.rand(5, 2).split(2)):
                model(x).mean().backward()
                optimizer.step()

    with pytest.raises(ValueError, match="more than 1 value per channel"):
        loop()
    out = capsys.readouterr().out
    place = r"test_external_loop\.py:\d+ in loop, epoch 1, batch 3, forward, layer 1: "
    assert re.search(f"failed in .*{place}", out)
    assert ": ValueError: Expected more than 1 value" in out
    assert "drop_last=True in the DataLoader, or another batch_size" in out


def test_ctrl_c_passes_through_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loop() -> None:
        with fivestep.watch(model, optimizer) as watched:
            for _ in watched([1, 2]):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert "stopped after 0 epochs, 0 batches" in capsys.readouterr().out


def parts(lr: float = 0.1) -> tuple[nn.Module, torch.optim.Optimizer, list[torch.Tensor]]:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    return model, torch.optim.SGD(model.parameters(), lr=lr), [torch.ones(4, 2)] * 5


def trained(watched: Any, model: nn.Module, optimizer: Any, batches: list[torch.Tensor]) -> None:
    for _ in range(2):
        for x in watched(batches):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()


def test_a_saved_loop_is_a_run_to_the_other_commands(
    tmp_path: Path, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    model, optimizer, batches = parts()
    with fivestep.watch(model, optimizer, save="mine", runs_dir=tmp_path) as watched:
        assert summary(tmp_path / "mine").state == "running"
        trained(watched, model, optimizer, batches)
    run = summary(tmp_path / "mine")
    assert (run.state, run.epochs, run.epochs_planned) == ("finished", 2, None)
    rows = list(export_rows(RunDirectory.look(tmp_path, "mine"), "batches"))
    assert [row["batches_done"] for row in rows] == list(range(1, 11))
    assert rows[-1]["loss"] == watched.latest().loss
    assert len(list(export_rows(RunDirectory.look(tmp_path, "mine"), "epochs"))) == 2
    capsys.readouterr()
    for command in (("resume", "mine"), ("eval", "--run", "mine")):
        line = cli.refused(*command, "--runs-dir", str(tmp_path))
        assert line.startswith("mine is a loop of your own, which resumes by itself")


def test_a_saved_loop_that_fails_says_where_and_what_was_wrong(tmp_path: Path) -> None:
    model, optimizer, batches = parts(lr=50.0)

    def loop() -> None:
        with fivestep.watch(model, optimizer, save="bad", runs_dir=tmp_path) as watched:
            for _ in range(12):
                trained(watched, model, optimizer, batches)
            raise ValueError("my own")

    with pytest.raises(ValueError, match="my own"):
        loop()
    directory = RunDirectory.look(tmp_path, "bad")
    outcome, events = directory.read_outcome()[0], list(read_log(directory.events))
    assert outcome is not None
    assert (outcome["state"], outcome["reason"]) == ("failed", "ValueError: my own")
    assert outcome["where"] == "epoch 25, batch 1"
    assert re.search(r"test_external_loop\.py:\d+ in loop$", outcome["line"])
    assert [event["text"].split(";")[0] for event in events] == [
        "danger: the loss became NaN or infinite by batch 9"
    ]


def test_a_name_that_is_taken_or_unfit_is_refused_before_training(tmp_path: Path) -> None:
    model, optimizer, _ = parts()
    with fivestep.watch(model, optimizer, save="mine", runs_dir=tmp_path):
        pass
    with (
        pytest.raises(RunError, match=r"there is a run mine in .*: save= another name"),
        fivestep.watch(model, optimizer, save="mine", runs_dir=tmp_path),
    ):
        pass
    with pytest.raises(RunError, match="is no name for a run"):
        fivestep.watch(model, optimizer, save="../mine", runs_dir=tmp_path)
    assert not model._forward_hooks


def test_a_disk_that_takes_no_run_stops_no_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    model, optimizer, batches = parts()
    with fivestep.watch(model, optimizer, save=True, runs_dir=tmp_path / "file") as watched:
        trained(watched, model, optimizer, batches)
    out = capsys.readouterr().out
    assert "nothing is kept: " in out
    assert "finished after 2 epochs" in out


def test_a_run_that_can_not_be_described_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunDirectory, "write_meta", full)
    model, optimizer, batches = parts()
    with fivestep.watch(model, optimizer, save=True, runs_dir=tmp_path) as watched:
        trained(watched, model, optimizer, batches)
    assert "No space left on device" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_a_loop_whose_process_died_is_not_told_to_resume(tmp_path: Path) -> None:
    model, optimizer, batches = parts()
    with fivestep.watch(model, optimizer, save="mine", runs_dir=tmp_path) as watched:
        trained(watched, model, optimizer, batches)
    (tmp_path / "mine" / "outcome.json").unlink()
    run = summary(tmp_path / "mine")
    assert run.state == "crashed"
    assert run.reason.endswith("a loop of your own resumes by itself")


def test_two_watches_are_two_runs_and_each_line_says_whose_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, optimizer, batches = parts()
    with (
        fivestep.watch(model, optimizer, save="maker", runs_dir=tmp_path) as one,
        fivestep.watch(
            nn.Linear(1, 1),
            torch.optim.SGD(nn.Linear(1, 1).parameters()),
            save=True,
            runs_dir=tmp_path,
        ) as two,
    ):
        trained(lambda batches: one(two(batches)), model, optimizer, batches)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("maker: epoch 1  5 batches  train loss ") for line in lines)
    assert any(re.match(r"\S+: epoch 1  5 batches  \S+ batches/s$", line) for line in lines)
    assert {run.state for run in list_runs(tmp_path)} == {"finished"}
    assert len(list_runs(tmp_path)) == 2


def test_a_watch_that_ends_last_says_whose_its_closing_lines_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, two = parts(), parts()
    with fivestep.watch(*one[:2]), fivestep.watch(*two[:2]):
        pass
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("Linear: ") for line in lines] == [False, *[True] * (len(lines) - 1)]
    assert sum(line.startswith("Linear: finished after ") for line in lines) == 2


def test_a_loop_that_leaves_the_process_says_with_what_and_where(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, optimizer, _ = parts()
    with pytest.raises(SystemExit), fivestep.watch(model, optimizer):
        sys.exit("no more data")
    expected = "stopped, left with exit code 1 (no more data) in epoch 1, batch 1, after 0 epochs"
    assert expected in capsys.readouterr().out


def test_an_epoch_of_several_optimizers_is_told_with_the_loss_of_each() -> None:
    out = io.StringIO()
    lines = loop_lines.LoopLines(out)
    loop = ScriptLoop(lines)
    loop.install()
    lines.begin(loop)
    models = nn.Linear(1, 1), nn.Linear(1, 1)
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.0) for model in models]
    for batch in DataLoader(torch.ones(4, 1), batch_size=2):
        for model, optimizer in zip(models, optimizers, strict=True):
            model(batch).mean().backward()
            optimizer.step()
    loop.finish()
    lines.end()
    assert re.search(r"last loss of Linear \S+, of Linear 2 \S+  ", out.getvalue())


def test_a_reason_with_an_escape_sequence_is_the_same_everywhere(
    tmp_path: Path, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    model, optimizer, _ = parts()
    with (
        pytest.raises(RuntimeError),
        fivestep.watch(model, optimizer, save="mine", runs_dir=tmp_path),
    ):
        raise RuntimeError("boom \x1b[31m")
    assert "RuntimeError: boom, after 0 epochs" in capsys.readouterr().out
    assert summary(tmp_path / "mine").reason == "RuntimeError: boom"
    shown = cli("runs", "show", "mine", "--runs-dir", str(tmp_path)).out
    assert "RuntimeError: boom" in shown
    assert "[31m" not in shown


def test_output_that_nobody_reads_stops_no_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, written: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    model, optimizer, batches = parts()
    with fivestep.watch(model, optimizer) as watched:
        trained(watched, model, optimizer, batches)
    assert watched.progress.batches_done == 10
    assert watched.mistake is None


def test_ctrl_c_while_a_watch_begins_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    bare, stream = torch.autograd.backward, sys.stdout
    model, optimizer, _ = parts()
    monkeypatch.setattr(loop_lines, "learned", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        fivestep.watch(model, optimizer, save="mine", runs_dir=tmp_path),
    ):
        pass
    assert torch.autograd.backward is bare
    assert sys.stdout is stream
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_loops_that_are_watched_at_once_and_not_kept_have_names_of_their_own(cli: Cli) -> None:
    (model, optimizer, _), (other, others, _) = parts(), parts()
    with fivestep.watch(model, optimizer), fivestep.watch(other, others):
        assert len({run.name for run in live_runs(runs_folder())}) == 2


@pytest.mark.parametrize("save", [False, "one"])
def test_a_watched_loop_is_reached_and_steered_from_elsewhere(
    save: bool | str, tmp_path: Path, cli: Cli
) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    watched = fivestep.watch(model, optimizer, save=save)
    remotes = []

    def loop() -> None:
        (live,) = live_runs(runs_folder())
        assert (live.path is None) == (not save)
        remotes.append(attach(runs_folder(), live.name))
        remotes[0].send(SetLR(0.5))
        while True:
            for x in watched([torch.ones(4, 3)] * 100):
                optimizer.zero_grad()
                model(x).mean().backward()
                optimizer.step()
            if watched.latest().lr_factor != 1:
                remotes[0].send(Stop())

    def whole() -> None:
        with watched:
            loop()

    with pytest.raises(KeyboardInterrupt, match="stopped by hand"):
        whole()
    (remote,) = remotes
    assert watched.outcome.reason == "stopped by hand"
    remote.wait()
    assert remote.outcome.state is State.STOPPED
    remote.close()
    assert not live_runs(runs_folder())
