"""F23: the folder of a run is moved, emptied or deleted at a random moment while it trains.

Half of the runs go on to their end; the others are killed once they have told of it. Lost is each
that says nothing, does not say where it is kept, has an older checkpoint or fewer batches there
than it had, can't be gone on with, or has written into the folder of another run.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from faults.kept_run import COMMAND, environment, in_situations, records
from faults.result import Result

from fivestep.core.storage.checkpoint import CheckpointError, CheckpointStore
from fivestep.core.storage.run_directory import RunDirectory, RunError

EPOCHS: Final = 10
BATCHES: Final = 45 * EPOCHS
"""Half a minute, while each takes 50 ms."""
LATEST: Final = 8.0
"""Seconds after the folder was made in which something is done to it: torch is loaded, then it
trains."""
TOLD: Final = re.compile(r"was deleted|was moved|put back")
PLACE: Final = re.compile(r"kept in (\S+)")


def deleted(path: Path) -> None:
    """As `rm -rf` by somebody who insists."""
    while path.exists():
        shutil.rmtree(path, ignore_errors=True)


def to_another_disk(run: Path) -> None:
    """What mv does there."""
    shutil.copytree(run, run.parents[1] / "copy")
    deleted(run)


def made_again(run: Path) -> None:
    deleted(run)
    RunDirectory.create(run.parent, run.name, "another").close()


DEEDS: Final[dict[str, Callable[[Path], object]]] = {
    "renamed": lambda run: run.rename(run.with_name("renamed")),
    "moved": lambda run: run.rename(run.parents[1] / "moved"),
    "runs folder renamed": lambda run: run.parent.rename(run.parents[1] / "old"),
    "deleted": deleted,
    "runs folder deleted": lambda run: deleted(run.parent),
    "moved to another disk": to_another_disk,
    "deleted, another made": made_again,
    "checkpoints deleted": lambda run: deleted(run / "checkpoints"),
    "checkpoints renamed": lambda run: (run / "checkpoints").rename(run / "aside"),
    "metrics deleted": lambda run: (run / "metrics.jsonl").unlink(),
    "metrics renamed": lambda run: (run / "metrics.jsonl").rename(run / "old.jsonl"),
    "all files deleted": lambda run: [file.unlink() for file in run.iterdir() if file.is_file()],
}
INSIDE: Final = ("checkpoints deleted", "checkpoints renamed", "metrics deleted", "metrics renamed")
"""What can only be done once there is something."""


def waited_for(what: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not what():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def saved(run: Path) -> int:
    """Batches done in the newest checkpoint; -1 without any."""
    try:
        return CheckpointStore(run / "checkpoints").newest().batches_done
    except CheckpointError:
        return -1


def logged(run: Path) -> list[int]:
    found = records(run / "metrics.jsonl")
    return [record["batches_done"] for record in found if record["type"] == "batch"]


def tried(kind: str, folder: Path, chance: random.Random) -> str:
    """One run; what of it is lost."""
    run, told = folder / "runs" / "one", folder / "told"
    words = ("train", "digits-mlp", "--epochs", str(EPOCHS), "--name", "one", "--no-ui")
    options = ("--device", "cpu", "--save-every", "0.2s")
    killed, delay = chance.random() < 0.5, chance.uniform(0, LATEST)
    (folder / "slow").touch()
    with told.open("wb") as out:
        process = subprocess.Popen(
            (*COMMAND, *words, *options),
            env=os.environ | environment(folder),
            cwd=folder,
            stdout=out,
            stderr=out,
        )
    try:
        waited_for((run / "run.json").exists, process)
        if kind in INSIDE:
            waited_for(lambda: saved(run) >= 0 and logged(run), process)
        time.sleep(delay)
        batches, at = logged(run), saved(run)
        assert process.poll() is None
        DEEDS[kind](run)
        if killed:
            waited_for(lambda: TOLD.search(told.read_text()), process)
        else:
            (folder / "slow").unlink()
            process.wait(300)
    finally:
        process.kill()
        process.wait()
    text = told.read_text()
    place = folder / PLACE.findall(text)[-1]
    try:
        RunDirectory.open(place.parent, str(place)).close()
    except RunError as error:
        return f"{error}: {text[-300:]}"
    wrong = lost(place, process.returncode, (at, len(batches)) if killed else (BATCHES, BATCHES))
    if not TOLD.search(text) and saved(place) >= 0:
        wrong = wrong or "it said nothing"
    if kind == "deleted, another made" and {file.name for file in run.iterdir()} != {"lock"}:
        wrong = wrong or "it wrote into the other run"
    return f"after {delay:.2f} s, {wrong}: {text[-300:]}" if wrong else ""


def lost(run: Path, code: int, had: tuple[int, int]) -> str:
    """What is missing in the folder: it had a checkpoint and so many batches on record."""
    if code not in (0, -9):
        return f"it ended with {code}"
    if gone := [name for name in ("recipe.toml", "run.json") if not (run / name).exists()]:
        return f"no {gone}"
    batches = logged(run)
    if batches != list(range(1, len(batches) + 1)) or len(batches) < had[1]:
        return f"{len(batches)} batches on record, not {had[1]}"
    if saved(run) < had[0]:
        return f"saved {saved(run)}, not {had[0]}"
    return "no outcome" if code == 0 and not (run / "outcome.json").exists() else ""


def campaign(trials: int, seed: int) -> Result:
    """So many runs, the deeds in turn."""
    return in_situations("F23", "its folder moved or deleted", trials, seed, list(DEEDS), tried)
