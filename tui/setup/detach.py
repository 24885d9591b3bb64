"""Runs in the background, where no terminal can end them: a new one, or the one of a screen."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import psutil

from ...core.protocol.steps import State
from ...core.storage.run_directory import RunDirectory, RunError
from ...presets.errors import reason
from .metadata import changed, changed_files, plan_facts
from .options import AsLeft

if TYPE_CHECKING:
    from ...core.protocol.snapshot import Snapshot
    from ...core.session.session import Session
    from .builder import RunBuilder

LOG: Final = "output.log"
"""In the run's folder: what the run prints."""
GLANCE: Final = 0.05
"""Seconds between two looks whether it runs."""


@dataclass(frozen=True, slots=True)
class Detached:
    """How a run in the background began."""

    process: int
    code: int | None
    """Its exit code, where it has ended already; None while it runs."""
    printed: str
    """What it has printed, where it has ended already."""
    refuses: str
    """Why it can't be attached to; "" if it can, or has ended."""


def start_detached(
    arguments: Sequence[str], folder: Path, name: str, *, resumes: bool = False
) -> Detached:
    """Start `fivestep` with these arguments in a session of its own; return once its run
    trains, or has ended.

    Args:
        arguments: of a run without a screen.
        folder: the runs folder.
        name: of the run.
        resumes: it is there already.

    Raises:
        RunError: there is no place for what it prints.
    """
    directory = RunDirectory(folder / name)
    log = directory.path / LOG if resumes else folder / f".{name}.{os.getpid()}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with log.open("ab" if resumes else "xb") as output:
            before = output.tell()
            process = _spawn([*program(), *arguments], output.fileno())
    except OSError as error:
        raise RunError(f"the run can't be started in the background: {reason(error)}") from error
    while (code := _ended(process)) is None:
        told = directory.answers_at is not None or directory.refuses
        if told and process in (directory.process, _parent(directory.process)):
            break
        time.sleep(GLANCE)
    printed = "" if code is None else log.read_bytes()[before:].decode(errors="replace")
    with suppress(OSError):
        if not code:  # else it may be another run's folder
            log.rename(directory.path / LOG)
        elif not resumes:
            log.unlink()
    return Detached(process, code, printed, directory.refuses if code is None else "")


def not_exactly(builder: RunBuilder, session: Session) -> str:
    """Why a run that is kept would not go on as it is in another process; "" if it would."""
    from ...core.training.resume_data import hidden_generators, unrepeatable

    assert builder.directory is not None
    then, now = builder.directory.read_meta()[0], plan_facts(builder.plan)
    others = [*changed(then.get("recipe") or {}, now.get("recipe") or {}).values()]
    others += changed_files(then.get("file"), now["file"])
    if others:
        return f"{others[0]} was changed since it began"
    batches = session.training.batches
    return unrepeatable(batches) or next(iter(hidden_generators(batches)), "")


def background_words(builder: RunBuilder, picture: Snapshot) -> list[str]:
    """What to give to `fivestep` to have a run that was stopped and saved go on in the background,
    as this picture shows it.
    """
    options = builder.options
    ends = picture.stopping == "epoch"
    left = AsLeft(picture.state is State.PAUSED, picture.speed, ends)
    words = [*builder.resume_words[1:], "--detach", "--as-left", json.dumps(asdict(left))]
    every = f"{options.seconds:f}s" if options.epochs is None else f"{options.epochs}epochs"
    words += ["--save-every", every]
    words += ["--on-nan", options.on_nan] if options.on_nan is not None else []
    words += [f"--tensorboard={options.tensorboard}"] * (options.tensorboard is not None)
    words += ["--notify", options.notify] if options.notify else []
    for condition in picture.breakpoints:
        words += ["--break", condition]
    return words


def become(arguments: Sequence[str]) -> NoReturn:
    """Go on as `fivestep` with these arguments: what this process holds of a device's memory, the
    run in the background will need.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    words = [*program(), *arguments]
    os.execv(words[0], words)


def _spawn(words: list[str], output: int) -> int:
    """A process that nobody is going to wait for, in a session of its own; its number."""
    return os.posix_spawn(
        words[0],
        words,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ],
        setsid=True,
    )


def _ended(process: int) -> int | None:
    """Its exit code; None while it runs."""
    number, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if number else None


def _parent(process: int | None) -> int | None:
    """The process that has started this one: of a run of several, torchrun."""
    with suppress(psutil.Error):
        return None if process is None else psutil.Process(process).ppid()
    return None


def program() -> list[str]:
    """The words that start this program again, Python first."""
    if Path(sys.argv[0]).name == "fivestep" and Path(sys.argv[0]).is_file():
        return [sys.executable, sys.argv[0]]
    return [sys.executable, "-m", "fivestep"]
