"""A run that looks at gradients in hindsight tells, keeps and learns what one does that looks at
each: only the look is later.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fivestep.core.protocol.commands import Pause, Resume, ScaleLR, Stop
from fivestep.core.protocol.snapshot import Change, EpochSummary
from fivestep.core.protocol.steps import State
from fivestep.core.session import hindsight
from fivestep.core.session.hindsight import Hindsight
from fivestep.core.session.recovery import OnNonFinite
from fivestep.core.session.session import Session
from fivestep.core.storage.checkpoint import Store
from fivestep.core.storage.log_file import read_log
from fivestep.core.storage.persistence import Policy, Saving
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.core.training.fused import Adam, AdamW

MakeTraining = Callable[..., Any]
BATCHES = 7
"""Of an epoch."""
TIMES = {"elapsed", "seconds", "batches_per_second", "time"}


class Spoiled(torch.autograd.Function):
    """Hands its input on, and no good gradient back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * float("inf")


class Trap(nn.Module):
    """Spoils one training batch; which one it is at is part of its state."""

    def __init__(self, batch: int, harm: str) -> None:
        super().__init__()
        self.batch, self.harm = batch, harm
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.spare = nn.Parameter(torch.ones(()))
        """Takes part in the loss of that batch alone: what becomes of it shows in no other."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        self.count += 1
        if int(self.count) != self.batch:
            return x
        match self.harm:
            case "gradient":
                return Spoiled.apply(x)  # type: ignore[no-any-return]
            case "spare":
                return x + 0 * Spoiled.apply(self.spare)
            case _:
                return x * float("nan")


class Ears:
    """A listener, which may send a command at a batch."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.session: Session | None = None
        self.sends: dict[int, tuple[Any, ...]] = {}

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        self.heard.append((epoch, batch, batches_done, loss, lr))
        for command in self.sends.pop(batches_done, ()):
            assert self.session is not None
            self.session.send(command)

    def epoch(self, summary: EpochSummary) -> None:
        self.heard.append(("epoch", summary.epoch, summary.batches_done, summary.train_loss))

    def change(self, change: Change) -> None:
        self.heard.append(("change", change.batch, change.text))


def harmed(make: MakeTraining, batch: int, harm: str, **others: Any) -> Any:
    training = make(repeatable=True, **others)
    training.model.insert(2, Trap(batch, harm))
    training.optimizer = Adam(training.model.parameters(), lr=1e-2, fused=True)
    return training


def run(
    training: Any, folder: Path, sends: dict[int, tuple[Any, ...]] | None = None, **others: Any
) -> tuple[Any, ...]:
    """How it ends, what the listener heard, the weights, and what was written."""
    ears = Ears()
    folder.mkdir()
    kept = RunDirectory.create(folder, "run", "test")
    saving = Saving(kept, Policy(seconds=3600))
    run = Session(training, ears, saving=saving, **others)
    ears.session, ears.sends = run, dict(sends or {})
    outcome = run.run()
    log = [{k: v for k, v in r.items() if k not in TIMES} for r in read_log(kept.metrics)]
    weights = {name: value.clone() for name, value in training.model.state_dict().items()}
    return outcome, ears.heard, weights, log, Store(kept.checkpoints).newest().batches_done


