"""Loops of many kinds under watch: equal bits, the right losses, epochs that are all there.

Each loop is small and written anew after what public code does. It trains an epoch, and gives the
loss of each batch.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import math
import pickle
import queue
import threading
from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from listeners import Keeper  # tests is on the path
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from fivestep.core.foreign.watched import Watched
from fivestep.core.protocol.snapshot import Certainty
from fivestep.core.protocol.steps import FIVE, State, Step

EPOCHS = 2


def data(n=24, batch_size=8):
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(n, 4, generator=generator), torch.randint(2, (n,), generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size=batch_size)


def net(outputs=2):
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, outputs))


def built():
    model = net()
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def with_loss(loss_of):
    """The usual loop, around a way to come to the loss."""

    def kind(loader, model, optimizer, criterion):
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_of(model, criterion, x, y)
            loss.backward()
            optimizer.step()
            yield loss.item()

    kind.__name__ = loss_of.__name__
    return kind


@with_loss
def plain(model, criterion, x, y):
    return criterion(model(x), y)


@with_loss
def penalty(model, criterion, x, y):
    return criterion(model(x), y) + 0.1 * model[0].weight.square().sum()


@with_loss
def two_criteria(model, criterion, x, y):
    outputs = model(x)
    return criterion(outputs, y) + criterion(outputs.flip(1), y)


@with_loss
def mean_of_losses(model, criterion, x, y):
    return nn.CrossEntropyLoss(reduction="none")(model(x), y).mean()


@with_loss
def judged_in_between(model, criterion, x, y):
    loss = criterion(model(x), y)
    with torch.no_grad():
        criterion(model(x + 1), y)
    return loss


def zero_grad_before_backward(loader, model, optimizer, criterion):
    for x, y in loader:
        loss = F.cross_entropy(model(x), y)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def accumulation_with_autocast(loader, model, optimizer, criterion):
    for i, (x, y) in enumerate(loader):
        with torch.autocast("cpu", torch.bfloat16):
            loss = criterion(model(x), y)
        (loss / 3).backward()
        if i % 3 == 2:
            optimizer.step()
            optimizer.zero_grad()
        yield loss.item()


def accumulation_divided_in_place(loader, model, optimizer, criterion):
    for i, (x, y) in enumerate(loader):
        loss = criterion(model(x), y)
        whole = loss.item()
        loss /= 3
        loss.backward()
        if i % 3 == 2:
            optimizer.step()
            optimizer.zero_grad()
        yield whole


def ensemble_on_the_side(loader, model, optimizer, criterion):
    """Losses inside of `vmap` have no value that could be read."""
    many = torch.func.vmap(lambda x, y: criterion(model(x), y), randomness="same")
    for x, y in loader:
        many(x[None], y[None])
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        yield loss.item()


def grad_scaler(loader, model, optimizer, criterion):
    scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        yield loss.item()


def closure_in_step(loader, model, optimizer, criterion):
    """As Lightning does it."""
    for x, y in loader:

        def closure(x=x, y=y):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            return loss

        yield optimizer.step(closure).item()


def fetches_ahead(loader, model, optimizer, criterion):
    """As Accelerate does it, to know of the last batch beforehand."""
    batches = iter(loader)
    current = next(batches)
    while current is not None:
        coming = next(batches, None)
        x, y = current
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield loss.item()
        current = coming


def accumulation_fetched_at_once(loader, model, optimizer, criterion):
    """As Hugging Face's Trainer does it, to know how much there is to accumulate over."""
    batches = iter(loader)
    while group := list(islice(batches, 2)):
        for x, y in group:
            loss = F.cross_entropy(model(x), y) / len(group)
            loss.backward()
            yield loss.item()
        optimizer.step()
        optimizer.zero_grad()


