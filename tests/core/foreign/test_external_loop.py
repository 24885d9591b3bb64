"""A loop of one's own under watch: the same numbers, honest facts, no hook left behind."""

from __future__ import annotations

import contextlib
import re

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from fivestep.core.foreign.watched import Watched
from fivestep.core.protocol.snapshot import Certainty
from fivestep.core.protocol.steps import FIVE, State, Step


def parts(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 2))
    data = TensorDataset(torch.randn(50, 4), torch.randint(2, (50,)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    return model, DataLoader(data, batch_size=8, shuffle=True), nn.CrossEntropyLoss(), optimizer


def loop(model, criterion, optimizer, batches, epochs=3):
    losses = []
    for _ in range(epochs):
        model.train()
        for features, labels in batches():
            optimizer.zero_grad()
            loss = criterion(model(features), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def hooks_of(model, criterion, optimizer):
    modules = [*model.modules(), criterion]
    return (
        sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules),
        len(optimizer._optimizer_step_pre_hooks) + len(optimizer._optimizer_step_post_hooks),
        "zero_grad" in vars(optimizer),
    )


@pytest.mark.parametrize("knows_loss", [True, False])
def test_a_watched_loop_gives_the_same_bits(knows_loss):
    model, loader, criterion, optimizer = parts()
    bare = loop(model, criterion, optimizer, lambda: loader)
    expected = [p.clone() for p in model.state_dict().values()], torch.get_rng_state()

    model, loader, criterion, optimizer = parts()
    with Watched(model, optimizer, criterion if knows_loss else None) as watched:
        seen = loop(model, criterion, optimizer, lambda: watched(loader))
    assert seen == bare
    assert all(map(torch.equal, model.state_dict().values(), expected[0]))
    assert torch.equal(torch.get_rng_state(), expected[1])
    assert hooks_of(model, criterion, optimizer) == (0, 0, False)
    assert watched.progress.samples_done == 150
    assert (watched.progress.batches_done, watched.progress.updates) == (21, 21)
    assert watched.outcome.state is State.FINISHED
    assert watched.latest().loss == bare[-1]
    assert watched.latest().last.train_loss == pytest.approx(sum(bare[-7:]) / 7)


def test_each_fact_says_how_sure_it_is():
    model, loader, criterion, optimizer = parts()
    with Watched(model, optimizer, criterion) as watched:
        loop(model, criterion, optimizer, lambda: watched(loader), epochs=1)
    sure = dict(zip(Step, watched.info.phases, strict=True))
    assert {sure[step] for step in FIVE} == {Certainty.EXACT}
    assert sure[Step.VALIDATE] is Certainty.UNKNOWN
    assert watched.info.loss is Certainty.EXACT
    assert all(watched.shares[step] > 0 for step in FIVE)
    assert sum(watched.shares) == pytest.approx(1)
    assert watched.latest().eta is None


def test_without_the_criterion_only_the_time_of_the_loss_is_inferred():
    model, loader, criterion, optimizer = parts()
    with Watched(model, optimizer) as watched:
        assert watched.info.loss is Certainty.UNKNOWN
        loop(model, criterion, optimizer, lambda: watched(loader), epochs=1)
    assert watched.info.loss is Certainty.EXACT
    sure = dict(zip(Step, watched.info.phases, strict=True))
    assert sure[Step.LOSS] is Certainty.INFERRED
    assert {sure[step] for step in FIVE if step is not Step.LOSS} == {Certainty.EXACT}
    assert all(watched.shares[step] > 0 for step in FIVE)


def test_eval_mode_counts_as_validation():
    model, loader, criterion, optimizer = parts()
    with Watched(model, optimizer, criterion) as watched:
        loop(model, criterion, optimizer, lambda: watched(loader), epochs=1)
        last = watched.latest().loss
        model.eval()
        with torch.no_grad():
            criterion(model(torch.randn(5, 4)), torch.zeros(5, dtype=torch.long))
    assert watched.info.phases[Step.VALIDATE] is Certainty.EXACT
    assert watched.latest().loss == last


@pytest.mark.parametrize(
    ("error", "state"), [(KeyboardInterrupt, State.STOPPED), (ValueError, State.FAILED)]
)
def test_an_exception_passes_and_leaves_no_hook(error, state):
    model, loader, criterion, optimizer = parts()

    def breaking():
        yield next(iter(loader))
        raise error("in the middle")

    watched = Watched(model, optimizer, criterion)
    with pytest.raises(error), watched:
        loop(model, criterion, optimizer, lambda: watched(breaking()))
    assert hooks_of(model, criterion, optimizer) == (0, 0, False)
    assert watched.outcome.state is state
    assert watched.progress.batches_done == 1


def test_an_error_in_the_forward_pass_is_told_with_its_batch():
    model, _, criterion, optimizer = parts()
    watched = Watched(model, optimizer, criterion)
    wrong = [(torch.randn(8, 9), torch.zeros(8))]
    with contextlib.suppress(RuntimeError), watched:
        loop(model, criterion, optimizer, lambda: watched(wrong))
    assert watched.outcome.state is State.FAILED
    assert watched.outcome.where == "epoch 1, batch 1, forward"
    assert re.search(r"test_external_loop\.py:\d+ in loop$", watched.outcome.line)
    assert watched.outcome.reason == (
        "layer 0 (Linear) expects 4 features, got 9 from the data: an input of (8, 9)"
    )
    assert hooks_of(model, criterion, optimizer) == (0, 0, False)


def test_a_loop_left_early_counts_what_was_done():
    model, loader, criterion, optimizer = parts()
    with Watched(model, optimizer, criterion) as watched:
        for features, labels in watched(loader):
            optimizer.zero_grad()
            criterion(model(features), labels).backward()
            optimizer.step()
            if watched.progress.batches_done == 2:
                break
    assert (watched.progress.epoch, watched.progress.batches_done) == (0, 3)


def test_a_watch_is_for_one_loop():
    model, loader, criterion, optimizer = parts()
    watched = Watched(model, optimizer, criterion)
    with pytest.raises(RuntimeError, match="inside `with"):
        watched(loader)
    with watched, pytest.raises(RuntimeError, match="one loop"), watched:
        pass
