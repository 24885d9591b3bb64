"""What `tests/core/training/test_ranks.py` runs as every rank of one torchrun.

Each check runs in all ranks at the same time. What is wrong is raised, in whichever of them.
"""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from listeners import Keeper
from offline import OFFLINE
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, TensorDataset

from fivestep.core.protocol import commands
from fivestep.core.protocol.at_hand import PARAMETERS, ParameterTable
from fivestep.core.protocol.commands import Command
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.rank import Parallel, this_rank
from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.persistence import Persistence
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.core.training.data import TensorBatches
from fivestep.core.training.progress import tensors_in
from fivestep.core.training.rank_batches import Split
from fivestep.core.training.rank_training import train_among
from fivestep.core.training.ranks import RankGroup
from fivestep.core.training.spread import own_part, whole
from fivestep.core.training.training import Training
from fivestep.core.training.unfit import UnfitError
from fivestep.presets.build import build
from fivestep.presets.recipe import load

RANK = this_rank()
RANKS = RankGroup(RANK)
SPLIT = Split(RANK.number, RANK.size, RANK.size)
ROWS, BATCH = 37, 4
"""Four batches of 8, then one of 5, which two ranks can't share evenly."""
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def preset(
    name: str,
    dtype: torch.dtype = torch.float32,
    *,
    alone: bool = False,
    parallel: Parallel = "ddp",
    **parts: Any,
) -> Training:
    """A preset on few data, for every rank, or the same for one process with the whole batch;
    `parts` take the place of its own.
    """
    size = BATCH * RANK.size if alone else BATCH
    recipe = load(name, {"epochs": 2, "batch_size": size, "device": "cpu", "threads": 1})
    training = build(recipe, split=None if alone else SPLIT)
    for part in (training.batches, training.validation):
        assert isinstance(part, TensorBatches)
        for kind in ("features", "labels"):
            data: Tensor = getattr(part, kind)[:ROWS]
            setattr(part, kind, data.to(dtype) if data.is_floating_point() else data)
    training.model.to(dtype)
    for module in training.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # each rank draws its own
    for part, value in parts.items():
        setattr(training, part, value)
    if not alone:
        train_among(training, SPLIT, RANKS, parallel)
    return training


def trained(training: Training) -> list[Tensor]:
    """Losses, the validation's loss and the weights of a training that has come to its end."""
    keeper = Keeper()
    session = Session(training, keeper)
    assert session.run().state is State.FINISHED, session.outcome
    losses = [loss for _, _, _, loss, _ in keeper.batches]
    val_loss = torch.tensor(session.snapshot().val_loss)
    return [torch.tensor(losses), val_loss, *weights(training)]


def weights(training: Training) -> list[Tensor]:
    """All of them, for which every rank has to ask."""
    return [whole(value) for value in training.model.state_dict().values()]


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
    held = (value.numpy().tobytes() for value in weights(training))
    return hashlib.sha256(b"".join(held)).hexdigest()


def numbers_are_those_of_one_process() -> None:
    for name in OFFLINE:
        for dtype, within in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
            many, one = preset(name, dtype), preset(name, dtype, alone=True)
            parts = list(many.model.modules())
            if any(isinstance(part, NORMS) for part in parts):
                continue
            if any(isinstance(part, nn.Dropout) for part in parts) and dtype is torch.float32:
                continue  # theirs are large: Adam makes more of a last bit than of a gradient
            found = difference(trained(many), trained(one))
            assert found <= within, (name, dtype, found)
            same_everywhere(digest(many))


def unweighted(**how: Any) -> Training:
    """One in which unequal parts of a batch count the same."""
    training = preset("spirals-mlp", torch.float64, **how)
    assert training.replica is not None
    write = training.replica.write
    training.replica.write = lambda loss, mean, share, asks: write(
        loss, mean, 1 / RANK.size, asks=asks
    )
    return training


