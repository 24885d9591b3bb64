"""Loaders that can't tell how many batches they have, or tell a wrong number."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from digest import digest
from listeners import Keeper
from states import EveryState, bare, every_state, finished  # tests/core is on the path
from torch.utils.data import DataLoader, IterableDataset

from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.training.unfit import UnfitError


class Loader:
    """Gives batches of 5 samples, so many in each epoch; it has no length."""

    def __init__(self, *epochs: int):
        self.epochs, self.passes = epochs, 0

    def __iter__(self):
        own = torch.Generator().manual_seed(self.passes)
        batches = self.epochs[min(self.passes, len(self.epochs) - 1)]
        self.passes += 1
        for _ in range(batches):
            yield torch.randn(5, 6, generator=own), torch.arange(5) % 3


class Telling(Loader):
    """The same with a length, right or wrong."""

    def __init__(self, says: int, *epochs: int):
        super().__init__(*epochs)
        self.says = says

    def __len__(self):
        return self.says


@pytest.mark.parametrize(
    ("says", "gives"), [(4, (4,)), (4, (7,)), (4, (3,)), (4, (4, 2, 6)), (None, (4, 2, 6))]
)
def test_every_batch_that_comes_is_trained_as_in_the_bare_loop(make_training, says, gives):
    def make():
        loader = Loader(*gives) if says is None else Telling(says, *gives)
        return make_training(batches=loader, validation=False)

    keeper = Keeper()
    session = finished(make(), keeper)
    model = bare(make()).model
    ours, theirs = session.training.model.state_dict(), model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    given = [*gives, gives[-1], gives[-1]][:3]
    assert [summary.batches for summary in keeper.epochs] == given
    lies = [c.text for c in keeper.changes if "length" in c.text]
    wrong = [n for n in given if says is not None and n != says]
    assert len(lies) == bool(wrong)
    if wrong:
        assert lies[0].startswith(f"the loader's length is 4 batches, but the epoch had {wrong[0]}")


class Stream(IterableDataset):
    """Tells of so many samples, and gives 30."""

    def __init__(self, says):
        self.says = says

    def __len__(self):
        return self.says

    def __iter__(self):
        own = torch.Generator().manual_seed(1)
        for label in range(30):
            yield torch.randn(6, generator=own), label % 3


@pytest.mark.parametrize("says", [30, 12, 49])
def test_a_stream_is_taken_at_its_word_until_an_epoch_shows_it_wrong(make_training, says):
    keeper = Keeper()
    loader = DataLoader(Stream(says), batch_size=4, drop_last=True)
    session = finished(make_training(batches=loader, validation=False), keeper)
    assert f"~{says} samples" in session.info.data
    wrong = f"the loader's length is {says // 4} batches, but the epoch had 7: as many are expected"
    told = [change.text for change in keeper.changes if "length" in change.text]
    assert [text.startswith(wrong) for text in told] == [True] * (says != 30)
    assert session.latest().batches_per_epoch == 7


def test_validation_sees_every_batch_too(make_training):
    def loss(validation):
        keeper = Keeper()
        finished(make_training(validation=validation, epochs=1), keeper)
        return keeper.epochs[0].val_loss

    assert loss(Telling(2, 5)) == loss(Loader(5)) == loss(Telling(9, 5))


@pytest.mark.parametrize("loader", [partial(Loader, 6), partial(Telling, 4, 6)])
def test_from_epoch_two_on_the_length_is_the_one_just_seen(make_training, loader):
    states, _ = every_state(make_training(batches=loader(), validation=False))
    start = next(s for s in states if s["progress"]["epoch"] == 1)
    assert start["seen"] == (getattr(loader(), "says", None), 6)
    before = Session(make_training(batches=loader(), validation=False)).latest()
    assert before.batches_per_epoch is None
    resumed = Session(make_training(batches=loader(), validation=False), state=start)
    assert resumed.latest().batches_per_epoch == 6


def test_windows_of_an_accumulation_fit_what_comes_once_it_was_seen(make_training):
    make = partial(make_training, accumulate=3, epochs=2, validation=False)
    states, whole = every_state(make(batches=Telling(4, 6)))
    assert whole.progress.updates == 5  # of 3, 1 and 2 batches; then of 3 and 3
    assert whole.latest().batches_done == 12
    assert len({digest(state) for state in states}) == len(states)


@pytest.mark.parametrize("validates", [True, False])
def test_an_epoch_without_a_batch_ends_the_run(make_training, validates):
    session = Session(make_training(batches=Telling(4, 0), validation=validates))
    outcome = session.run()
    assert (outcome.state, outcome.reason) == (
        State.FAILED,
        "there is no batch to train on: the loader gave none",
    )
    saving = EveryState()
    session = Session(make_training(batches=Loader(4, 0), validation=validates), saving=saving)
    outcome = session.run()
    assert outcome.reason == "epoch 2 got no batch, after 4 in the one before"
    assert "a DataLoader, a list" in outcome.advice
    assert saving.states[-1]["progress"]["epoch"] == 1


def test_an_iterator_can_not_be_gone_through_again(make_training):
    batches = [(torch.randn(5, 6), torch.arange(5) % 3)] * 4
    with pytest.raises(UnfitError, match="batches is a list_iterator, which gives its batches on"):
        Session(make_training(batches=iter(batches)))
    with pytest.raises(UnfitError, match="validation is a generator"):
        Session(make_training(validation=(batch for batch in batches)))
    finished(make_training(batches=iter(batches), validation=iter(batches), epochs=1))


def test_a_list_of_batches_is_counted_in_batches(make_training):
    batches = [(torch.zeros(2, 6), torch.tensor([0, 1]))] * 3
    assert finished(make_training(batches=batches)).info.data == "3 batches"
