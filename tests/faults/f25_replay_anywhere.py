"""F25: a kept run is gone back to at any of its batches, in a process that knows nothing of it.

The cases are those of F2: two epochs of every preset that needs no download, and of what presets
don't have. Each run is steered: its learning rate is changed by hand, and its loop is broken on
purpose for some batches. A trial goes back to one batch. Lost is each whose losses up to there
differ anywhere, whose weights do after that batch, or that changes a file of the run.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import torch
from faults.children import ChildError, in_child
from faults.f02_resume_anywhere import Case, cases, scramble
from faults.result import Result

from fivestep.core.protocol.commands import Command, ScaleLR, SetFault
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.listener import Listener
from fivestep.core.protocol.steps import State
from fivestep.core.training.training import Training
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.options import RunOptions
from fivestep.tui.setup.replay import replay_batch


class Hand(Listener):
    """Steers a run after some batches, and keeps a digest of its weights after each."""

    def __init__(self, steering: dict[int, Command]) -> None:
        self.steering, self.marks = steering, [b""]
        self.session: Any = None

    def batch(self, epoch: int, batch: int, batches_done: int, *_: Any) -> None:
        self.marks.append(weights(self.session.training))
        if batches_done in self.steering:
            self.session.send(self.steering[batches_done])


def weights(training: Training) -> bytes:
    """All parameters, byte by byte."""
    return b"".join(p.detach().numpy().tobytes() for p in training.model.parameters())


def files(run: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in run.rglob("*") if file.is_file()}


def whole(case: Case, folder: Path, seed: int) -> list[bytes]:
    """Train it, steered; its weights after each batch."""
    draw = random.Random(seed)
    plan = case.plan(folder)
    count = 2 * len(plan.build().batches)  # type: ignore[arg-type]
    on, off = sorted(draw.sample(range(1, count), 2))
    steering: dict[int, Command] = {
        draw.randrange(count): ScaleLR(draw.choice((0.3, 0.5, 2.0))),
        on: SetFault(Fault.NO_ZERO_GRAD, on=True),
        off: SetFault(Fault.NO_ZERO_GRAD, on=False),
    }
    hand = Hand(steering)
    builder = RunBuilder.begin(plan, RunOptions(folder / "runs", name="whole", epochs=1))
    hand.session = session = builder.session(hand, "ignore")
    outcome = session.run()
    assert outcome.state is State.FINISHED, outcome
    return hand.marks


def differs(case: Case, folder: Path, batch: int, mark: bytes) -> str:
    """How the batch is another one than it was; "" if it is the same."""
    scramble(batch)
    before = files(folder / "runs")
    file = case.file(folder) if case.own else None
    options = RunOptions(folder / "runs", keeps=False, hold=False)
    session = replay_batch("whole", batch, options, file=file).session(None, "stop", "stop")
    session.run()
    told = [one.text for one in session.snapshot().changes if one.kind == "replay"]
    if not told or "the same, bit for bit" not in told[0]:
        return "; ".join(one.text for one in session.snapshot().changes)
    if weights(session.training) != mark:
        return "other weights"
    return "" if files(folder / "runs") == before else "a file of the run was changed"


def examined(case: Case, count: int, draw: random.Random) -> tuple[int, list[str]]:
    """Go back to so many batches of a case; how many those were, and what went wrong."""
    wrong = []
    with tempfile.TemporaryDirectory() as made:
        folder, seed = Path(made), draw.randrange(1 << 30)
        try:
            marks = in_child(lambda: whole(case, folder, seed), 600)
        except ChildError as error:
            return 1, [f"{case.name}: {error}"]
        batches = sorted(draw.sample(range(1, len(marks)), min(count, len(marks) - 1)))
        for batch in batches:
            try:
                what = in_child(lambda k=batch: differs(case, folder, k, marks[k]))  # type: ignore[misc]
            except ChildError as error:
                what = str(error).strip().rsplit("\n", 1)[-1]
            wrong += [f"{case.name}, batch {batch}: {what}"] if what else []
    return len(batches), wrong


def campaign(trials: int, seed: int) -> Result:
    """Go back to so many batches, spread over all cases; over the quickest ones if they are few."""
    torch.set_num_threads(1)
    draw = random.Random(seed)
    every = cases()[:trials]
    done, wrong = 0, []
    for number, case in enumerate(every):
        count, found = examined(case, -(-(trials - done) // (len(every) - number)), draw)
        done += count
        wrong += found
    notes = (f"{len(every)} cases, two epochs of each, steered by hand", *wrong[:20])
    return Result("F25", "replay at any batch", done, len(wrong), notes)
