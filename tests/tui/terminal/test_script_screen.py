"""`fivestep run` on a terminal: the screen of a script, which is asked, steered and stopped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from terminal import Terminal

from fivestep.core.storage.run_index import summary
from fivestep.tui.setup.options import runs_folder

SCRIPT = """
import signal, sys
name = input("your name? ")
import torch
from torch import nn

model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
data = [(torch.ones(4, 3), torch.ones(4, 1))] * 50
loader = torch.utils.data.DataLoader(data, batch_size=None)
try:
    for epoch in range(1_000_000):
        for features, labels in loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(features), labels).backward()
            optimizer.step()
        sys.stdout.write(f"\\rthe {epoch}th epoch of {name}")
        sys.stdout.flush()
finally:
    print("\\x1b[31m\\x1b[2Jcleaned up")
"""


def test_a_script_is_asked_held_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(SCRIPT)
    with Terminal("run", "--name", "one", "mine.py") as terminal:
        terminal.until("waiting for the script's first batch")
        terminal.until("your name?")
        terminal.type("\r")
        terminal.until("enter sends")
        terminal.type("Ada\r")
        terminal.until("RUNNING")
        terminal.until(lambda text: re.search(r"the \d+th epoch of Ada", text))
        assert len(re.findall("epoch of Ada", terminal.text)) == 1
        assert "save" not in terminal.text.splitlines()[-1]
        terminal.type(" ")
        terminal.until("PAUSED")
        terminal.type("s")
        terminal.type(" ")
        terminal.until("RUNNING")
        terminal.keep = True
        terminal.type("\x03")
        terminal.until("stop the script")
        terminal.type("\x03\x03\x03")
        terminal.until("STOPPED")
        terminal.type("\x03" * 20)
        assert terminal.ended() == 130
        assert terminal.attributes == terminal.before
    left = terminal.sent.split(b"\x1b[?1049l")[-1].decode()  # after the screen
    assert "cleaned up" in left
    assert "\x1b[2J" not in left
    assert "KeyboardInterrupt" in left
    run = summary(runs_folder() / "one")
    assert (run.state, run.reason) == ("stopped", "stopped by hand")


def test_a_script_that_never_trains_runs_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Terminal("run", "--", "sh", "-c", "echo out; echo err >&2; tty; exit 9") as terminal:
        terminal.keep = True
        assert terminal.ended() == 9
        assert terminal.attributes == terminal.before
    left = terminal.sent.split(b"\x1b[?1049l")[-1].decode()
    assert re.search(r"out\s+err\s+/dev/", left)
