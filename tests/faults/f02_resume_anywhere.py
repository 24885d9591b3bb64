"""F2: a run goes on from any of its batches, in a process that knows nothing of it.

Two epochs of every preset that needs no download, and of what presets don't have: accumulation,
other schedules and optimizers, a person's own loader. A run keeps the digest of its whole state
after every batch and in the middle of every validation. A trial goes on from the checkpoint of one
of them, in a folder that was moved, with every random generator elsewhere. Lost is each whose
state differs anywhere on the way to the end, or whose log does.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.datasets  # noqa: F401 - imported once, for every child
import torch
from digest import digest, log_of
from faults.children import ChildError, in_child
from faults.result import Result
from offline import OFFLINE
from sklearn.model_selection import train_test_split  # noqa: F401

from fivestep.core.protocol.steps import State, Step
from fivestep.core.storage import persistence
from fivestep.core.training import loop
from fivestep.core.training.loop import validate
from fivestep.core.training.progress import Progress
from fivestep.core.training.training import Training
from fivestep.presets import build  # noqa: F401
from fivestep.presets.recipe import load
from fivestep.presets.user_file import load_own
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import RunOptions
from fivestep.tui.setup.plan import FilePlan, Plan, RecipePlan
from fivestep.tui.setup.resume import resume_run

Marks = dict[float, str]
"""Digests by batches done; half a batch less in the validation behind the last one."""
Log = list[dict[str, Any]]
MOST = 60
"""Batches of one case that are gone on from."""

OWN = '''
import random
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from fivestep.core.training.training import Training


class Noisy(Dataset):
    """Draws from every generator of its process."""

    def __len__(self):
        return 70

    def __getitem__(self, i):
        noise = torch.rand(5) + random.random() + np.random.rand()
        return torch.linspace(0, i / 70, 5) + noise, torch.tensor(i % 3)


def training():
    torch.manual_seed(4)
    model = nn.Sequential(
        nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 3)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    own = torch.Generator().manual_seed(8)
    return Training(
        model, nn.CrossEntropyLoss(), optimizer,
        DataLoader(Noisy(), 8, shuffle=True, generator=own, num_workers=WORKERS),
        validation=DataLoader(Noisy(), 16, shuffle=True, generator=own),
        scheduler=torch.optim.lr_scheduler.StepLR(optimizer, 7, 0.5), scheduler_per="update",
        epochs=2, accumulate=ACCUMULATE, clip_norm=1.0, threads=1, seed=2,
    )
'''


@dataclass(frozen=True)
class Case:
    """A run to go on with."""

    name: str
    preset: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    own: dict[str, int] = field(default_factory=dict)
    """For a file: what its capital letters stand for."""

    def plan(self, folder: Path) -> Plan:
        """What it trains; a file of its own is written into the folder."""
        if not self.own:
            return RecipePlan(load(self.preset, {"epochs": 2} | self.changes))
        return FilePlan(load_own(self.file(folder)))

    def file(self, folder: Path) -> str:
        """The path of its own file."""
        file = folder / "own_run.py"
        text = OWN
        for name, value in self.own.items():
            text = text.replace(name, str(value))
        file.write_text(text)
        return str(file)


LITTLE_TEXT = {"dataset.validation": 0.45, "dataset.test": 0.45}
MLP = {"model.widths": [24], "model.norm": "batch", "model.dropout": 0.3, "batch_size": 96}
"""On digits-mlp: 15 batches an epoch."""


def cases() -> list[Case]:
    """Every preset that needs no download, then what they don't have. The quick ones first."""
    found = []
    for name in OFFLINE:
        text = load(name).dataset.name == "docs"
        found.append(Case(name, name, LITTLE_TEXT if text else {}))
    found.sort(key=lambda case: case.name in ("docs-gpt", "docs-lstm", "digits-resnet"))
    more = [Case("own loader", own={"WORKERS": 0, "ACCUMULATE": 1})]
    more.append(Case("own loader, accumulate", own={"WORKERS": 0, "ACCUMULATE": 4}))
    window = {"accumulate": 4, "clip_norm": 0.5}
    for schedule in ("step", "onecycle", "warmup-cosine", "cosine"):
        about = {
            "scheduler.name": schedule,
            **({"scheduler.step_size": 1} if schedule == "step" else {}),
        }
        more.append(Case(f"accumulate, clip, {schedule}", "digits-mlp", MLP | window | about))
    for optimizer, options in OPTIMIZERS.items():
        about = {"optimizer.name": optimizer}
        about |= {f"optimizer.{key}": value for key, value in options.items()}
        more.append(Case(optimizer, "digits-mlp", MLP | about))
    more.append(Case("own loader, 2 workers", own={"WORKERS": 2, "ACCUMULATE": 3}))
    return [found[0], more[0], *found[1:], *more[1:]]


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True, "lr": 0.05},
    "Adam": {"amsgrad": True},
    "Adadelta": {},
    "Adafactor": {},
    "Adagrad": {},
    "Adamax": {},
    "ASGD": {"t0": 5.0},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Rprop": {},
}


