"""The command as a process: what it does before it has read a command line."""

from __future__ import annotations

from typing import Any

import pytest

from fivestep.tui.app import open as screen
from fivestep.tui.cli import app as cli
from fivestep.tui.cli import arguments as running
from fivestep.tui.cli import main as entry


def test_alone_it_opens_the_screen_as_the_command_line_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[Any] = []
    codes: list[int] = []
    monkeypatch.setenv("FIVESTEP_RUNS", "elsewhere")
    monkeypatch.setattr(screen, "open_screen", lambda *said: opened.append(said) or 7)
    monkeypatch.setattr(running, "on_a_terminal", lambda: True)
    monkeypatch.setattr(entry, "on_a_terminal", lambda: True)
    monkeypatch.setattr(entry, "claim_process", lambda: None)
    monkeypatch.setattr(entry, "_leave", codes.append)
    monkeypatch.setattr("sys.argv", ["fivestep"])
    entry.main()
    codes.append(cli.run([]))
    assert codes == [7, 7]
    assert opened[0] == opened[1]
    assert opened[0][0] is None
