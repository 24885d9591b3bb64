"""Runs that were stopped, and a shell to go on with them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from digest import digest, log_of

from fivestep.core.protocol.commands import Stop
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.tui.cli import app as cli
from fivestep.tui.headless import text_reporter

SIZE = ("--epochs", "4", "--batch-size", "30")  # of iris: 3 batches an epoch


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Shell:
    """Types commands, and can stop a run after a batch."""

    def __init__(self, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, monkeypatch
        self.out = self.err = ""

    def __call__(
        self,
        *arguments: str,
        stop: int = 0,
        code: int = 0,
        deed: Callable[[], object] = lambda: None,
    ) -> str:
        """The command's output, stderr behind it; the deed is done two batches before the stop."""
        with self._patch.context() as patch:
            if stop:
                begin, sessions = text_reporter.TextReporter.begin, []

                def begins(reporter: Any, session: Any) -> None:
                    sessions.append(session)
                    begin(reporter, session)

                def batch(_: Any, __: int, ___: int, done: int, *____: Any) -> None:
                    if done == stop - 2:
                        deed()
                    if done == stop:
                        sessions[0].send(Stop())

                patch.setattr(text_reporter.TextReporter, "begin", begins)
                patch.setattr(text_reporter.TextReporter, "batch", batch)
            found = cli.run(list(arguments))
        self.out, self.err = self._capsys.readouterr()
        assert found == code, self.out + self.err
        return self.out + self.err

    def train(self, name: str, *more: str, preset: str = "iris-mlp", **how: Any) -> str:
        return self("train", preset, *SIZE, "--name", name, "--no-ui", *more, **how)

    def resume(self, *arguments: str, code: int = 0, stop: int = 0) -> str:
        return self("resume", *arguments, "--no-ui", code=code, stop=stop)

    def refused(self, *arguments: str) -> str:
        """The one line that says why a run can't be gone on with."""
        self("resume", *arguments, "--no-ui", code=2)
        assert self.err.count("\n") == 1
        assert self.err.startswith("fivestep: ")
        return self.err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(capsys, monkeypatch)


def run(name: str) -> Path:
    return Path(os.environ["FIVESTEP_RUNS"]) / name


def mark(path: Path) -> str:
    """All that training decides in a run's last checkpoint."""
    state = CheckpointStore(path / "checkpoints").newest().state
    left_out = ("about", "log", "clock")
    return digest({key: value for key, value in state.items() if key not in left_out})


def same(one: Path, other: Path) -> bool:
    return mark(one) == mark(other) and log_of(one) == log_of(other)


def rates(path: Path) -> list[float]:
    return [record["lr"] for record in log_of(path) if record["type"] == "batch"]


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def files(path: Path) -> dict[str, bytes]:
    """Everything in a run's folder but the lock."""
    there = (file for file in path.rglob("*") if file.is_file() and file.name != "lock")
    return {str(file.relative_to(path)): file.read_bytes() for file in there}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what `stopped` gives is kept once it was trained."""
    return tmp_path_factory.mktemp("trained") / "runs"


@pytest.fixture
def stopped(shell: Shell, trained: Path) -> Path:
    """A run that was stopped in its second epoch, and `whole`, which was not."""
    if not trained.exists():
        shell.train("whole")
        shell.train("stopped", stop=5)
        assert "saved at batch 5; to resume: fivestep resume stopped" in shell.out
        shutil.copytree(run("whole").parent, trained)
    shutil.copytree(trained, run("whole").parent, dirs_exist_ok=True)
    return run("stopped")


class Killed(BaseException):
    """In the place of SIGKILL."""


def killed_at_the_start(shell: Shell, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Go on, and be killed before the first checkpoint of the longer run."""
    with monkeypatch.context() as patch:

        def kill(_: Any) -> None:
            raise Killed

        patch.setattr("fivestep.core.session.session.Session.start", kill)
        with pytest.raises(Killed):
            cli.run(["resume", *arguments, "--no-ui"])
    release()


def release() -> None:
    """The locks of a process that is gone are free."""
    from fivestep.core.storage import run_lock

    for lock in list(run_lock._held):
        lock.release()


def edit(path: Path, old: str, new: str) -> None:
    text = (path / "recipe.toml").read_text()
    assert old in text
    (path / "recipe.toml").write_text(text.replace(old, new))
