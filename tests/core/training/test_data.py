"""Batches from memory are those of a DataLoader with the same generator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from fivestep.core.training.data import ALIGN, TensorBatches, batch_count


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 70),
    batch_size=st.integers(1, 40),
    width=st.integers(1, 9),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_batches_and_draws_are_those_of_a_data_loader(samples, batch_size, width, shuffle, seed):
    features = torch.randn(samples, width)
    labels = torch.arange(samples)
    ours, theirs = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
    batches = TensorBatches(features, labels, batch_size, ours if shuffle else None)
    loader = DataLoader(
        TensorDataset(features, labels), batch_size, shuffle=shuffle, generator=theirs
    )
    assert len(batches) == len(loader)
    for _ in range(2):
        for (x, y), (xx, yy) in zip(batches, loader, strict=True):
            assert torch.equal(x, xx)
            assert torch.equal(y, yy)
            assert x.data_ptr() % ALIGN == 0
            assert y.data_ptr() % ALIGN == 0
        if shuffle:
            assert torch.equal(ours.get_state(), theirs.get_state())


def test_batches_are_cut_many_at_a_time(monkeypatch):
    monkeypatch.setattr("fivestep.core.training.data.AT_ONCE", 3)
    for samples, size in ((40, 4), (41, 4), (38, 5), (12, 4)):
        for width in (1, 16):
            features = torch.randn(samples, width)
            batches = list(TensorBatches(features, torch.arange(samples), size))
            assert torch.equal(torch.cat([x for x, _ in batches]), features)
            assert [len(y) for _, y in batches[:-1]] == [size] * (len(batches) - 1)
            assert all(x.data_ptr() % ALIGN == 0 for x, _ in batches)


def test_a_model_may_change_a_batch_in_place():
    weight = torch.ones(1, requires_grad=True)
    features = torch.zeros(8, 1)
    generator = torch.Generator()
    for x, _ in TensorBatches(features, torch.zeros(8), 2, generator):
        x.add_(weight)
        x.sum().backward()
    assert weight.grad is not None
    assert weight.grad.item() == 8
    assert not features.any()


def test_an_epoch_can_begin_at_any_batch():
    batches = TensorBatches(torch.randn(20, 3), torch.arange(20), 6)
    whole = list(batches)
    assert [y.tolist() for _, y in batches.batches(2)] == [y.tolist() for _, y in whole[2:]]


@pytest.mark.parametrize(
    ("rows", "labels", "batch_size", "what"),
    [(3, 2, 1, "3 features but 2 labels"), (0, 0, 1, "empty"), (3, 3, 0, "at least 1")],
)
def test_what_cannot_be_served_is_refused(rows, labels, batch_size, what):
    with pytest.raises(ValueError, match=what):
        TensorBatches(torch.zeros(rows, 1), torch.zeros(labels), batch_size)


def test_a_loader_that_only_guesses_its_length_counts_as_unknown():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([torch.zeros(1)])

        def __len__(self):
            return 1

    assert batch_count(DataLoader(Stream())) is None
    assert batch_count(iter([])) is None
    assert batch_count([1, 2]) == 2