def controls_differ() -> None:
    one = trained(preset("spirals-mlp", torch.float64, alone=True))
    assert difference(trained(unweighted()), one) > 1e-6
    again = preset("spirals-mlp", torch.float64)  # each epoch in the order of the first
    assert isinstance(again.batches, TensorBatches)
    begun, batches = again.batches.generator.get_state(), again.batches.batches
    again.batches.batches = lambda start=0: (
        again.batches.generator.set_state(begun),
        batches(start),
    )[1]
    assert difference(trained(again), one) > 1e-6


def shards_give_the_same_numbers() -> None:
    """Blocks, shared weights, recurrent ones; clipping, accumulation, parts without a row."""
    for name, dtype, parts in (
        ("docs-gpt", torch.float64, {"clip_norm": 0.05, "epochs": 1}),
        ("docs-lstm", torch.float32, {"epochs": 1}),
        ("spirals-mlp", torch.float32, {}),
        ("spirals-mlp", torch.float64, {"clip_norm": 0.05, "accumulate": 2}),
        ("line-linear", torch.float64, {}),
    ):
        many = preset(name, dtype, parallel="fsdp", **parts)
        found = difference(trained(many), trained(preset(name, dtype, alone=True, **parts)))
        assert found <= (1e-12 if dtype is torch.float64 else 1e-6), (name, dtype, found)
        same_everywhere(digest(many))
        rows = RANKS.exchange([own_part(p).shape[0] for p in many.model.parameters()])
        assert [*map(sum, zip(*rows, strict=True))] == [p.shape[0] for p in many.model.parameters()]
    one = trained(preset("spirals-mlp", torch.float64, alone=True))
    assert difference(trained(unweighted(parallel="fsdp")), one) > 1e-6


def kept(
    training: Training, state: dict[str, Any] | None = None, *, stops: bool = False
) -> dict[str, Any]:
    """The last checkpoint of a run; one that `stops` does so behind its first or second batch."""
    writes = training.ranks is None or RANKS.first
    with tempfile.TemporaryDirectory() as folder:
        saving = None
        if writes:
            saving = Persistence(RunDirectory.create(Path(folder), "run", "run"))
        keeper = Keeper()
        session = Session(training, keeper, saving=saving, state=state)
        if stops:
            keeper.batch = lambda *_: session.send(commands.Stop())  # type: ignore[method-assign]
        assert session.run().state is not State.FAILED, session.outcome
        loaded = CheckpointStore(Path(folder, "run", "checkpoints")).newest() if writes else None
    found: dict[str, Any] = RANKS.from_first(None if loaded is None else loaded.state)
    return found


def shards_resume_what_others_have_kept_and_the_other_way_round() -> None:
    def made(parallel: Parallel | None) -> Training:
        how: dict[str, Any] = {"alone": True} if parallel is None else {"parallel": parallel}
        return preset("spirals-mlp", torch.float64, accumulate=3, **how)

    def learned(state: dict[str, Any]) -> list[Tensor]:
        return list(tensors_in((state["model"], state["optimizer"])))

    whole_run = learned(kept(made(None)))
    ways: list[tuple[Parallel | None, Parallel | None]] = [("fsdp", "fsdp"), ("fsdp", None)]
    for first, then in (*ways, (None, "fsdp")):
        begun = kept(made(first), stops=True)
        assert begun["progress"]["batches_done"] in (1, 2)
        assert begun["gradients"]
        ended = learned(kept(made(then), begun))
        assert difference(ended, whole_run) <= 1e-12, (first, then)


def shards_that_are_looked_into_stay_alike_and_say_what_is_seen() -> None:
    many = [preset("spirals-mlp", parallel="fsdp") for _ in range(2)]
    looked = Session(many[0])
    if RANKS.first:
        looked.send(commands.Show(layers=True, histograms=True, view=PARAMETERS))
    assert looked.run().state is State.FINISHED, looked.outcome
    trained(many[1])
    assert digest(many[0]) == digest(many[1])
    inside = looked.snapshot().inside
    if RANKS.first:
        assert inside.part == "of each parameter the part that the first rank keeps"
        assert isinstance(inside.picture, ParameterTable)
        assert inside.picture.note == inside.part
        norms = [row.norm for row in inside.picture.rows]
        parts = map(own_part, many[0].model.parameters())
        assert norms == pytest.approx([float(part.detach().norm()) for part in parts])


