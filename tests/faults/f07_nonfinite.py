"""F7: NaN or infinity in the features, in a layer's output, in the loss, in a gradient, at a batch.

Small models of several kinds, each with a run's directory. Lost is each trial in which the bad
batch changes a parameter, is not named with its phase and layer, leaves a checkpoint that is not
finite or a log that no JSON reader takes; and, where the run is to go back, in which it does not,
forgets to halve the learning rate or to put it on record, or goes back more than three times.
"""

from __future__ import annotations

import json
import math
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from faults.children import in_child
from faults.result import Result
from listeners import Silent
from torch import Tensor, nn

from fivestep.core.protocol.steps import State, Task
from fivestep.core.session.session import Session
from fivestep.core.storage import persistence
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.persistence import Persistence, Policy
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.progress import tensors_in
from fivestep.core.training.training import Training

EPOCHS, BATCHES = 3, 7
MODELS: Final = ("plain", "batch norm", "accumulate", "clip", "accumulate and clip")
PLACES: Final = ("features", "output", "loss", "gradient")
VALUES: Final = (math.nan, math.inf, -math.inf)
ANSWERS: Final = ("stop", "rollback", "rollback and it stays", "ignore")


class Poison(nn.Module):
    """Lets everything through, except at one batch."""

    def __init__(self) -> None:
        super().__init__()
        self.output = self.gradient = lambda x: x

    def forward(self, x: Tensor) -> Tensor:
        x = self.output(x)
        if x.requires_grad:
            x.register_hook(self.gradient)
        return x


