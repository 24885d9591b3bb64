"""Checkpoints that will not fit the disk are told of before the run trains, with the figures."""

from __future__ import annotations

import shutil
from collections import namedtuple

import pytest
import torch

from fivestep.core.session.disk_space import short_of_space
from fivestep.core.storage.persistence import Policy

Usage = namedtuple("Usage", "total used free")
ADAM = 12 * (6 * 16 + 16 + 2 * 16 + 16 * 3 + 3)
"""Bytes of the parameters and of two moments each; a few more are buffers and counters."""


@pytest.fixture
def disk(monkeypatch):
    """Says how much room there is on the disk from now on."""

    def has(free: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12 - free, free))

    return has


def test_a_checkpoint_that_does_not_fit_is_told_with_both_figures(make_training, tmp_path, disk):
    disk(2000)
    told = short_of_space(make_training(), tmp_path, Policy())
    assert told.startswith("a checkpoint takes about 2.5 KB, and 2.0 KB are free")


@pytest.mark.parametrize(("free", "told"), [(3.0, True), (4.0, False)])
def test_all_that_are_kept_have_to_fit(make_training, tmp_path, disk, free, told):
    disk(int(free * ADAM))  # two to resume from, one being written, and the best model
    assert bool(short_of_space(make_training(), tmp_path, Policy())) == told


def test_what_is_kept_for_good_counts(make_training, tmp_path, disk):
    disk(10 * ADAM)
    assert not short_of_space(make_training(epochs=100), tmp_path, Policy())
    told = short_of_space(make_training(epochs=100), tmp_path, Policy(epochs=10))
    assert "all that are kept" in told


def test_the_optimizer_decides_how_large_it_is(make_training, tmp_path, disk):
    disk(2 * ADAM)
    sgd = make_training(optimizer=torch.optim.SGD)
    assert not short_of_space(sgd, tmp_path, Policy())
    assert short_of_space(make_training(), tmp_path, Policy())


def test_a_run_that_resumes_has_its_checkpoints_already(make_training, tmp_path, disk):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "batch-000000001.pt").write_bytes(bytes(3 * ADAM))
    disk(ADAM * 3 // 2)
    assert not short_of_space(make_training(), tmp_path, Policy())
