"""Data workers that are busy, or die of the signal that ends the run, do not hold its end up."""

from __future__ import annotations

import multiprocessing
import signal
import threading

import pytest
import torch
import torch.utils.data._utils as loading
from torch import nn
from torch.utils.data import DataLoader, Dataset

from fivestep.core.protocol.commands import Stop
from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session


class Stuck(Dataset):
    """Its items end after some, for ever."""

    def __init__(self, last, stuck):
        self.last, self.stuck = last, stuck

    def __len__(self):
        return 100

    def __getitem__(self, i):
        if i >= self.last:
            self.stuck.set()
            threading.Event().wait()
        return torch.zeros(6), torch.tensor(0)


@pytest.fixture
def run(make_training):
    """Starts a run whose data end after some items; gives it, and what says that they have."""

    def start(last, criterion):
        stuck = multiprocessing.get_context("fork").Event()
        loader = DataLoader(Stuck(last, stuck), 1, num_workers=2)
        model = nn.Linear(6, 3)
        made = make_training(batches=loader, model=model, criterion=criterion, validation=False)
        session = Session(made)
        session.start()
        return session, stuck

    return start


def test_a_stop_does_not_wait_for_what_a_worker_is_fetching(run, monkeypatch):
    monkeypatch.setattr(loading, "MP_STATUS_CHECK_INTERVAL", 3600.0)  # else torch gives up, in time
    held = threading.Event()

    def criterion(outputs, labels):
        held.wait()
        return outputs.square().mean()

    session, stuck = run(3, criterion)
    assert stuck.wait(60)
    session.send(Stop())
    held.set()
    assert session.join(60)
    assert (session.outcome.state, session.latest().batches_done) == (State.STOPPED, 1)
    assert not multiprocessing.active_children()


def test_workers_that_die_of_the_signal_are_no_failure(run, monkeypatch):
    monkeypatch.setattr(loading, "MP_STATUS_CHECK_INTERVAL", 0.25)
    session, stuck = run(0, nn.CrossEntropyLoss())
    assert stuck.wait(60)
    for worker in multiprocessing.active_children():
        worker.kill()
    session.send(Stop("interrupted by SIGTERM"))
    assert session.join(60)
    outcome = session.outcome
    assert (outcome.state, outcome.reason) == (State.STOPPED, "interrupted by SIGTERM")


def deaf():
    """Whether this thread, or process, gets no Ctrl+C."""
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


class Deaf(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.full((6,), float(deaf())), torch.tensor(0)


def test_ctrl_c_is_not_for_the_workers(make_training):
    seen = []

    class Noting(nn.Linear):
        def forward(self, x):
            seen.append((x.min().item(), deaf()))
            return super().forward(x)

    loader = DataLoader(Deaf(), 2, num_workers=1)
    session = Session(make_training(batches=loader, model=Noting(6, 3), validation=False))
    session.start()
    assert session.join(60)
    assert session.outcome.state is State.FINISHED
    assert set(seen) == {(1.0, False)}
