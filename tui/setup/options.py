"""The options of a run: what is kept and where, what to do at NaN, breakpoints, faults."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ...core.protocol.faults import Fault
from ...core.protocol.rank import Parallel
from .preferences import PREFERENCES, preference

MOST_RANKS: Final = 1024
"""Processes that one machine is asked to start."""


def runs_folder(said: str | None = None) -> Path:
    """Where runs are kept: `said`, else where the person prefers, else `runs` right here.

    Raises:
        RecipeError: the person's settings file can't be read, or makes no sense there.
    """
    folder = Path(preference("runs_dir", said))
    with suppress(RuntimeError):  # no such user: then it is a name like any other
        folder = folder.expanduser()
    return folder


def folder_words(folder: Path) -> list[str]:
    """What a command needs to find a run of this folder; nothing where it looks anyway."""
    usual = runs_folder()
    with suppress(FileNotFoundError):  # the working folder was deleted
        folder, usual = folder.absolute(), usual.absolute()
    return [] if folder == usual else ["--runs-dir", str(folder)]


@dataclass(frozen=True, slots=True)
class AsLeft:
    """How a screen has left a run that goes on in the background, where resuming does not keep it;
    what lr it has by hand, say, is in the checkpoint.
    """

    paused: bool = False
    speed: float | None = None
    """Slow motion in steps a second; None is full speed."""
    ends: bool = False
    """It is to stop after the epoch under way."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a person asks of a run, beside what is trained."""

    folder: Path
    name: str | None = None
    """Of the run; None makes one from the time and the preset."""
    keeps: bool = True
    seconds: float = 30.0
    """Between two checkpoints."""
    epochs: int | None = None
    """One checkpoint is kept for good every so many epochs."""
    on_nan: Literal["stop", "rollback"] | None = None
    """None: the screen asks, a run without one stops."""
    breakpoints: tuple[str, ...] = ()
    """Conditions, checked as far as they can be before the run is built."""
    faults: tuple[Fault, ...] = ()
    """What is wrong with the loop on purpose, from the first batch on."""
    hold: bool | None = None
    """Whether a screen starts the run paused; None: if it would be over before anybody sees it."""
    parallel: Parallel | None = None
    """How several processes train it; None: as the run did before, or the whole model in each."""
    left: AsLeft | None = None
    """For a run that a screen hands over to the background: its breakpoints pause it there."""
    bell: bool = False
    """Whether a terminal rings when the run needs a person, or ends."""
    tensorboard: str | None = None
    """Where event files of it are written while it trains, "" being its own folder; None is
    nowhere."""
    notify: str = ""
    """A command line that is told how the run ended; "" is none."""


def preferred_options() -> RunOptions:
    """The options of a run of which nobody has said anything on a command line."""
    return RunOptions(runs_folder(), bell=preference("bell"), notify=preference("notify"))


NOTHING: Final = RunOptions(Path(PREFERENCES["runs_dir"].default), keeps=False, hold=False)
