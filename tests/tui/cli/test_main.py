"""The command as a process: what it does before it has read a command line."""

from __future__ import annotations

from pathlib import Path
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


def test_a_working_folder_that_was_deleted_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    monkeypatch.setattr(entry, "claim_process", lambda: None)
    monkeypatch.setattr(entry, "_leave", leave)
    monkeypatch.setattr("sys.argv", ["fivestep", "train", "line-linear"])
    with pytest.raises(SystemExit, match="2"):
        entry.main()
    told = "fivestep: the working folder was deleted; change to another one\n"
    assert capsys.readouterr().err == told
