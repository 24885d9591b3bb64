"""What a run was started in: the commit of the working folder, read without running git."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from .files import read_bounded

_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF: Final = re.compile(r"refs/[A-Za-z0-9._/@+=#,%~-]+")
_LINKS: Final = 5
"""Most references that are followed from HEAD."""
_PACKED: Final = 64 << 20


def git_state(folder: Path) -> dict[str, str] | None:
    """The commit checked out in the repository around `folder`; None if there is none to find.

    Files of the repository are read, never executed: neither git nor its hooks run. Whether files
    differ from the commit is left out: only git itself knows.
    """
    try:
        folder = folder.resolve()
        for parent in (folder, *folder.parents):
            git = _git_folder(parent / ".git")
            if git is not None:
                commit = _commit(git)
                return None if commit is None else {"commit": commit}
    except (OSError, ValueError, RuntimeError):  # no permission, NUL in a path, a loop of links
        pass
    return None


def _git_folder(path: Path) -> Path | None:
    """The repository behind `.git`: a folder, or a file that names it (worktrees, submodules)."""
    if path.is_dir():
        return path if (path / "HEAD").is_file() else None
    if not path.is_file():
        return None
    text = _read(path)
    if not text.startswith("gitdir: "):
        return None
    return path.parent / text.removeprefix("gitdir: ")


def _commit(git: Path) -> str | None:
    common = git
    if (git / "commondir").is_file():  # a worktree keeps its own HEAD and shares the rest
        common = git / _read(git / "commondir")
    text = _read(git / "HEAD")
    for _ in range(_LINKS):
        if _COMMIT.fullmatch(text):
            return text
        name = text.removeprefix("ref: ")
        if name == text or not _REF.fullmatch(name) or ".." in name:
            return None
        text = _resolved(git, common, name)
    return None


def _resolved(git: Path, common: Path, name: str) -> str:
    for place in dict.fromkeys((git, common)):
        if (place / name).is_file():
            return _read(place / name)
    if (common / "packed-refs").is_file():
        packed = read_bounded(common / "packed-refs", _PACKED).decode("utf-8", "replace")
        for row in packed.splitlines():
            commit, _, packed_name = row.partition(" ")
            if packed_name == name:
                return commit
    return ""


def _read(path: Path) -> str:
    return read_bounded(path).decode("utf-8", "replace").strip()
