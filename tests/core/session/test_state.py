"""Going on from any batch, bit for bit as if never interrupted."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from digest import digest
from states import EveryState, every_state  # tests/core is on the path
from torch import nn
from torch.optim import lr_scheduler as schedules
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

from fivestep.core.inspection.eval_mode import eval_without_trace
from fivestep.core.protocol.at_hand import EPOCHS
from fivestep.core.protocol.commands import ScaleLR, Show, Stop
from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.core.session.state import StateError, put_state


def weights(training):
    return [p.detach().clone() for p in training.model.state_dict().values()]


def assert_goes_on_exactly(make, every=5):
    """Go on from every state of a run, or some, and meet the same states on the way."""
    states, whole = every_state(make())
    marks = [digest(state) for state in states]
    assert len(set(marks)) == len(marks)
    for start in range(len(states) - 1, -1, -every):
        torch.manual_seed(start)
        np.random.seed(start)
        random.seed(start)
        again = make()
        for p in again.model.parameters():
            nn.init.zeros_(p)
        met, session = every_state(again, state=states[start])
        again_met = list(dict.fromkeys(digest(state) for state in met))  # the end's twice
        assert again_met == marks[start:], f"from state {start}"
        for a, b in zip(weights(whole.training), weights(session.training), strict=True):
            assert torch.equal(a, b)
        assert session.latest().recent == whole.latest().recent
        assert session.latest().last.train_loss == whole.latest().last.train_loss
        assert session.latest().val_loss == whole.latest().val_loss
        assert session.latest().best_metric == whole.latest().best_metric


def test_dropout_batch_norm_shuffling_and_moments_go_on_from_any_batch(make_training):
    assert_goes_on_exactly(lambda: make_training(epochs=2), every=1)


@pytest.mark.parametrize("accumulate", [3, 4])
def test_an_accumulation_window_goes_on_with_its_gradients(make_training, accumulate):
    assert_goes_on_exactly(lambda: make_training(epochs=2, accumulate=accumulate, clip_norm=0.5))


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_goes_on_with_its_scale(make_training, amp):
    def criterion(outputs, labels):  # its first gradients are too large for fp16
        return 3000 * nn.functional.cross_entropy(outputs, labels)

    assert_goes_on_exactly(
        lambda: make_training(
            epochs=2, amp=amp, accumulate=2, clip_norm=0.5, criterion=criterion, batch_size=6
        )
    )


SCHEDULES = {
    "step": (lambda o: schedules.StepLR(o, 1, 0.5), "epoch"),
    "cosine": (lambda o: schedules.CosineAnnealingLR(o, 14), "update"),
    "onecycle": (lambda o: schedules.OneCycleLR(o, 0.1, total_steps=14), "update"),
    "warmup-cosine": (
        lambda o: schedules.SequentialLR(
            o,
            [schedules.LinearLR(o, 0.1, total_iters=4), schedules.CosineAnnealingLR(o, 10)],
            milestones=[4],
        ),
        "update",
    ),
    "lambda": (lambda o: schedules.LambdaLR(o, lambda n: 0.9**n), "update"),
    "multistep": (lambda o: schedules.MultiStepLR(o, [3, 9]), "update"),
    "restarts": (lambda o: schedules.CosineAnnealingWarmRestarts(o, 5), "update"),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_where_it_was(make_training, name):
    make, per = SCHEDULES[name]
    assert_goes_on_exactly(lambda: make_training(epochs=2, scheduler=make, scheduler_per=per))


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
        lambda p, lr: torch.optim.Adam(p, lr=lr, fused=True),
        lambda p, lr: torch.optim.Adam(p, lr=lr, amsgrad=True),
        lambda p, lr: torch.optim.RMSprop(p, lr=lr, centered=True),
        lambda p, lr: torch.optim.Adagrad(p, lr=lr),
        lambda p, lr: torch.optim.NAdam(p, lr=lr),
    ],
)
def test_an_optimizer_goes_on_with_its_moments(make_training, optimizer):
    assert_goes_on_exactly(lambda: make_training(epochs=2, samples=30, optimizer=optimizer))


class Noisy(Dataset):
    """Samples that draw from every generator of the process."""

    def __init__(self):
        self.x = torch.arange(30.0).view(15, 2)

    def __len__(self):
        return 15

    def __getitem__(self, i):
        noise = torch.rand(1).item() + random.random() + np.random.rand()
        return self.x[i] / 30 + noise, (i % 3)


def plain_model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


def with_loader(make_training, loader, **others):
    model = plain_model()
    parts = {
        "model": model,
        "optimizer": lambda _, lr: torch.optim.AdamW(model.parameters(), lr),
        "batches": loader,
        "validation": None,
        "epochs": 2,
    }
    return make_training(**(parts | others))


def seeded(**options):
    return DataLoader(Noisy(), batch_size=4, generator=torch.Generator().manual_seed(5), **options)


def test_a_loader_with_a_generator_goes_on_in_the_middle_of_an_epoch(make_training):
    def make():
        random.seed(1)
        np.random.seed(1)
        return with_loader(make_training, seeded(shuffle=True))

    assert_goes_on_exactly(make)


def test_so_does_one_that_does_not_shuffle_and_a_list_of_batches(make_training):
    def make():
        random.seed(1)
        np.random.seed(1)
        return with_loader(make_training, DataLoader(Noisy(), batch_size=4))

    assert_goes_on_exactly(make)
    listed = [(torch.rand(4, 2), torch.tensor([0, 1, 2, 0])) for _ in range(4)]
    assert_goes_on_exactly(lambda: with_loader(make_training, listed))


def test_a_validation_that_draws_goes_on_too(make_training):
    data = TensorDataset(torch.rand(9, 6), torch.tensor([0, 1, 2] * 3))

    def make():
        own = torch.Generator().manual_seed(9)
        loader = DataLoader(data, batch_size=4, shuffle=True, generator=own)
        return make_training(validation=loader, epochs=2)

    assert_goes_on_exactly(make)


def test_training_and_validation_may_draw_from_one_generator(make_training):
    def make():
        random.seed(1)
        np.random.seed(1)
        loader = seeded(shuffle=True)
        other = DataLoader(Noisy(), batch_size=5, shuffle=True, generator=loader.generator)
        return with_loader(make_training, loader, validation=other)

    assert_goes_on_exactly(make)


class Interrupting(list):
    """Batches that stop the run at the second one of their first time."""

    session = None

    def __iter__(self):
        for batch in super().__iter__():
            yield batch
            if self.session is not None:
                self.session.send(Stop())


def test_a_run_that_was_stopped_in_a_validation_goes_on_with_the_next_epochs_order(make_training):
    listed = [(torch.rand(4, 6), torch.tensor([0, 1, 2, 0])) for _ in range(3)]

    def make():
        return make_training(validation=Interrupting(listed), epochs=2)

    states, _ = every_state(make())
    keeper = EveryState()
    training = make()
    training.validation.session = session = Session(training, saving=keeper)
    assert session.run().state is State.STOPPED
    stopped = keeper.states[-1]
    assert stopped["progress"]["trained"]
    met, _ = every_state(make(), state=stopped)
    assert digest(met[-1]) == digest(states[-1])


class Stream(IterableDataset):
    def __iter__(self):
        for i in range(12):
            yield torch.full((2,), i / 12), i % 3


class Backwards(Sampler):
    """A sampler of one's own: nobody knows what it does the second time."""

    def __iter__(self):
        return iter(range(14, -1, -1))

    def __len__(self):
        return 15


