"""The commit of the working folder, read from git's own files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fivestep.core.storage.environment import git_state

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="makes repositories with git")


def git(folder: Path, *arguments: str) -> str:
    names = {
        f"GIT_{who}_{what}": "me" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=os.environ | names | alone,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


@needs_git
def test_the_commit_is_found_wherever_git_keeps_it(repository: Path, tmp_path: Path) -> None:
    inner = repository / "a" / "b"
    inner.mkdir(parents=True)
    first = git(repository, "rev-parse", "HEAD")
    assert git_state(inner) == {"commit": first}
    git(repository, "pack-refs", "--all")
    assert git_state(inner) == {"commit": first}
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    second = git(repository, "rev-parse", "HEAD")
    assert git_state(inner) == {"commit": second}
    git(repository, "worktree", "add", "-q", "-b", "topic/one", str(tmp_path / "tree"), first)
    assert git_state(tmp_path / "tree") == {"commit": first}
    git(repository, "checkout", "-q", "--detach")
    assert git_state(repository) == {"commit": second}


def test_no_repository_no_commit(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "head",
    ["ref: ../../secret", "ref: refs/../../secret", "ref: HEAD", "\x1b[2J", "", "0" * 39, "g" * 40],
    ids=str.__repr__,
)
def test_a_head_that_leads_elsewhere_is_not_followed(tmp_path: Path, head: str) -> None:
    (tmp_path / "secret").write_text("a" * 40)
    folder = tmp_path / "x" / ".git"
    folder.mkdir(parents=True)
    (folder / "HEAD").write_text(head)
    assert git_state(tmp_path / "x") is None
    (folder / "HEAD").unlink()
    os.mkfifo(folder / "HEAD")
    assert git_state(tmp_path / "x") is None
