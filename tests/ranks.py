"""What `tests/core/training/test_ranks.py` runs as every rank of one torchrun.

Each check runs in all ranks at the same time. What is wrong is raised, in whichever of them.
"""

from __future__ import annotations

import hashlib
import random
import sys
import threading
from typing import Any

import torch
from listeners import Keeper
from offline import OFFLINE
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fivestep.core.protocol import commands
from fivestep.core.protocol.commands import Command
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.rank import this_rank
from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.training.among_ranks import train_among
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.ranks import RankGroup
from fivestep.core.training.split import Split
from fivestep.core.training.training import Training
from fivestep.presets.build import build
from fivestep.presets.recipe import load

RANK = this_rank()
RANKS = RankGroup(RANK)
SPLIT = Split(RANK.number, RANK.size, RANK.size)
ROWS, BATCH = 37, 4
"""Four batches of 8, then one of 5, which two ranks can't share evenly."""
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def preset(name: str, dtype: torch.dtype = torch.float32, *, alone: bool = False) -> Training:
    """A preset on few data, for every rank, or the same for one process with the whole batch."""
    size = BATCH * RANK.size if alone else BATCH
    recipe = load(name, {"epochs": 2, "batch_size": size, "device": "cpu", "threads": 1})
    training = build(recipe, split=None if alone else SPLIT)
    for part in (training.batches, training.validation):
        assert isinstance(part, TensorBatches)
        for kind in ("features", "labels"):
            data: Tensor = getattr(part, kind)[:ROWS]
            setattr(part, kind, data.to(dtype) if data.is_floating_point() else data)
    training.model.to(dtype)
    if not alone:
        train_among(training, SPLIT, RANKS)
    return training


def trained(training: Training) -> list[Tensor]:
    """Losses, the validation's loss and the weights of a training that has come to its end."""
    keeper = Keeper()
    session = Session(training, keeper)
    assert session.run().state is State.FINISHED, session.outcome
    losses = [loss for _, _, _, loss, _ in keeper.batches]
    val_loss = torch.tensor(session.snapshot().val_loss)
    return [torch.tensor(losses), val_loss, *training.model.state_dict().values()]


def difference(many: list[Tensor], one: list[Tensor]) -> float:
    """The largest one, relative to the largest number where that is above 1."""
    pairs = [(a.double(), b.double()) for a, b in zip(many, one, strict=True)]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in pairs)


def same_everywhere(*values: Any) -> None:
    """Nothing differs between ranks."""
    each = RANKS.exchange(values)
    assert all(one == each[0] for one in each), each


def digest(training: Training) -> str:
    """Of the weights' bits."""
    held = (value.numpy().tobytes() for value in training.model.state_dict().values())
    return hashlib.sha256(b"".join(held)).hexdigest()


def numbers_are_those_of_one_process() -> None:
    for name in OFFLINE:
        for dtype, within in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
            many, one = preset(name, dtype), preset(name, dtype, alone=True)
            parts = [*many.model.modules(), *one.model.modules()]
            if any(isinstance(part, NORMS) for part in parts):
                continue
            drops = [part for part in parts if isinstance(part, nn.Dropout)]
            if drops and dtype is torch.float32:
                continue  # theirs are large: Adam makes more of a last bit than of a gradient
            for part in drops:
                part.p = 0.0
            found = difference(trained(many), trained(one))
            assert found <= within, (name, dtype, found)
            same_everywhere(digest(many))


def controls_differ() -> None:
    one = trained(preset("spirals-mlp", torch.float64, alone=True))
    unweighted = preset("spirals-mlp", torch.float64)
    assert unweighted.replica is not None
    write = unweighted.replica.write
    unweighted.replica.write = lambda loss, share, asks: write(loss, 1 / RANK.size, asks=asks)
    assert difference(trained(unweighted), one) > 1e-6
    again = preset("spirals-mlp", torch.float64)  # each epoch in the order of the first
    assert isinstance(again.batches, TensorBatches)
    begun, batches = again.batches.generator.get_state(), again.batches.batches
    again.batches.batches = lambda start=0: (
        again.batches.generator.set_state(begun),
        batches(start),
    )[1]
    assert difference(trained(again), one) > 1e-6