WITHOUT_A_GENERATOR = {
    "shuffled": lambda: DataLoader(Noisy(), batch_size=4, shuffle=True),
    "a sampler": lambda: seeded(sampler=RandomSampler(range(15))),
    "weights": lambda: DataLoader(Noisy(), 4, sampler=WeightedRandomSampler([1.0, 2, 3] * 5, 15)),
    "workers": lambda: DataLoader(Noisy(), batch_size=4, shuffle=True, num_workers=1),
}


@pytest.mark.parametrize("kind", WITHOUT_A_GENERATOR)
def test_what_draws_its_order_from_torchs_own_generator_goes_on_exactly(make_training, kind):
    def make():
        random.seed(1)
        np.random.seed(1)
        return with_loader(make_training, WITHOUT_A_GENERATOR[kind]())

    assert_goes_on_exactly(make, every=7 if kind == "workers" else 2)


UNREPEATABLE = {
    "stream": lambda: DataLoader(Stream(), batch_size=4),
    "a sampler of one's own": lambda: DataLoader(Noisy(), batch_size=4, sampler=Backwards()),
    "workers that stay": lambda: seeded(shuffle=True, num_workers=1, persistent_workers=True),
}


@pytest.mark.parametrize("kind", UNREPEATABLE)
def test_a_loader_that_cannot_be_repeated_starts_its_epoch_over_and_says_so(make_training, kind):
    def make():
        return with_loader(make_training, UNREPEATABLE[kind]())

    states, whole = every_state(make())
    middle = next(s for s in states if s["progress"]["epoch"] == 1 and s["progress"]["batch"] == 2)
    session = Session(make(), state=middle)
    kept = [value.clone() for value in session.training.model.state_dict().values()]
    assert all(map(torch.equal, kept, middle["model"].values()))
    session.run()
    assert any("starts over from its first batch" in c.text for c in session.latest().changes)
    per_epoch = whole.latest().last.batches
    assert session.latest().batches_done == middle["progress"]["batches_done"] + per_epoch


