"""What would fail, or go wrong without a word, only later is seen at a run's first batch."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from states import finished  # tests/core is on the path
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fivestep.core.inspection.first_batch import stretched
from fivestep.core.inspection.views import views_for
from fivestep.core.protocol.steps import State, Task
from fivestep.core.session.session import Session
from fivestep.core.training.data import TensorBatches
from fivestep.core.verdicts.verdicts import find_verdicts

# Labels (B, 1) against outputs (B,), and the other way round.


def line(outputs: tuple[int, ...], labels: tuple[int, ...], criterion, make_training, **others):
    """A regression whose model and labels have these shapes for each sample."""
    torch.manual_seed(0)
    features = torch.randn(33, 3)
    model = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0) if not outputs else nn.Identity())
    return make_training(
        model=model,
        criterion=criterion,
        optimizer=lambda _, lr: torch.optim.SGD(model.parameters(), lr),
        batches=TensorBatches(features, features.sum(1).view(33, *labels), 8),
        validation=TensorBatches(features, features.sum(1).view(33, *labels), 8),
        task=Task("regression"),
        **others,
    )


def own_loss(outputs, labels):
    return (outputs - labels).square().mean()


def squeezing_loss(outputs, labels):
    return (outputs.flatten() - labels.flatten()).square().mean()


@pytest.mark.parametrize(("outputs", "labels"), [((), (1,)), ((1,), ())])
@pytest.mark.parametrize("criterion", [nn.MSELoss(), nn.functional.l1_loss, own_loss])
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_labels_that_are_stretched_over_the_outputs_get_a_verdict(
    outputs, labels, criterion, make_training
):
    session = finished(line(outputs, labels, criterion, make_training))
    end = session.latest()
    (verdict,) = find_verdicts(session.info, end, end.facts)
    assert (verdict.rule, verdict.severity) == ("labels stretched", "danger")
    assert f"outputs {(8, *outputs)} meet labels {(8, *labels)}" in verdict.what
    assert ("unsqueeze(1)" if outputs else "labels.squeeze(1)") in verdict.next


@pytest.mark.parametrize(("outputs", "labels"), [((), (1,)), ((1,), ()), ((1,), (1,))])
def test_a_criterion_that_brings_them_together_gets_none_and_a_right_r2(
    outputs, labels, make_training
):
    training = line(outputs, labels, squeezing_loss, make_training, epochs=60)
    session = finished(training)
    end = session.latest()
    assert find_verdicts(session.info, end, end.facts) == ()
    assert dict(end.metrics)["r2"] > 0.9


def test_pictures_with_a_channel_too_many_are_seen_too():
    outputs, labels = torch.rand(4, 1, 3, 3), torch.rand(4, 3, 3)
    assert stretched(own_loss, outputs, labels) == ((4, 1, 3, 3), (4, 3, 3))
    assert stretched(squeezing_loss, outputs, labels) is None
    assert stretched(nn.CrossEntropyLoss(), torch.rand(4, 3), torch.tensor([0, 1, 2, 0])) is None
    ignoring = stretched(
        lambda outputs, _: outputs.square().mean(), torch.rand(4, 1), torch.rand(4)
    )
    assert ignoring is None
    assert stretched(nn.BCEWithLogitsLoss(), torch.rand(4, 1), torch.rand(4)) is None  # refuses it


# Outputs that are more than a tensor.

Named = namedtuple("Named", "logits hidden")


@dataclass
class Output:
    """As Hugging Face has them, without being a dict."""

    loss: Tensor | None
    logits: Tensor
    hidden: Tensor


class Wrapped(nn.Module):
    def __init__(self, wrap, sizes=(2, 3)):
        super().__init__()
        self.linear, self.wrap = nn.Linear(*sizes), wrap

    def forward(self, features):
        return self.wrap(self.linear(features), features)


def first_of(outputs):
    if isinstance(outputs, dict):
        return outputs.get("logits", next(iter(outputs.values())))
    return outputs[0] if isinstance(outputs, tuple) else outputs.logits


def wrapped(wrap, make_training, **others):
    torch.manual_seed(1)
    features = torch.randn(32, 2)
    model = Wrapped(wrap)
    return make_training(
        **{
            "model": model,
            "criterion": lambda out, labels: nn.functional.cross_entropy(first_of(out), labels),
            "optimizer": lambda _, lr: torch.optim.SGD(model.parameters(), lr),
            "batches": TensorBatches(features, features.argmax(1), 8),
            "validation": TensorBatches(features, features.argmax(1), 8),
            **others,
        }
    )


WAYS = {
    "dict": lambda logits, x: OrderedDict(loss=logits.mean(), logits=logits, hidden=x),
    "only": lambda logits, x: {"scores": logits, "loss": logits.mean(), "cache": None},
    "named": Named,
    "dataclass": lambda logits, x: Output(None, logits, x),
}


@pytest.mark.parametrize("way", WAYS)
def test_logits_are_found_by_name_or_because_they_are_alone(way, make_training):
    training = wrapped(WAYS[way], make_training)
    bare = wrapped(lambda logits, x: {"logits": logits}, make_training)
    found, expected = finished(training).latest(), finished(bare).latest()
    assert found.metrics == expected.metrics
    assert found.samples_done == 3 * 32
    pictures = [view.compute(training) for view in views_for(training)]
    assert pictures == [view.compute(bare) for view in views_for(bare)]
    assert len(pictures) == 2  # the plane, and the confusion matrix


def test_what_nobody_can_tell_is_refused_at_the_first_batch_with_what_to_return(make_training):
    training = wrapped(lambda logits, x: (logits, x), make_training)
    before = [p.detach().clone() for p in training.model.parameters()]
    outcome = Session(training).run()
    assert outcome.state is State.FAILED
    assert outcome.where.startswith("epoch 1, batch 1, ")
    assert 'Task("classification") can\'t measure accuracy: the model gives a tuple of 2, in' in (
        outcome.reason
    )
    assert 'have it give one tensor, or a dict with "logits"' in outcome.reason
    assert "leave the task out" in outcome.advice
    assert all(map(torch.equal, before, training.model.parameters()))


def test_a_model_that_gives_more_in_train_mode_only_is_not_refused(make_training):
    training = wrapped(lambda logits, x: (logits, x), make_training)
    model = training.model
    model.wrap = lambda logits, x: (logits, x) if model.training else logits
    training.criterion = lambda out, labels: nn.functional.cross_entropy(
        out[0] if isinstance(out, tuple) else out, labels
    )
    assert "accuracy" in dict(finished(training).latest().metrics)


def test_labels_that_are_no_tensor_are_refused_too(make_training):
    training = wrapped(lambda logits, x: logits, make_training)
    training.criterion = lambda out, labels: nn.functional.cross_entropy(out, labels["class"])
    training.unpack = lambda batch: (batch[0], {"class": batch[1]})
    assert "labels are a dict" in Session(training).run().reason
    training.validation = None  # then nothing has to be measured
    assert Session(training).run().state is State.FINISHED


# A last batch of one.


def normed(samples, make_training, *, norm=None, shape=(6,), **options):
    features, labels = torch.randn(samples, *shape), torch.arange(samples) % 3
    data = TensorDataset(features, labels)
    norm = norm or nn.BatchNorm1d(6)
    model = nn.Sequential(norm, nn.Flatten(), nn.LazyLinear(3))
    model(features)
    return make_training(
        model=model,
        optimizer=lambda _, lr: torch.optim.SGD(model.parameters(), lr),
        batches=DataLoader(data, 8, **options),
        validation=None,
    )


def test_batch_norm_and_a_last_batch_of_one_are_refused_before_anything_is_trained(make_training):
    training = normed(33, make_training)
    before = {name: value.clone() for name, value in training.model.state_dict().items()}
    outcome = Session(training).run()
    assert outcome.where == "epoch 1, batch 1, forward"
    assert "the last batch of an epoch is a single sample, and layer 0, a batch norm" in (
        outcome.reason
    )
    assert outcome.advice == "drop_last=True in the DataLoader, or another batch_size"
    for name, value in training.model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(("samples", "size"), [(1, 8), (5, 1)])
def test_where_each_batch_is_one_sample_dropping_the_last_is_not_advised(
    samples, size, make_training
):
    training = normed(33, make_training)
    data = torch.utils.data.Subset(training.batches.dataset, range(samples))
    training.batches = DataLoader(data, size)
    outcome = Session(training).run()
    assert "each batch is a single sample, and layer 0, a batch norm" in outcome.reason
    assert outcome.advice == "take larger batches"


def test_what_works_with_a_batch_of_one_is_not_refused(make_training):
    assert Session(normed(33, make_training, drop_last=True)).run().state is State.FINISHED
    assert Session(normed(34, make_training)).run().state is State.FINISHED
    spatial = normed(33, make_training, norm=nn.BatchNorm2d(2), shape=(2, 3, 3))
    assert Session(spatial).run().state is State.FINISHED
    frozen = normed(33, make_training)
    frozen.model.eval()
    frozen.model.train = lambda mode=True: frozen.model
    assert Session(frozen).run().state is State.FINISHED


def test_where_the_sizes_are_not_known_the_failure_says_what_to_do(make_training):
    training = normed(33, make_training)
    batches = list(training.batches)
    training.batches, training.epochs = (batch for batch in batches), 1
    outcome = Session(training).run()
    assert outcome.where.startswith("epoch 1, batch 5, forward")
    assert "drop_last=True" in outcome.advice