def own_training(size: int, seen: list[int]) -> Training:
    """As a person's file makes it: the order comes from torch's global generator."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x = torch.arange(ROWS, dtype=torch.float64)[:, None]

    def criterion(outputs: Tensor, labels: Tensor) -> Tensor:
        if model.training:
            seen.extend(labels.flatten().long().tolist())
        return nn.functional.mse_loss(outputs, labels / ROWS)

    loader = DataLoader(TensorDataset(x / ROWS, x), size, shuffle=True)
    validation = DataLoader(TensorDataset(x / ROWS, x), 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return Training(model, criterion, optimizer, loader, validation, epochs=2, seed=3)


def loaders_are_shared() -> None:
    seen: list[int] = []
    many = own_training(BATCH, seen)
    train_among(many, SPLIT, RANKS)
    found = trained(many)
    all_seen = sorted(one for part in RANKS.exchange(seen) for one in part)
    assert all_seen == sorted([*range(ROWS)] * 2)
    assert difference(found, trained(own_training(BATCH * RANK.size, []))) <= 1e-12
    same_everywhere(digest(many))


def steered(count: int, seed: int) -> None:
    """Whatever is asked for, of whichever rank and whenever: all stay the same, and none waits."""
    training = preset("spirals-mlp")
    training.epochs = 1_000_000
    session = Session(training, on_nonfinite="ask")
    session.start()
    draw, wait = random.Random(seed + RANK.number), threading.Event()
    for _ in range(count if RANKS.first else count // 10):
        session.send(_drawn(draw))
        wait.wait(draw.choice([0, 0.002, 0.01]))
    while RANKS.first and not session.join(0.1):
        for command in (commands.SetSpeed(None), commands.Resume(), commands.Stop("enough")):
            session.send(command)
    assert session.join(60), "a rank waits for another one"
    assert session.outcome is not None
    assert session.outcome.reason == "enough", session.outcome
    same_everywhere(digest(training), session.progress.batches_done, session.rate.lr)


def _drawn(draw: random.Random) -> Command:
    fault = draw.choice(list(Fault))
    some: list[Command] = [
        *(commands.Advance(unit) for unit in ("phase", "phase", "batch", "epoch")),
        *(commands.SetSpeed(speed) for speed in (500.0, 2000.0, None, None)),
        *(commands.ScaleLR(factor) for factor in (0.5, 1.0, 2.0)),
        commands.Pause(),
        *[commands.Resume()] * 3,
        commands.SetLR(0.01),
        commands.Validate(),
        commands.Save(),
        commands.SetFault(fault, on=draw.random() < 0.3),
        commands.Undo(),
        commands.GoBack(),
        commands.KeepGoing(),
        commands.Show(layers=draw.random() < 0.5),
    ]
    return draw.choice(some)


def steering_keeps_ranks_alike() -> None:
    steered(100, 1)


def a_bad_number_names_its_rank() -> None:
    training = preset("spirals-mlp")
    assert isinstance(training.batches, TensorBatches)
    training.batches.features[-1] = torch.nan
    outcome = Session(training).run()
    assert outcome.state is State.FAILED
    assert outcome.reason.startswith("rank "), outcome
    assert "the loss is nan" in outcome.reason
    assert outcome.where.endswith("the features"), outcome
    same_everywhere(outcome.reason, outcome.where)
    assert all(bool(value.isfinite().all()) for value in training.model.state_dict().values())


def a_failure_names_its_rank() -> None:
    """The last check: the rank that has failed takes part in nothing any more."""
    training = preset("spirals-mlp")

    def fail(*_: Any) -> None:
        raise MemoryError("no more")

    if RANK.number == RANK.size - 1:
        training.model.register_forward_hook(fail)
    outcome = Session(training).run()
    assert outcome.state is State.FAILED
    assert outcome.reason == f"rank {RANK.size - 1}: MemoryError: no more", outcome
    assert outcome.where.startswith("epoch 1, batch 1, forward")


CHECKS = (
    numbers_are_those_of_one_process,
    controls_differ,
    loaders_are_shared,
    steering_keeps_ranks_alike,
    a_bad_number_names_its_rank,
    a_failure_names_its_rank,
)
if __name__ == "__main__":
    if sys.argv[1:]:
        steered(int(sys.argv[1]), int(sys.argv[2]))
    else:
        for check in CHECKS:
            check()