@dataclass
class Trial(Silent):
    """One run, and the batch at which it meets something that is no number."""

    kind: str
    place: str
    value: float
    at: int
    """Batches done before it."""
    answer: str

    def __post_init__(self) -> None:
        self.before: dict[str, Tensor] = {}
        self.rewinds = 0
        self.session: Session | None = None

    def bad(self) -> bool:
        """Whether it is now."""
        here = self.session.progress.batches_done == self.at
        training = self.session.training.model.training
        return here and training and (self.answer != "rollback" or not self.rewinds)

    def poisoned(self, x: Tensor) -> Tensor:
        """With one number that is none, if it is time."""
        if not self.bad():
            return x
        x = x.clone()
        x.view(-1)[-1] = self.value
        return x

    def training(self) -> Training:
        """A classifier on random data, that can be poisoned."""
        torch.manual_seed(7)
        x, y = torch.randn(50, 6), torch.arange(50) % 3  # (N, 6), (N,)
        poison = Poison()
        middle = nn.BatchNorm1d(16) if self.kind == "batch norm" else nn.Tanh()
        model = nn.Sequential(
            nn.Linear(6, 16), middle, poison, nn.Dropout(0.2), nn.Linear(16, 8), nn.Linear(8, 3)
        )
        loss = nn.CrossEntropyLoss()

        def criterion(outputs: Tensor, labels: Tensor) -> Tensor:
            found: Tensor = loss(outputs, labels)
            return found * self.value if self.place == "loss" and self.bad() else found

        if self.place == "output":
            poison.output = self.poisoned
        if self.place == "gradient":
            poison.gradient = self.poisoned
        return Training(
            model=model,
            criterion=criterion,
            optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2),
            batches=TensorBatches(x, y, 8, torch.Generator().manual_seed(1)),
            validation=TensorBatches(x[:20], y[:20], 8),
            epochs=EPOCHS,
            task=Task("classification"),
            accumulate=3 if "accumulate" in self.kind else 1,
            clip_norm=0.5 if "clip" in self.kind else None,
            unpack=lambda pair: (self.features(pair[0]), pair[1]),
            threads=1,
            seed=2,
        )

    def features(self, x: Tensor) -> Tensor:
        return self.poisoned(x) if self.place == "features" else x

    def expected(self) -> str:
        """The place that is to be named."""
        match self.place:
            case "features":
                return "the features"
            case "output":
                return "layer 2 (Poison)"
            case "loss":
                return "the loss"
        name = "1.bias" if self.kind == "batch norm" else "0.bias"
        return f"the gradient of {name}"

    # As a listener: the parameters as they are before the batch.

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        if batches_done == self.at:
            self.keep()

    def change(self, change: Any) -> None:
        self.rewinds += change.kind == "rewind"

    def keep(self) -> None:
        model = self.session.training.model
        self.before = {name: p.detach().clone() for name, p in model.named_parameters()}

    def wrong(self, folder: Path) -> list[str]:
        """What went wrong in it."""
        with RunDirectory.create(folder, None, "trial") as run:
            saver = Persistence(run, Policy(seconds=0.003))
            answer: Any = self.answer.split()[0]
            self.session = Session(self.training(), self, saving=saver, on_nonfinite=answer)
            if not self.at:
                self.keep()
            outcome = self.session.run()
            found = self._of_disk(run)
            if self.answer == "ignore":
                return found if outcome.state is State.FINISHED else [f"ended: {outcome}"]
            if self.answer == "rollback":
                return found + self._gone_back(run, outcome.state)
            return found + self._failed(outcome)

    def _failed(self, outcome: Any) -> list[str]:
        wrong = []
        if outcome.state is not State.FAILED:
            return [f"did not fail: {outcome}"]
        epoch, batch = divmod(self.at, BATCHES)
        # Infinite features may well give a finite loss, and show in a gradient alone.
        hidden = self.place == "features" and math.isinf(self.value)
        phases = ["update"] if self.place == "gradient" else ["backward", *["update"] * hidden]
        batch_and = f"epoch {epoch + 1}, batch {batch + 1}, "
        good = [f"{batch_and}{phase}, {self.expected()}" for phase in phases]
        if not outcome.where.startswith(tuple(good)):
            wrong.append(f"named {outcome.where!r}, not {' or '.join(good)!r}")
        if "noticed before" not in outcome.reason:
            wrong.append(f"reason {outcome.reason!r}")
        model = self.session.training.model
        changed = [n for n, p in model.named_parameters() if not torch.equal(p, self.before[n])]
        if changed and not self.rewinds:
            wrong.append(f"changed {changed}")
        times = 3 if self.answer == "rollback and it stays" else 0
        if self.rewinds != times or self.session.rate.factor != 0.5**times:
            wrong.append(f"{self.rewinds} rewinds, lr factor {self.session.rate.factor}")
        return wrong

    def _gone_back(self, run: RunDirectory, state: State) -> list[str]:
        wrong = [] if state is State.FINISHED else [f"ended as {state}: {self.session.outcome}"]
        if self.rewinds != 1 or self.session.rate.factor != 0.5:
            wrong.append(f"{self.rewinds} rewinds, lr factor {self.session.rate.factor}")
        events = [json.loads(line) for line in run.events.read_text().splitlines()]
        if [event["kind"] for event in events if event.get("kind") == "rewind"] != ["rewind"]:
            wrong.append("no record of going back")
        records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
        done = [record["batches_done"] for record in records if record["type"] == "batch"]
        if done != list(range(1, EPOCHS * BATCHES + 1)):
            wrong.append(f"the log has batches {done}")
        epochs = [(r["epoch"], r["batches"]) for r in records if r["type"] == "epoch"]
        if epochs != [(number + 1, BATCHES) for number in range(EPOCHS)]:
            wrong.append(f"the log has epochs {epochs}")
        return wrong

    def _of_disk(self, run: RunDirectory) -> list[str]:
        """Every checkpoint is finite, and the log is JSON as the standard has it."""
        wrong = []
        loaded = CheckpointStore(run.checkpoints).newest()
        if self.answer != "ignore" or loaded.batches_done <= self.at:
            parts = [loaded.state[key] for key in ("model", "optimizer", "buffers")]
            if not all(bool(t.isfinite().all()) for t in tensors_in(parts)):
                wrong.append(f"the checkpoint of batch {loaded.batches_done} is not finite")
        if loaded.skipped:
            wrong.append(f"damaged: {loaded.skipped}")
        for file in (run.metrics, run.events):
            for line in file.read_text().splitlines():
                try:
                    json.loads(line, parse_constant=lambda name: 1 / 0)
                except (ValueError, ZeroDivisionError):
                    wrong.append(f"{file.name}: {line[:80]}")
        infinite_loss = self.place in ("output", "loss") or math.isnan(self.value)
        if self.answer == "ignore" and self.place != "gradient" and infinite_loss:
            records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
            bad = [r for r in records if r["type"] == "batch" and r["loss"] is None]
            if self.at + 1 not in [record["batches_done"] for record in bad]:
                wrong.append("the log does not have the bad loss as null")
        return wrong


def _all(trials: int, seed: int) -> list[str]:
    """What went wrong in so many trials."""
    torch.set_num_threads(1)
    draw = random.Random(seed)
    persistence.COST = 0
    found = []
    with tempfile.TemporaryDirectory() as made:
        for number in range(trials):
            trial = Trial(
                MODELS[number % len(MODELS)],
                PLACES[number // len(MODELS) % len(PLACES)],
                draw.choice(VALUES),
                draw.randrange(EPOCHS * BATCHES),
                draw.choice(ANSWERS),
            )
            told = (trial.kind, trial.place, trial.value, trial.at, trial.answer)
            found += [f"{told}: {what}" for what in trial.wrong(Path(made))[:1]]
    return found


def campaign(trials: int, seed: int) -> Result:
    """So many poisoned runs."""
    wrong = in_child(lambda: _all(trials, seed), 36000)
    return Result("F7", "NaN or infinity", trials, len(wrong), tuple(wrong[:20]))
