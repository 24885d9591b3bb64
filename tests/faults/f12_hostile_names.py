"""F12: names of runs that want to be somewhere else, or to be more than a name."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from faults.result import Result

from fivestep.core.storage.run_directory import RunDirectory, RunError

PARTS = (
    *("..", ".", "/", "\\", "~", "$HOME", "%00", "\0", "\n", "\r", "\t", " ", "-", "--", "*", "|"),
    *("\x1b]0;x\x07", "\x1b[2J", "\x9b31m", "\u202e", "\ud800", "é", "ａ", "a" * 300, "run", "CON"),
    *("outside", "link", "lock", "run.json", "x.", "-rf", ";id", "`id`", "[@click=app.quit]"),
)


def tree(folder: Path) -> set[str]:
    """Everything in a folder; links are not followed."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refusal(attempt: Callable[[], RunDirectory]) -> str | RunDirectory:
    try:
        return attempt()
    except RunError as error:
        return str(error)


def holds(root: Path, name: str) -> bool:
    """Whether a name is refused in one clean line, or leads to a folder in the runs folder."""
    runs = root / "runs"
    before = {path for path in tree(root) if not path.startswith("runs")}
    attempts = (
        lambda: RunDirectory.create(runs, name, "preset"),
        lambda: RunDirectory.open(runs, name),
        lambda: RunDirectory.look(runs, name),
    )
    held = True
    for attempt in attempts:
        result = refusal(attempt)
        if isinstance(result, str):
            held &= result.isprintable() and len(result) < 400
            continue
        result.close()
        if "/" not in name:  # else it is a path, a person's own choice of a run's folder
            held &= result.path.resolve().parent == runs.resolve()
    after = {path for path in tree(root) if not path.startswith("runs")}
    return held and before == after


def campaign(trials: int, seed: int) -> Result:
    """Try `trials` names in a runs folder that also has links out of it."""
    dice = random.Random(seed)
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "runs").mkdir()
        outside = RunDirectory.create(root / "elsewhere", "outside", "preset")
        outside.close()
        (root / "runs" / "link").symlink_to(outside.path)
        (root / "runs" / "outside").symlink_to("../elsewhere/outside")
        (root / "runs" / "run").symlink_to(root)
        for _ in range(trials):
            name = "".join(dice.choices(PARTS, k=dice.randrange(1, 5)))
            lost += not holds(root, name)
    return Result("F12", "hostile names of runs", trials, lost)