def test_a_schedule_goes_back_with_the_epoch_that_starts_over(make_training):
    def make():
        loader = UNREPEATABLE["a sampler of one's own"]()
        model = plain_model()
        made = torch.optim.AdamW(model.parameters(), 0.1)
        schedule = schedules.OneCycleLR(made, 0.1, total_steps=8)
        return with_loader(
            make_training,
            loader,
            model=model,
            optimizer=lambda *_, **__: made,
            scheduler=lambda _: schedule,
            scheduler_per="update",
        )

    states, whole = every_state(make())
    told = [change.text for change in whole.latest().changes]
    assert any("interrupted inside an epoch, that epoch starts over" in text for text in told)
    for state in states:
        progress = state["progress"]
        keeper = EveryState()
        session = Session(make(), saving=keeper, state=state)
        assert session.run().state is State.FINISHED, session.outcome
        last, end = keeper.states[-1], states[-1]
        assert last["scheduler"] == end["scheduler"], progress
        assert last["optimizer"]["param_groups"] == end["optimizer"]["param_groups"]
        assert last["progress"]["updates"] == 8


class NoLength:
    """Batches of which nobody knows how many there are."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_a_schedule_that_turns_out_to_be_too_short_loses_no_batch(make_training):
    keeper = EveryState()
    training = make_training(
        samples=40,
        epochs=2,
        scheduler=lambda o: schedules.OneCycleLR(o, 0.1, total_steps=6),
        scheduler_per="update",
    )
    training.batches = NoLength(training.batches)
    session = Session(training, saving=keeper)
    outcome = session.run()
    assert outcome.state is State.FAILED
    assert "OneCycleLR: Tried to step 7 times" in outcome.reason
    assert "epoch 2, batch 2" in outcome.where
    assert keeper.states[-1]["progress"]["batches_done"] == session.latest().batches_done == 7
    assert keeper.states[-1]["record"]["loss_count"] == 2


class Augmented(Noisy):
    """Draws from a generator that only it has."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return x + self.rng.random(), y


def test_a_data_set_with_a_generator_of_its_own_is_told_of(make_training):
    def make():
        data = Subset(Augmented(), range(12))
        own = torch.Generator().manual_seed(5)
        return with_loader(make_training, DataLoader(data, 4, shuffle=True, generator=own))

    states, _ = every_state(make())
    for state, warned in ((states[0], False), (states[2], True)):
        session = Session(make(), state=state)
        session.run()
        told = [c.text for c in session.latest().changes if "generator of its own (rng)" in c.text]
        assert bool(told) is warned