def words(heard: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [entry for entry in heard if isinstance(entry[0], str)]


def same(found: tuple[Any, ...], wanted: tuple[Any, ...]) -> None:
    """All, but that the listener has heard of batches, or of epochs that nothing judged, which
    were finished behind the bad one.
    """
    outcome, heard, weights, log, saved = found
    assert (outcome, log, saved) == (wanted[0], *wanted[3:])
    assert words(heard)[: len(words(wanted[1]))] == words(wanted[1])
    assert all(torch.equal(value, wanted[2][name]) for name, value in weights.items())
    assert set(heard) >= set(wanted[1])


class Trial:
    """Runs the same training with gradients looked at in several ways."""

    def __init__(self, make: MakeTraining, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.make, self.folder, self.monkeypatch = make, folder, monkeypatch
        self.went_back: list[int] = []
        """How far runs have gone back in memory."""
        go_back = Hindsight.go_back

        def told(here: Hindsight) -> dict[str, Any] | None:
            state = go_back(here)
            if state is not None:
                done = here._parts.progress.batches_done
                self.went_back.append(done - state["progress"]["batches_done"])
            return state

        monkeypatch.setattr(Hindsight, "go_back", told)

    def look(self, how: str) -> None:
        """At each, from a state at batch 2 on, or anew every batch."""
        for name, value in {
            "FAST": float("inf") if how == "each" else 0.0,
            "FIRST": 0.0,
            "COST": 0.0,
            "PERIOD": 3600.0 if how == "once" else 0.0,
        }.items():
            self.monkeypatch.setattr(hindsight, name, value)

    def run(
        self,
        *ways: str,
        batch: int,
        harm: str,
        sends: dict[int, tuple[Any, ...]] | None = None,
        on_nonfinite: OnNonFinite = "stop",
        **others: Any,
    ) -> list[tuple[Any, ...]]:
        """What `run` gives for each way."""
        found = []
        for how in ways:
            self.look(how)
            training = harmed(self.make, batch, harm, **({"epochs": 6} | others))
            found.append(run(training, self.folder / how, sends, on_nonfinite=on_nonfinite))
            assert how != "each" or not self.went_back
        return found


@pytest.fixture
def trial(make_training: MakeTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    return Trial(make_training, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("batch", "harm", "validation", "back"),
    [
        (30, "gradient", True, 28),  # the next loss tells
        (28, "gradient", True, 26),  # the last batch of an epoch: before its weights are judged
        (24, "spare", True, 26),  # no loss tells: noticed at the epoch's end
        (24, "spare", None, 40),  # nobody judges: noticed at the end of the run
        (30, "loss", True, 27),
        (42, "gradient", None, 40),  # the run's last batch
    ],
)
def test_what_is_bad_is_told_and_kept_as_if_each_batch_had_been_looked_at(
    batch: int, harm: str, validation: bool | None, back: int, trial: Trial
) -> None:
    ways = ("each", "once", "anew")
    wanted, once, anew = trial.run(*ways, batch=batch, harm=harm, validation=validation)
    outcome, _, weights, *_ = wanted
    assert outcome.state is State.FAILED
    epoch, number = divmod(batch - 1, BATCHES)
    assert f"epoch {epoch + 1}, batch {number + 1}" in outcome.where
    assert all(value.isfinite().all() for value in weights.values())
    assert trial.went_back[0] == back
    for other in (once, anew):
        same(other, wanted)
        assert len(set(other[1])) == len(other[1])
        assert validation is None or words(other[1]) == words(wanted[1])


@pytest.mark.parametrize("how", ["once", "anew"])
def test_a_good_run_is_the_same(how: str, trial: Trial) -> None:
    wanted, found = trial.run("each", how, batch=0, harm="")
    same(found, wanted)
    assert wanted[0].state is State.FINISHED
    assert not trial.went_back


def test_what_was_steered_since_is_not_undone(trial: Trial) -> None:
    sends = {10: (ScaleLR(0.5),), 12: (Pause(), Resume()), 16: (ScaleLR(0.25),)}
    wanted, found = trial.run("each", "once", batch=30, harm="gradient", sends=sends)
    same(found, wanted)
    assert wanted[1][-1][-1] == 0.0025, wanted[1]
    assert trial.went_back == [30 - 18]


@pytest.mark.parametrize(
    ("batch", "stop", "back"),
    [
        (24, {26: (Stop(),)}, 26 - 2),  # comes when nobody has noticed yet
        (26, {22: (Stop(after="epoch"),)}, 28 - 24),
    ],
)
def test_a_stop_does_not_save_what_nobody_has_looked_at(
    batch: int, stop: dict[int, tuple[Any, ...]], back: int, trial: Trial
) -> None:
    (found,) = trial.run("once", batch=batch, harm="spare", validation=None, sends=stop)
    outcome, _, weights, _, saved = found
    assert trial.went_back == [back]
    assert outcome.state is State.FAILED
    assert f"epoch 4, batch {batch - 21}" in outcome.where
    assert weights["2.spare"].isfinite()
    assert saved == 0


def test_a_rollback_goes_to_the_checkpoint_all_the_same(trial: Trial) -> None:
    wanted, found = trial.run("each", "once", batch=30, harm="gradient", on_nonfinite="rollback")
    same(found, wanted)
    assert sum("went back" in str(entry[-1]) for entry in wanted[1]) == 3
    assert len(trial.went_back) == 4


def test_only_what_comes_again_bit_for_bit_is_left_unlooked_at(
    make_training: MakeTraining,
) -> None:
    def made(**others: Any) -> bool:
        return hindsight.possible(make_training(**({"repeatable": True} | others)))

    assert made(optimizer=Adam)
    assert made(optimizer=AdamW)
    assert not made(optimizer=torch.optim.Adam)
    assert not made(optimizer=torch.optim.Rprop)
    for others in (
        {"repeatable": False},
        {"clip_norm": 1.0},
        {"accumulate": 2},
        {"amp": "bf16"},
        {"compile": True},
        {"batches": [(torch.zeros(2, 6), torch.zeros(2).long())]},
    ):
        assert not made(optimizer=Adam, **others)


def test_a_slow_run_looks_at_each(
    make_training: MakeTraining, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.look("anew")
    monkeypatch.setattr(hindsight, "FAST", 1e9)
    outcome, *_ = run(harmed(make_training, 30, "gradient", epochs=6), trial.folder / "run")
    assert outcome.state is State.FAILED
    assert not trial.went_back
