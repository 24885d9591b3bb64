"""Watching never changes the numbers: a watched run equals the guide's loop bit for bit."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from listeners import Keeper
from offline import OFFLINE
from served import Served, runtime
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from fivestep.core.protocol.commands import Advance, Pause, Resume, Show, Validate
from fivestep.core.session.session import Session
from fivestep.core.training.training import Training
from fivestep.presets.build import build
from fivestep.presets.recipe import load

BUILD = sys.modules[build.__module__]

EPOCHS = {"diabetes-mlp": 3, "iris-mlp": 4, "wine-mlp": 3}  # theirs are short; the others see two
BATCHES = 12
"""Of an epoch at most, the last one smaller than the others."""


def prepare(name: str) -> Training:
    """The preset with so much data that it sees some epochs, and not more."""
    training = build(load(name, {"epochs": EPOCHS.get(name, 2)}))
    size = training.batches.batch_size
    rows = BATCHES * size - size // 2
    training.batches.features = training.batches.features[:rows]
    training.batches.labels = training.batches.labels[:rows]
    if training.validation is not None:
        training.validation.features = training.validation.features[:40]
        training.validation.labels = training.validation.labels[:40]
    return training


def guide_loop(training: Training) -> list[float]:
    """The loop as the guide has it, over a plain DataLoader. Nobody watches."""
    torch.set_num_threads(training.threads or 1)
    torch.manual_seed(training.seed or 0)
    batches = training.batches
    loader = DataLoader(
        TensorDataset(batches.features, batches.labels),
        batch_size=batches.batch_size,
        shuffle=True,
        generator=batches.generator,
    )
    model, criterion, optimizer = training.model, training.criterion, training.optimizer
    losses = []
    for _ in range(training.epochs):
        model.train()
        for features, labels in loader:
            optimizer.zero_grad()
            outputs = model(features)
            loss = criterion(outputs, labels)
            loss.backward()
            if training.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
            optimizer.step()
            if training.scheduler is not None and training.scheduler_per == "update":
                training.scheduler.step()
            losses.append(loss.item())
        if training.scheduler is not None and training.scheduler_per == "epoch":
            training.scheduler.step()
    return losses


def watch(training: Training) -> list[float]:
    """The same under a session that is looked at all the time, paused, stepped and validated.

    Everything there is of the inside of a batch is shown, with a picture of what the model knows.
    """
    listener = Keeper()
    session = Session(training, listener)
    looking = threading.Event()

    def look() -> None:
        while not looking.is_set():
            session.latest(curves=True)

    watcher = threading.Thread(target=look)
    session.send(Show(layers=True, histograms=True, batch=True, view=""))
    session.send(Pause())
    session.start()
    watcher.start()
    try:
        for _ in range(9):
            before = session.snapshot().step
            session.send(Advance("phase"))
            while session.snapshot().step == before:
                pass
        shown = session.snapshot().inside
        assert shown.layers
        assert shown.layers[0].weights is not None
        assert shown.batch is not None
        assert shown.picture is not None, shown.problem
        session.send(Advance("batch"))
        session.send(Validate())
        session.send(Resume())
        assert session.join(100)
    finally:
        looking.set()
        watcher.join()
    assert session.outcome.state == "finished", session.outcome
    return [loss for _, _, _, loss, _ in listener.batches]


def steer_from_afar(training: Training) -> list[float]:
    """The same, served, under two clients of which one looks all the time."""
    listener = Keeper()
    with runtime():
        run = Served(training, listener=listener)
        remote, onlooker, looking = run.attach(), run.attach(), threading.Event()

        def look() -> None:
            while not looking.is_set():
                onlooker.picture(onlooker.latest(curves=True))
                onlooker.now()

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            for command in (
                Show(layers=True, histograms=True, batch=True, view=""),
                *(Advance("phase") for _ in range(9)),
                Advance("batch"),
                Validate(),
                Resume(),
            ):
                assert remote.taken(remote.send(command)) == ""
            looking.set()
            assert run.session.join(100)
        finally:
            looking.set()
            run.end()
            watcher.join()
    assert run.session.outcome.state == "finished", run.session.outcome
    return [loss for _, _, _, loss, _ in listener.batches]


def flat(state: Any) -> dict[str, Any]:
    """An optimizer's or model's state, nested as it is, as one level of name to value."""
    items = state.items() if isinstance(state, dict) else enumerate(state)
    out: dict[str, Any] = {}
    for key, value in items:
        if isinstance(value, (dict, list, tuple)):
            out |= {f"{key}.{name}": leaf for name, leaf in flat(value).items()}
        else:
            out[str(key)] = value
    return out


def assert_same(watched: Any, bare: Any) -> None:
    left, right = flat(watched), flat(bare)
    assert left.keys() == right.keys()
    for name, value in left.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, right[name]), name
        else:
            assert value == right[name], name


def assert_watching_changes_nothing(
    name: str, watch: Callable[[Training], list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    try:
        with monkeypatch.context() as torchs:  # its own optimizers, not the lean ones
            torchs.setattr(BUILD, "optimizer_class", lambda name: getattr(torch.optim, name))
            bare = prepare(name)
        assert type(bare.optimizer).__module__.startswith("torch.")
        bare_losses = guide_loop(bare)
        watched = prepare(name)
        losses = watch(watched)
    finally:
        torch.set_num_threads(threads)
    assert len(losses) >= 20
    assert losses == bare_losses
    assert_same(watched.model.state_dict(), bare.model.state_dict())
    assert_same(watched.optimizer.state_dict(), bare.optimizer.state_dict())
    assert torch.equal(watched.batches.generator.get_state(), bare.batches.generator.get_state())


@pytest.mark.parametrize("name", OFFLINE)
def test_a_watched_run_equals_the_bare_loop_bit_for_bit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_watching_changes_nothing(name, watch, monkeypatch)


@pytest.mark.parametrize("name", ["digits-cnn", "docs-lstm"])
def test_so_does_one_that_is_steered_from_another_process(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_watching_changes_nothing(name, steer_from_afar, monkeypatch)