def test_a_learning_rate_set_by_hand_comes_back(make_training):
    def make():
        return make_training(scheduler=SCHEDULES["step"][0])

    keeper = EveryState()
    session = Session(make(), saving=keeper)
    session.send(ScaleLR(0.25))
    session.run()
    marks = [digest(state) for state in keeper.states]
    met, again = every_state(make(), state=keeper.states[9])
    assert [digest(state) for state in met] == marks[9:]
    assert again.latest().lr_factor == 0.25
    assert any("by hand" in change.text for change in again.latest().changes)


def test_the_time_spent_goes_on_counting(make_training):
    states, _ = every_state(make_training())
    states[5]["clock"]["elapsed"] = 1000.0
    states[5]["clock"]["waited"] = 400.0
    _, session = every_state(make_training(), state=states[5])
    end = session.latest()
    assert 1000 < end.elapsed < 1100
    assert 600 < end.active < 700


def test_the_list_of_epochs_goes_on(make_training):
    states, whole = every_state(make_training())
    middle = next(s for s in states if s["progress"]["epoch"] == 2)
    again = Session(make_training(), state=middle)
    again.send(Show(view=EPOCHS))
    again.run()
    rows = again.latest().inside.picture.rows
    last = whole.latest().last
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert rows[-1][1:4] == (last.train_loss, last.val_loss, last.val_metric)
    middle["record"]["epochs"][0] = (1, "0.5", None, None)
    with pytest.raises(StateError, match=r"record\.epochs is no number"):
        Session(make_training(), state=middle)
    del middle["record"]["epochs"], middle["record"]["epoch_seconds"]  # an older one's
    Session(make_training(), state=middle)


def test_an_epoch_that_is_gone_on_with_takes_as_long_as_both_of_its_parts(make_training):
    states, _ = every_state(make_training())
    middle = next(s for s in states if s["progress"]["epoch"] == 1 and s["progress"]["batch"] == 3)
    active, before, validating = middle["record"]["epoch_so_far"]
    middle["record"]["epoch_so_far"] = (active + 50, before, validating)
    keeper = EveryState()
    session = Session(make_training(epochs=2), saving=keeper, state=middle)
    session.run()
    last = session.latest().last
    assert 50 < last.seconds < 60
    assert last.batches == 7
    assert last.batches_per_second < 1


def test_a_state_of_another_model_is_refused_in_one_line(make_training):
    states, _ = every_state(make_training())
    other = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    training = make_training(
        model=other, optimizer=lambda _, lr: torch.optim.AdamW(other.parameters(), lr=lr)
    )
    with pytest.raises(StateError, match="does not fit this run") as told:
        Session(training, state=states[3])
    assert "\n" not in str(told.value)


def test_what_could_only_be_loaded_by_executing_it_is_not_kept(make_training):
    class Odd:
        pass

    training = make_training()
    training.optimizer.param_groups[0]["odd"] = Odd()
    keeper = EveryState()
    Session(training, saving=keeper).run()
    assert not keeper.states
    assert "holds a Odd" in keeper.refused[0]