def loss_in_outputs(loader, model, optimizer, criterion):
    """As Hugging Face does it."""

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x, labels):
            logits = self.inner(x)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    wrapped = Wrapped()
    for x, y in loader:
        loss = wrapped(x, labels=y)["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(wrapped.parameters(), 1.0)
        optimizer.step()
        model.zero_grad()
        yield loss.item()


def step_function(loader, model, optimizer, criterion):
    """As ignite does it."""

    def update(engine, batch):
        model.train()
        optimizer.zero_grad()
        loss = criterion(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss.item()

    for batch in loader:
        yield update(None, batch)


def autoencoder(loader, model, optimizer, criterion):
    """A VAE's: reconstruction and divergence, reparametrised noise."""
    for x, _ in loader:
        optimizer.zero_grad()
        out = model(x)
        mean, log_var = out[:, :4], out[:, 4:].tanh()
        sample = mean + torch.randn_like(mean) * (log_var / 2).exp()
        divergence = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum()
        loss = F.mse_loss(sample, x, reduction="sum") + divergence
        loss.backward()
        optimizer.step()
        yield loss.item()


def discriminator(loader, model, optimizer, criterion):
    """A GAN's, whose generator is trained beside it by another optimizer."""
    generator = nn.Linear(3, 4)
    other = torch.optim.SGD(generator.parameters(), lr=0.05)
    for x, _ in loader:
        optimizer.zero_grad()
        real = F.softplus(-model(x)).mean()
        real.backward()
        made = generator(torch.randn(len(x), 3))
        fake = F.softplus(model(made.detach())).mean()
        fake.backward()
        optimizer.step()
        other.zero_grad()
        F.softplus(-model(made)).mean().backward()
        other.step()
        yield (real + fake).item()


def actor_critic(loader, model, optimizer, criterion):
    """Actions drawn from a policy, a value beside it, no loader's batches but its states."""
    for x, y in loader:
        out = model(x)
        policy = torch.distributions.Categorical(logits=out[:, :2])
        actions = policy.sample()
        rewards = (actions == y).float()
        advantage = rewards - out[:, 2]
        loss = -(policy.log_prob(actions) * advantage.detach()).mean()
        loss = loss + advantage.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def lbfgs(loader, model, optimizer, criterion):
    for x, y in loader:

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            return loss

        yield optimizer.step(closure).item()
        with torch.no_grad():
            criterion(model(x + 1), y)  # a test's loss is not the batch's


def in_eval_mode(loader, model, optimizer, criterion):
    """`model.train()` forgotten, or batch norm frozen on purpose."""
    model.eval()
    yield from plain(loader, model, optimizer, criterion)


def checkpointed(loader, model, optimizer, criterion):
    """Forward passes come again within the backward pass, and a backward pass in that."""
    for x, y in loader:
        optimizer.zero_grad()
        x.requires_grad_()
        loss = F.cross_entropy(checkpoint(model, x, use_reentrant=True), y)
        loss.backward()
        optimizer.step()
        yield loss.item()


def parts_in_turn(loader, model, optimizer, criterion):
    """Each batch trains one layer alone: the first passes reach none of what the last ones do."""
    for number, (x, y) in enumerate(loader):
        last = number % 2 == 1
        for name, p in model.named_parameters():
            p.requires_grad_(name.startswith("3.") is last)
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        if last:
            loss.backward(inputs=list(model[3].parameters()))
        else:
            loss.backward()
        optimizer.step()
        yield loss.item()


def several_tensors(loader, model, optimizer, criterion):
    for x, y in loader:
        optimizer.zero_grad()
        outputs = model(x)
        losses = [criterion(outputs, y), outputs.square().mean()]
        torch.autograd.backward(losses)
        optimizer.step()
        yield sum(losses).item()


def fetched_by_a_thread(loader, model, optimizer, criterion):
    """As prefetching generators do it: no batch is asked for in the loop's own thread."""
    ready = queue.Queue(maxsize=10)

    def fetch():
        for batch in loader:
            ready.put(batch)
        ready.put(None)

    thread = threading.Thread(target=fetch)
    thread.start()
    yield from plain(iter(ready.get, None), model, optimizer, criterion)
    thread.join()


def beside_another_loader(loader, model, optimizer, criterion):
    """Both under watch, if one is."""
    watched = getattr(loader, "_watched", lambda batches: batches)
    for (x, y), (noise, _) in zip(loader, watched(data()), strict=True):
        optimizer.zero_grad()
        loss = criterion(model(x + 0.1 * noise), y)
        loss.backward()
        optimizer.step()
        yield loss.item()


def validating_within(loader, model, optimizer, criterion):
    """After each batch, with a loader that is under watch, too; gradients are not switched off."""
    watched = getattr(loader, "_watched", lambda batches: batches)
    for loss in plain(loader, model, optimizer, criterion):
        model.eval()
        for x, y in watched(data()):
            criterion(model(x), y)
        model.train()
        yield loss


def calls_itself(loader, model, optimizer, criterion):
    """As a network over trees does."""
    bare = model.forward
    model.forward = lambda x, deep=2: bare(x if not deep else x + model(x, deep - 1).mean())
    yield from plain(loader, model, optimizer, criterion)
    model.forward = bare


KINDS = [
    (plain, 2, True),
    (zero_grad_before_backward, 2, False),
    (penalty, 2, True),
    (two_criteria, 2, True),
    (mean_of_losses, 2, False),
    (judged_in_between, 2, True),
    (accumulation_with_autocast, 2, True),
    (accumulation_divided_in_place, 2, True),
    (ensemble_on_the_side, 2, True),
    (grad_scaler, 2, False),
    (closure_in_step, 2, False),
    (fetches_ahead, 2, False),
    (accumulation_fetched_at_once, 2, False),
    (loss_in_outputs, 2, False),
    (step_function, 2, True),
    (autoencoder, 8, False),
    (discriminator, 1, False),
    (actor_critic, 3, False),
    (lbfgs, 2, True),
    (in_eval_mode, 2, True),
    (checkpointed, 2, False),
    (parts_in_turn, 2, True),
    (several_tensors, 2, True),
    (fetched_by_a_thread, 2, True),
    (beside_another_loader, 2, True),
    (validating_within, 2, True),
    (calls_itself, 2, True),
]


def epochs(kind, loader, *parts):
    """The losses of all epochs."""
    return [loss for _ in range(EPOCHS) for loss in kind(loader, *parts)]


def losses_of(keeper):
    return [loss for _, _, _, loss, _ in keeper.batches]


def trained(kind, outputs, *, watch, knows=False):
    """What a loop of one kind comes to: the losses that it saw, its model, its watch if any."""
    torch.manual_seed(3)
    model, criterion, told = net(outputs), nn.CrossEntropyLoss(), Keeper()
    make = torch.optim.LBFGS if kind is lbfgs else torch.optim.SGD
    optimizer = make(model.parameters(), lr=0.1)
    if not watch:
        return epochs(kind, data(), model, optimizer, criterion), model, None, told
    with Watched(model, optimizer, criterion if knows else None, told) as watched:
        seen = epochs(kind, watched(data()), model, optimizer, criterion)
    return seen, model, watched, told


@pytest.mark.parametrize(
    ("kind", "outputs", "knows"), KINDS, ids=lambda v: getattr(v, "__name__", "")
)
def test_a_loop_of_any_kind_keeps_its_bits_and_shows_its_losses(kind, outputs, knows):
    bare, expected, _, _ = trained(kind, outputs, watch=False)
    random = torch.get_rng_state()
    seen, model, watched, told = trained(kind, outputs, watch=True, knows=knows)
    assert seen == bare
    assert all(map(torch.equal, model.state_dict().values(), expected.state_dict().values()))
    assert torch.equal(torch.get_rng_state(), random)
    assert watched.outcome.state is State.FINISHED
    assert watched.progress.samples_done == EPOCHS * 24
    assert [epoch.batches for epoch in told.epochs] == [3] * EPOCHS
    assert [done for _, _, done, *_ in told.batches] == list(range(1, len(bare) + 1))
    assert losses_of(told) == pytest.approx(bare, rel=1e-6)


@pytest.mark.parametrize("knows", [True, False])
def test_backward_is_seen_wherever_zero_grad_stands(knows):
    _, _, watched, _ = trained(zero_grad_before_backward, 2, watch=True, knows=knows)
    sure = dict(zip(Step, watched.info.phases, strict=True))
    assert sure[Step.BACKWARD] is sure[Step.ZERO_GRAD] is Certainty.EXACT
    assert all(watched.shares[step] > 0 for step in FIVE if step is not Step.LOSS)


def test_a_watched_loader_is_the_loader():
    (model, optimizer), loader = built(), data()
    with Watched(model, optimizer) as watched:
        again = watched(loader)
        assert (len(again), again.batch_size, again.dataset) == (3, 8, loader.dataset)
        assert again.sampler is loader.sampler
        with pytest.raises(AttributeError, match="nothing_like_it"):
            _ = again.nothing_like_it
        assert len(list(again)) == len(list(again)) == 3
    assert [len(x) for x, _ in again] == [8, 8, 8], "after the watch, as it is"
    assert (watched.progress.epoch, watched.progress.batches_done) == (2, 6)


def test_both_networks_of_a_gan_can_be_watched_at_once():
    torch.manual_seed(0)
    generator, critic = nn.Linear(3, 4), nn.Linear(4, 1)
    makes = torch.optim.SGD(generator.parameters(), lr=0.1)
    judges = torch.optim.SGD(critic.parameters(), lr=0.1)
    made, judged, losses = Keeper(), Keeper(), []
    with (
        Watched(generator, makes, listener=made) as one,
        Watched(critic, judges, listener=judged) as two,
    ):
        for x, _ in one(two(data())):
            judges.zero_grad()
            fake = generator(torch.randn(len(x), 3))
            wrong = F.softplus(critic(fake.detach())).mean() + F.softplus(-critic(x)).mean()
            wrong.backward()
            judges.step()
            makes.zero_grad()
            fooled = F.softplus(-critic(fake)).mean()
            fooled.backward()
            makes.step()
            losses.append((fooled.item(), wrong.item()))
    assert losses_of(made) == pytest.approx([one for one, _ in losses])
    assert losses_of(judged) == pytest.approx([two for _, two in losses])


def test_a_loss_that_is_no_number_is_unknown():
    model, optimizer = built()
    with Watched(model, optimizer) as watched:
        for x, _ in watched(data()):
            optimizer.zero_grad()
            model(x).backward(torch.ones(len(x), 2))
            optimizer.step()
    assert watched.info.loss is Certainty.UNKNOWN
    assert watched.latest().loss is None
    assert watched.progress.batches_done == 3


def test_lazy_layers_are_trained_and_counted_later():
    model = nn.Sequential(nn.LazyLinear(5), nn.LazyLinear(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Watched(model, optimizer, nn.CrossEntropyLoss()) as watched:
        assert watched.info.parameters is None
        epochs(plain, watched(data()), model, optimizer, watched.criterion)
    assert watched.info.parameters == 5 * 4 + 5 + 2 * 5 + 2
    assert watched.info.loss is Certainty.EXACT


class Wrapping(torch.optim.Optimizer):
    """An optimizer around another, as Accelerate's: not even its base is set up."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self, closure=None):
        return self.optimizer.step(closure)

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)


def test_the_optimizer_inside_another_is_watched():
    model = net()
    inner = torch.optim.SGD(model.parameters(), lr=0.1)
    with Watched(model, Wrapping(inner)) as watched:
        epochs(plain, watched(data()), model, Wrapping(inner), nn.CrossEntropyLoss())
    assert watched.progress.updates == 6
    assert all(watched.shares[step] > 0 for step in FIVE)


@pytest.mark.parametrize("wrong", [[], "optimizers", None])
def test_what_is_no_optimizer_is_refused_before_anything_is_hooked(wrong):
    with pytest.raises(TypeError, match="the optimizer must be one torch"):
        Watched(net(), wrong)


def test_any_callable_may_be_the_criterion():
    model, optimizer = built()
    with Watched(model, optimizer, F.cross_entropy) as watched:
        bare = epochs(plain, watched(data()), model, optimizer, F.cross_entropy)
    assert watched.latest().loss == bare[-1]


def test_a_copy_of_a_watched_model_is_not_watched():
    model, optimizer = built()
    with Watched(model, optimizer) as watched:
        average, packed = copy.deepcopy(model), pickle.dumps(model)
        epochs(plain, watched(data()), model, optimizer, nn.CrossEntropyLoss())
        before = watched.shares[Step.FORWARD]
        for other in (average, pickle.loads(packed)):
            other(torch.randn(2, 4))
        assert watched.shares[Step.FORWARD] == before


def test_nothing_stays_behind_when_a_hook_can_not_be_set():
    model, optimizer = built()
    places = (torch.optim.Optimizer.zero_grad, nn.Module.zero_grad, torch.autograd.backward)

    def refuse(*_, **__):
        raise RuntimeError("no hooks here")

    optimizer.register_step_post_hook = refuse
    with pytest.raises(RuntimeError, match="no hooks here"), Watched(model, optimizer):
        pass
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    found = (torch.optim.Optimizer.zero_grad, nn.Module.zero_grad, torch.autograd.backward)
    assert found == places


def test_eval_mode_counts_as_forward_where_backward_follows_and_else_as_validation():
    _, _, watched, _ = trained(in_eval_mode, 2, watch=True, knows=True)
    assert watched.shares[Step.VALIDATE] == 0 < watched.shares[Step.FORWARD]
    _, _, watched, _ = trained(validating_within, 2, watch=True, knows=True)
    assert watched.shares[Step.VALIDATE] > 0


def test_what_is_recomputed_for_the_backward_pass_belongs_to_it():
    (model, optimizer), phases = built(), []
    with Watched(model, optimizer) as watched:
        model[1].register_forward_hook(lambda *_: phases.append(watched.now()[0]))
        list(checkpointed(watched(data()), model, optimizer, nn.CrossEntropyLoss()))
    assert phases == [Step.FORWARD, Step.BACKWARD] * 3


def test_a_watch_that_ends_before_another_takes_nothing_from_it_and_all_of_its_own():
    bare = torch.autograd.backward, torch.optim.Optimizer.zero_grad
    (model, optimizer), second = built(), Keeper()
    one, two = Watched(model, optimizer), Watched(model, optimizer, listener=second)
    with contextlib.ExitStack() as last:
        with one:
            last.enter_context(two)
        losses = epochs(plain, two(data()), model, optimizer, nn.CrossEntropyLoss())
    assert losses_of(second) == pytest.approx(losses)
    assert two.shares[Step.ZERO_GRAD] > 0
    assert bare == (torch.autograd.backward, torch.optim.Optimizer.zero_grad)


def test_a_model_pickled_under_watch_needs_no_fivestep():
    model, optimizer = built()
    with Watched(model, optimizer):
        assert b"fivestep" not in pickle.dumps(model)
        again = pickle.loads(pickle.dumps(model))
        assert again(torch.ones(1, 4)).shape == (1, 2)
        # Accelerate looks whether it may pass this on.
        assert "set_to_none" in inspect.signature(optimizer.zero_grad).parameters


def test_a_mistake_in_watching_ends_the_watch_and_not_the_loop():
    class Failing(Keeper):
        def batch(self, *at):
            raise RuntimeError("a listener's")

    bare, expected, _, _ = trained(plain, 2, watch=False)
    torch.manual_seed(3)
    model, criterion = net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Watched(model, optimizer, criterion, Failing()) as watched:
        assert epochs(plain, watched(data()), model, optimizer, criterion) == bare
    assert all(map(torch.equal, model.state_dict().values(), expected.state_dict().values()))
    assert str(watched.mistake) == "a listener's"
    assert not model._forward_hooks


def test_an_optimizer_without_a_learning_rate_of_its_own_is_watched():
    """As Adafactor's, which makes one for each update."""
    model, optimizer = built()
    with Watched(model, optimizer) as watched:
        del optimizer.param_groups[0]["lr"]
        assert math.isnan(watched.latest().lr)


def test_a_loss_need_not_fall_where_gradients_are_thrown_away():
    _, _, watched, _ = trained(plain, 2, watch=True)
    assert watched.info.should_fall
    _, _, watched, _ = trained(discriminator, 1, watch=True)
    assert not watched.info.should_fall


def test_hooks_are_nothing_to_what_is_compiled():
    model, optimizer = built()
    whole = torch.compile(model, backend="eager", fullgraph=True)
    with Watched(model, optimizer) as watched:
        losses = epochs(plain, watched(data()), whole, optimizer, nn.CrossEntropyLoss())
    assert watched.latest().loss == losses[-1]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("made", ["scripted", "traced"])
def test_models_of_torchscript_are_watched(made):
    def built_anew():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        if made == "scripted":
            return torch.jit.script(model)
        return torch.jit.trace(model, torch.ones(8, 4))

    criterion, bare, model = nn.CrossEntropyLoss(), built_anew(), built_anew()
    optimizer = torch.optim.SGD(bare.parameters(), lr=0.1)
    losses = epochs(plain, data(), bare, optimizer, criterion)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Watched(model, optimizer, criterion) as watched:
        assert epochs(plain, watched(data()), model, optimizer, criterion) == losses
    assert all(map(torch.equal, model.state_dict().values(), bare.state_dict().values()))
    assert all(watched.shares[step] > 0 for step in FIVE)
    assert watched.latest().loss == losses[-1]
    assert watched.mistake is None


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_model_can_be_scripted_under_watch():
    script, (model, optimizer) = torch.jit.script, built()
    with Watched(model, optimizer, nn.CrossEntropyLoss()) as watched:
        torch.jit.script(model)
        epochs(plain, watched(data()), model, optimizer, watched.criterion)
    assert all(watched.shares[step] > 0 for step in FIVE)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    assert torch.jit.script is script


def test_a_loss_that_the_model_computes_counts_as_it_was_before_the_loop_divided_it():
    class WithLoss(nn.Module):
        """As Hugging Face's, or with a tuple as in small language models."""

        def __init__(self, named):
            super().__init__()
            self.inner, self.named = net(), named

        def forward(self, x, y):
            logits = self.inner(x)
            loss = F.cross_entropy(logits, y)
            return {"loss": loss, "logits": logits} if self.named else (logits, loss)

    for named in (True, False):
        model, told, losses = WithLoss(named), Keeper(), []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with Watched(model, optimizer, listener=told) as watched:
            for i, (x, y) in enumerate(watched(data())):
                loss = model(x, y)["loss" if named else 1]
                (loss / 3).backward()
                if i == 2:
                    optimizer.step()
                losses.append(loss.item())
        assert losses_of(told) == losses