class Watching(persistence.Persistence):
    """Keeps the digest of the state after every batch; writes those that are wanted."""

    wanted: frozenset[float] = frozenset()
    copies: Path | None = None
    """Where the run's folder is copied to, as it is once a wanted one is on the disk."""
    marks: dict[float, str]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.marks = {}
        super().__init__(*arguments, **options)

    @property
    def due(self) -> float:  # type: ignore[override]
        return 0.0

    @due.setter
    def due(self, _: float) -> None: ...

    def save(self, kind: str, state: Any) -> None:
        done = state["progress"]["batches_done"] - 0.5 * state["progress"]["trained"]
        if kind == "best":
            super().save(kind, state)
            return
        mark = digest(state)
        if self.marks.setdefault(done, mark) != mark:
            raise AssertionError(f"two states at {done:g}")
        if done in self.wanted:
            super().save(kind, state)
            assert self._writer.flush(60)
            shutil.copytree(self.directory.path, self.copies / f"run-{done:g}")


def watched(builder: RunBuilder) -> tuple[Marks, Log]:
    """Train it to its end: digests by batch, and the log without times."""
    persistence.Persistence = Watching  # type: ignore[misc] - a process of its own
    session = builder.session(None, "stop")

    def saved_inside(training: Training, at: Progress, meter: Any) -> Iterator[Step]:
        """A validation, in whose middle a state is taken, as when it is stopped there."""
        with closing(validate(training, at, meter)) as steps:
            for step in steps:
                if at.val_batch == 1 or len(training.validation) == 1:  # type: ignore[arg-type]
                    session._engine.save()
                yield step

    loop.validate = saved_inside
    outcome = session.run()
    assert outcome.state is State.FINISHED, outcome
    assert not builder.problem, builder.problem
    return session.saving.marks, log_of(builder.directory.path)  # type: ignore[attr-defined]


def scramble(seed: int) -> None:
    """Put every random generator somewhere else."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def whole(case: Case, folder: Path, wanted: frozenset[float]) -> tuple[Marks, Log]:
    """The run that nothing interrupts; copies of its folder are left at the wanted batches."""
    Watching.wanted, Watching.copies = wanted, folder
    options = RunOptions(folder / "runs", name="whole")
    return watched(RunBuilder.begin(case.plan(folder), options))


def places(case: Case, folder: Path) -> list[float]:
    """Where its state is taken: after each batch, and in its two validations."""
    training = case.plan(folder).build()
    count = len(training.batches)  # type: ignore[arg-type]
    return [*range(2 * count + 1), count - 0.5, 2 * count - 0.5]


def differs(case: Case, folder: Path, start: float, marks: Marks, log: Log) -> str:
    """Where a run that goes on from a batch is not the whole one; "" if nowhere."""
    scramble(int(2 * start) + 1)
    moved = folder / f"moved-{start:g}"
    (folder / f"run-{start:g}").rename(moved)
    file = case.file(folder) if case.own else None
    met, written = watched(resume_run(str(moved), RunOptions(folder), file=file))
    shutil.rmtree(moved)
    there = {done for done in marks if done >= start} - {start + 0.5}  # no batch ends there
    wrong = [done for done in there if met.get(done) != marks[done]]
    if wrong:
        return f"another state at {min(wrong):g} ({len(wrong)} of {len(there)})"
    return "" if written == log else "another log"


def examined(case: Case, count: int, draw: random.Random) -> tuple[int, list[str]]:
    """Go on from so many batches of a case; how many those were, and what went wrong."""
    wrong = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        try:
            found = in_child(lambda: places(case, folder))
            starts = sorted(draw.sample(found, min(count, MOST, len(found))))
            marks, log = in_child(lambda: whole(case, folder, frozenset(starts)), 600)
        except ChildError as error:
            return 1, [f"{case.name}: {error}"]
        for start in starts:
            try:
                what = in_child(lambda k=start: differs(case, folder, k, marks, log))  # type: ignore[misc]
            except ChildError as error:
                what = str(error).strip().rsplit("\n", 1)[-1]
            wrong += [f"{case.name}, at {start:g}: {what}"] if what else []
    return len(starts), wrong


def campaign(trials: int, seed: int) -> Result:
    """Go on from so many batches, spread over all cases; over the quickest ones if they are few."""
    draw = random.Random(seed)
    every = cases()[:trials]
    done, wrong = 0, []
    for number, case in enumerate(every):
        share = -(-(trials - done) // (len(every) - number))
        count, found = examined(case, share, draw)
        done += count
        wrong += found
    notes = (f"{len(every)} cases, two epochs of each", *wrong[:20])
    return Result("F2", "resume at any batch", done, len(wrong), notes)