def shards_that_can_not_be_are_refused() -> None:
    def refused(change: Callable[[Training], object]) -> str:
        training = own_training(BATCH, [])
        change(training)
        try:
            train_among(training, SPLIT, RANKS, "fsdp")
        except UnfitError as error:
            return str(error)
        return ""

    def without_room(training: Training) -> None:
        training.model.register_parameter("scale", nn.Parameter(torch.ones(()).double()))

    def updated_by(kind: type[Optimizer], **options: Any) -> Callable[[Training], object]:
        return lambda one: setattr(one, "optimizer", kind(one.model.parameters(), 0.1, **options))

    averages = refused(lambda one: one.model.append(nn.BatchNorm1d(1).double()))
    assert averages == "layer 3 averages over batches, of which each rank sees its part"
    assert refused(without_room).startswith("scale is a single number")
    assert refused(updated_by(torch.optim.Rprop)) == "Rprop needs whole parameters"
    fused = refused(updated_by(torch.optim.SGD, fused=True))
    assert fused == "SGD(fused=True) needs whole parameters"
    assert refused(lambda one: setattr(one, "amp", "fp16")) == "amp fp16 is not there for shards"
    assert refused(lambda one: one.model[0].float()) == "its parameters are of more than one type"
    alien = {"params": [nn.Parameter(torch.ones(1))]}
    told = refused(lambda one: one.optimizer.add_param_group(alien))
    assert told.startswith("the optimizer has parameters that are none of the model's")
    assert not refused(updated_by(torch.optim.Adagrad))


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


def steered(count: int, seed: int, parallel: Parallel = "ddp") -> None:
    """Whatever is asked for, of whichever rank and whenever: all stay the same, and none waits."""
    training = preset("spirals-mlp", parallel=parallel)
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
    steered(100, 1, "fsdp")


def a_bad_number_names_its_rank(parallel: Parallel = "ddp") -> None:
    training = preset("spirals-mlp", parallel=parallel)
    assert isinstance(training.batches, TensorBatches)
    training.batches.features[-1] = torch.nan
    outcome = Session(training).run()
    assert outcome.state is State.FAILED
    assert outcome.reason.startswith("rank "), outcome
    assert "the loss is nan" in outcome.reason
    assert outcome.where.endswith("the features"), outcome
    same_everywhere(outcome.reason, outcome.where)
    assert all(bool(value.isfinite().all()) for value in weights(training))


def a_bad_number_ends_all_shards() -> None:
    a_bad_number_names_its_rank("fsdp")
    training = preset("spirals-mlp", parallel="fsdp")
    criterion = training.criterion
    if RANK.number == RANK.size - 1:  # of 0 the root is 0, and its slope infinite
        training.criterion = lambda outputs, labels: (
            criterion(outputs, labels) + (outputs * 0).sqrt().sum()
        )
    outcome = Session(training).run()
    assert outcome.reason == "of one rank a loss or a gradient is NaN or infinite", outcome
    assert "the gradient of " in outcome.where
    same_everywhere(outcome.reason, outcome.where)
    assert all(bool(value.isfinite().all()) for value in weights(training))


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
    shards_give_the_same_numbers,
    shards_resume_what_others_have_kept_and_the_other_way_round,
    shards_that_are_looked_into_stay_alike_and_say_what_is_seen,
    shards_that_can_not_be_are_refused,
    steering_keeps_ranks_alike,
    a_bad_number_names_its_rank,
    a_bad_number_ends_all_shards,
    a_failure_names_its_rank,
)
if __name__ == "__main__":
    if sys.argv[1:]:
        count, seed, asked = sys.argv[1:]
        steered(int(count), int(seed), "fsdp" if asked == "fsdp" else "ddp")
    else:
        for check in CHECKS:
            check()
