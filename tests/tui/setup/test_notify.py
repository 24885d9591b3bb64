"""`--notify`: a person's command hears how a run ended, and can't harm it."""

from __future__ import annotations

import atexit
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import fivestep
from fivestep.core.protocol.record_fields import NOTIFY
from fivestep.tui.setup import notify
from fivestep.tui.setup.notify import Notifier

from ..conftest import Cli

RUN = ("train", "line-linear", "--no-ui", "--device", "cpu", "--epochs", "2")


def test_a_command_gets_the_outcome_once_and_what_it_says_is_passed_on(
    cli: Cli, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    script = f"cat >> {shlex.quote(str(told))}; printf 'h\\033[31mi'; exit 3"
    out, err = cli(*RUN, "--name", "one", "--notify", shlex.join(["sh", "-c", script]))
    assert "finished after 2 epochs" in out
    assert err.splitlines() == [
        "fivestep: --notify: hi",
        "fivestep: --notify: sh ended with exit code 3",
    ]
    (line,) = told.read_text().splitlines()
    values = json.loads(line)
    assert list(values) == list(NOTIFY)
    assert values["text"] == "line-linear finished: 2 epochs trained"
    assert (values["run"], values["state"], values["epochs"]) == ("one", "finished", 2)
    assert Path(values["directory"]).name == "one"


def test_a_failure_is_told_too(cli: Cli, tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = shlex.join(["sh", "-c", f"cat > {shlex.quote(str(told))}"])
    cli(*RUN, "--no-save", "--lr", "1000", "--notify", command, code=1)
    values = json.loads(told.read_text())
    assert (values["state"], values["run"], values["directory"]) == ("failed", None, None)
    assert values["where"].startswith("epoch 1, batch ")


def test_a_command_that_hangs_is_ended_and_the_run_is_done_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "LIMIT", 0.1)
    one = Notifier("sh -c 'sleep 60 & yes; wait'")
    one.tell({"text": "a"})
    one.tell({"text": "b"})
    one.wait()
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "fivestep: --notify: sh took longer than 0.1 s, it was ended"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("nowhere-to-be-found -x", '--notify: there is no program "nowhere-to-be-found"'),
        ("sh -c 'x", '--notify "sh -c \'x": No closing quotation'),
    ],
)
def test_a_command_that_can_not_run_is_refused_before_the_run(
    cli: Cli, command: str, line: str
) -> None:
    assert cli.refused(*RUN, "--notify", command) == line


def test_a_loop_of_ones_own_tells_the_command_that_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    command = shlex.join(["sh", "-c", f"cat > {shlex.quote(str(told))}"])
    monkeypatch.setenv("FIVESTEP_NOTIFY", command)
    waiting: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", waiting.append)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with fivestep.watch(model, optimizer, save="mine") as watched:
        for x in watched([torch.ones(2, 3)]):
            optimizer.zero_grad()
            model(x).sum().backward()
            optimizer.step()
    for at_exit in waiting:  # the process ends
        if isinstance(getattr(at_exit, "__self__", None), Notifier):
            at_exit()
    values = json.loads(told.read_text())
    assert list(values) == list(NOTIFY)
    assert (values["run"], values["state"], values["batches"]) == ("mine", "finished", 1)
