"""Scalars come back from a device in order, with the value they had when they were taken."""

from __future__ import annotations

import torch
from listeners import Keeper  # tests is on the path

from fivestep.core.session.readings import SLOTS, Readback, Readings
from fivestep.core.session.session import Session


def test_values_gather_and_come_back_in_order():
    back = Readback(torch.device("cpu"))
    scalar = torch.zeros(())
    for k in range(SLOTS + 10):
        scalar.fill_(k)
        back.push(k, scalar)
    assert back.poll() == [(k, float(k)) for k in range(SLOTS)]
    assert back.poll() == []
    assert back.drain() == [(k, float(k)) for k in range(SLOTS, SLOTS + 10)]
    assert back.drain() == []


def test_a_run_that_reads_its_losses_late_records_the_same_as_one_that_reads_at_once(
    make_training, monkeypatch
):
    def told(epoch):
        return epoch.train_loss, epoch.val_loss, epoch.metrics

    at_once, late = Keeper(), Keeper()
    Session(make_training(samples=700), at_once).run()
    first = Readings.__init__

    def as_on_a_gpu(self, *args, **kwargs):
        first(self, *args, **kwargs)
        self._losses.immediate = self._norms.immediate = self._immediate = False

    monkeypatch.setattr(Readings, "__init__", as_on_a_gpu)
    Session(make_training(samples=700), late).run()
    assert [told(e) for e in late.epochs] == [told(e) for e in at_once.epochs]
    assert late.batches == at_once.batches