class Recurrent(nn.Module):
    """Goes on from the last batch's state, which is no buffer."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 3)
        self.hidden, self.seen, self.moments = None, 0, []

    def forward(self, x):
        outputs, hidden = self.rnn(x.unsqueeze(1), self.hidden)
        self.hidden, self.seen = hidden.detach(), self.seen + 1
        self.moments[:] = [*self.moments[-1:], hidden.detach().mean()]
        return self.head(outputs[:, 0]) * (1 + sum(self.moments)) / self.seen**0.1


def with_hidden(make_training, model, **others):
    listed = [(torch.rand(4, 2), torch.tensor([0, 1, 2, 0])) for _ in range(4)]
    return with_loader(
        make_training,
        listed,
        model=model,
        optimizer=lambda _, lr: torch.optim.AdamW(model.parameters(), lr),
        **others,
    )


def test_a_state_that_a_module_carries_outside_of_its_buffers_goes_on(make_training):
    def make():
        torch.manual_seed(1)
        return with_hidden(make_training, Recurrent())

    assert_goes_on_exactly(make, every=1)


def test_so_does_one_in_a_variable_around_the_model(make_training):
    def make():
        torch.manual_seed(1)
        hidden, counts = None, {"batches": 0}

        class Closed(nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn, self.head = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 3)

            def forward(self, x):
                nonlocal hidden
                outputs, state = self.rnn(x.unsqueeze(1), hidden)
                hidden = state.detach()
                return self.head(outputs[:, 0])

        def criterion(outputs, labels):
            counts["batches"] += 1
            return nn.functional.cross_entropy(outputs, labels) * counts["batches"]

        return with_hidden(make_training, Closed(), criterion=criterion)

    assert_goes_on_exactly(make, every=1)


class Memory:
    """Begins empty."""


def test_so_does_one_in_an_object_of_ones_own(make_training):
    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head, self.memory = nn.GRU(2, 4), nn.Linear(4, 3), Memory()

        def forward(self, x):
            outputs, state = self.rnn(x.unsqueeze(0), getattr(self.memory, "state", None))
            self.memory.state = state.detach()
            return self.head(outputs[0])

    class Growing:
        calls = 0

        def __call__(self, outputs, labels):
            self.calls += 1
            return nn.functional.cross_entropy(outputs, labels) * self.calls

    def make():
        torch.manual_seed(1)
        return with_hidden(make_training, Remembering(), criterion=Growing())

    assert_goes_on_exactly(make, every=1)


class Slotted:
    """Has no table of attributes, and begins empty."""

    __slots__ = ("__hidden",)

    def swap(self, hidden):
        before = getattr(self, "_Slotted__hidden", None)
        self.__hidden = hidden
        return before


def test_so_does_one_in_slots(make_training):
    class Recurrent(nn.Module):
        __slots__ = ("seen",)

        def __init__(self):
            super().__init__()
            self.rnn, self.head, self.memory = nn.GRU(2, 4), nn.Linear(4, 3), Slotted()
            self.seen = 0

        def forward(self, x):
            outputs, state = self.rnn(x.unsqueeze(0), self.memory.swap(None))
            self.memory.swap(state.detach())
            self.seen += 1
            return self.head(outputs[0]) / self.seen

    def make():
        torch.manual_seed(1)
        return with_hidden(make_training, Recurrent())

    assert_goes_on_exactly(make, every=1)


def test_going_back_within_a_run_takes_what_is_carried_along(make_training):
    torch.manual_seed(1)
    model = Recurrent()
    training = with_hidden(make_training, model)
    keeper = EveryState()
    session = Session(training, saving=keeper)
    session.run()
    for state in (keeper.states[0], keeper.states[3]):
        put_state(session._run, state, rewinding=True)
        seen = state["progress"]["batches_done"]
        assert (model.seen, len(model.moments)) == (seen, min(seen, 2))
        assert (model.hidden is None) is (seen == 0)


def test_looking_at_a_model_leaves_what_it_carries_alone(make_training):
    model = Recurrent()
    training = with_hidden(make_training, model)
    model(torch.rand(4, 2))
    hidden, content = model.hidden, model.hidden.clone()
    with eval_without_trace(training) as looked_at:
        looked_at(torch.rand(4, 2))
        assert model.seen == 2
    assert (model.seen, len(model.moments)) == (1, 1)
    assert model.hidden is hidden
    assert torch.equal(hidden, content)


def test_what_no_checkpoint_can_keep_is_noticed_by_the_first_loss(make_training):
    def make(carries):
        torch.manual_seed(1)
        count = itertools.count(1)  # nobody can put one back

        def criterion(outputs, labels):
            loss = nn.functional.cross_entropy(outputs, labels)
            return loss * next(count) if carries else loss

        return with_hidden(make_training, plain_model(), criterion=criterion)

    for carries in (True, False):
        states, whole = every_state(make(carries))
        keeper = EveryState()
        keeper.next_loss = whole.latest().recent[states[4]["progress"]["batches_done"]]
        session = Session(make(carries), saving=keeper, state=states[4])
        session.run()
        told = [c.text for c in session.latest().changes if "not exact: the first batch" in c.text]
        assert len(told) == carries
