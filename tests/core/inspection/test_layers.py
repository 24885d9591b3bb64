"""The table of layers: what each step of the guide does to it, and that looking changes nothing."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fivestep.core.inspection.batch_facts import batch_facts
from fivestep.core.inspection.layer_stats import BINS
from fivestep.core.inspection.layers import LayerWatch
from fivestep.core.inspection.views import views_for
from fivestep.core.protocol.inside import Difference, LayerRow, compare
from fivestep.core.protocol.steps import Step
from fivestep.core.training.progress import Progress
from fivestep.core.training.training import Training

MakeTraining = Callable[..., Training]
CHANGED = ("0", "1", "4")
"""Of the model that `make_training` makes: Linear, BatchNorm1d, ReLU, Dropout, Linear."""


def named(rows: tuple[LayerRow, ...]) -> dict[str, LayerRow]:
    return {row.name: row for row in rows}


def words(differences: tuple[Difference, ...]) -> dict[str, str]:
    return {d.after.name: d.word for d in differences}


def everywhere(word: str) -> dict[str, str]:
    return {"0": word, "1": word, "2": "unchanged", "3": "unchanged", "4": word}


class Walk:
    """One batch of a training, step by step, looked at in between."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.watch = LayerWatch(training.model, training.optimizer)
        self.features, self.labels = next(iter(training.batches))
        training.model.train()
        self.rows = self.watch.look(exact=True)

    def take(self, step: Callable[[], Any], phase: Step | None = None) -> dict[str, str]:
        before = self.rows
        step()
        self.rows = self.watch.look(exact=True)
        return words(compare(before, self.rows, phase))

    def backward(self) -> None:
        self.training.criterion(self.training.model(self.features), self.labels).backward()


def test_a_row_for_each_layer_says_what_it_is(make_training: MakeTraining) -> None:
    rows = LayerWatch((training := make_training()).model, training.optimizer).look()
    assert [(r.name, r.kind, r.shapes, r.parameters) for r in rows] == [
        ("0", "Linear", "16x6", 112),
        ("1", "BatchNorm1d", "16", 32),
        ("2", "ReLU", "", 0),
        ("3", "Dropout", "", 0),
        ("4", "Linear", "3x16", 51),
    ]
    assert sum(r.parameters for r in rows) == training.parameters


def test_what_dropout_and_batch_norm_do_differently_in_eval_mode_is_told(
    make_training: MakeTraining,
) -> None:
    training = make_training()
    watch = LayerWatch(training.model, training.optimizer)
    training.model.train()
    assert [r.mode for r in watch.look()] == ["", "", "", "zeros 30%", ""]
    training.model.eval()
    assert [r.mode for r in watch.look()] == ["", "(eval)", "", "off", ""]


def test_norms_are_those_of_weights_and_gradients(make_training: MakeTraining) -> None:
    walk = Walk(make_training())
    assert all(r.grad_norm is None for r in walk.rows)
    walk.backward()
    for name, row in named(walk.watch.look()).items():
        layer = walk.training.model.get_submodule(name)
        own = list(layer.parameters())
        if not own:
            assert (row.weight_norm, row.grad_norm) == (None, None)
            continue
        flat = torch.cat([p.detach().flatten() for p in own])
        assert row.weight_norm == pytest.approx(flat.norm().item(), rel=1e-5)
        grad = torch.cat([p.grad.flatten() for p in own])
        assert row.grad_norm == pytest.approx(grad.norm().item(), rel=1e-5)


def test_the_steps_of_the_guide_clear_fill_and_move(make_training: MakeTraining) -> None:
    walk = Walk(make_training())
    optimizer = walk.training.optimizer
    assert walk.take(lambda: walk.training.model(walk.features)) == everywhere("unchanged")
    assert walk.take(walk.backward) == everywhere("filled")
    walk.watch.before_update()
    assert walk.take(optimizer.step) == everywhere("moved")
    assert walk.take(optimizer.zero_grad) == everywhere("cleared")
    assert walk.take(lambda: None) == everywhere("unchanged")


def test_without_zero_grad_gradients_add_up(make_training: MakeTraining) -> None:
    walk = Walk(make_training())
    walk.backward()
    alone = named(walk.watch.look())["4"].grad_norm
    walk.rows = walk.watch.look(exact=True)
    assert walk.take(walk.backward) == everywhere("added to")
    both = named(walk.rows)["4"].grad_norm
    assert alone is not None
    assert both is not None
    assert both > alone


def test_zeroed_gradients_are_cleared_and_filled_like_missing_ones(
    make_training: MakeTraining,
) -> None:
    walk = Walk(make_training())
    walk.backward()
    walk.rows = walk.watch.look(exact=True)
    clear = lambda: walk.training.optimizer.zero_grad(set_to_none=False)  # noqa: E731
    assert walk.take(clear) == everywhere("cleared")
    assert walk.take(walk.backward) == everywhere("filled")
    clip = lambda: nn.utils.clip_grad_norm_(walk.training.model.parameters(), 1e-3)  # noqa: E731
    assert walk.take(clip, Step.CLIP) == everywhere("clipped")


def test_a_change_that_no_norm_shows_is_seen_when_looked_at_exactly() -> None:
    layer = nn.Linear(2, 1, bias=False)
    watch = LayerWatch(layer, torch.optim.SGD(layer.parameters(), lr=1.0))
    seen = []
    for weights in ([3.0, 4.0], [4.0, 3.0], [math.nan, 3.0], [math.nan, 3.0]):
        layer.weight.data = torch.tensor([weights])
        seen.append(watch.look(exact=True))
    found = [compare(a, b)[0].word for a, b in pairwise(seen)]
    assert found == ["moved", "moved", "unchanged"]


def test_sgd_moves_straight_against_the_gradient_by_lr_times_its_norm() -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 4)
    watch = LayerWatch(model, optimizer := torch.optim.SGD(model.parameters(), lr=0.1))
    model(torch.randn(8, 5)).square().sum().backward()
    (before,) = watch.look()
    assert before.name == "model"
    assert (before.update_ratio, before.against) == (None, None)
    watch.before_update()
    optimizer.step()
    watch.after_update()
    (after,) = watch.look()
    assert before.weight_norm is not None
    assert after.grad_norm is not None
    expected = 0.1 * after.grad_norm / before.weight_norm
    assert after.update_ratio == pytest.approx(expected, rel=1e-4)
    assert after.against == pytest.approx(1.0, abs=1e-5)
    watch.after_update()  # nobody has asked: what is known stays
    assert watch.look() == (after,)


def test_an_update_left_out_is_of_size_zero(make_training: MakeTraining) -> None:
    walk = Walk(make_training())
    walk.backward()
    walk.watch.before_update()
    walk.watch.after_update()
    rows = named(walk.watch.look())
    assert [rows[name].update_ratio for name in CHANGED] == [0.0] * 3
    assert [rows[name].against for name in CHANGED] == [None] * 3


def test_dead_units_are_those_that_are_silent_for_the_whole_batch() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([-100.0, 100.0, -100.0, 100.0]))
    watch = LayerWatch(model, torch.optim.SGD(model.parameters()))
    model(torch.randn(8, 3))
    assert named(watch.look())["1"].dead_share is None
    watch.watch_activations(True)
    model(torch.randn(8, 3))
    assert named(watch.look())["1"].dead_share == 0.5
    with torch.no_grad():  # a validation in between counts nothing
        model(torch.full((8, 3), 1e4))
    assert named(watch.look())["1"].dead_share == 0.5
    watch.watch_activations(False)
    assert named(watch.look())["1"].dead_share is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_unit_of_a_convolution_is_a_channel() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([-100.0, 100.0, 100.0, 100.0]))
    watch = LayerWatch(model, torch.optim.SGD(model.parameters()))
    watch.watch_activations(True)
    model(torch.randn(2, 1, 5, 5))
    assert named(watch.look())["1"].dead_share == 0.25


def test_hooks_leave_the_faster_kernel_of_transformers_alone() -> None:
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, activation=nn.ReLU(), batch_first=True).eval()
    watch = LayerWatch(block, torch.optim.SGD(block.parameters()))
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        bare = block(x)
        watch.watch_activations(True)
        assert torch.equal(block(x), bare)


def test_histograms_count_every_value_and_name_the_bad_ones() -> None:
    layer = nn.Linear(30, 4)
    with torch.no_grad():
        layer.weight[0, 0], layer.weight[1, 1] = math.nan, math.inf
    watch = LayerWatch(layer, torch.optim.SGD(layer.parameters()))
    assert watch.look()[0].weights is None
    (row,) = watch.look(histograms=True)
    assert row.weights is not None
    assert row.grads is None
    assert len(row.weights.counts) == BINS
    assert (sum(row.weights.counts), row.weights.bad) == (122, 2)
    values = torch.cat([layer.weight.detach().flatten(), layer.bias.detach()])
    values = values[values.isfinite()]
    assert (row.weights.low, row.weights.high) == (values.min().item(), values.max().item())
    expected = torch.histc(values.double(), BINS, row.weights.low, row.weights.high)
    assert list(row.weights.counts) == expected.int().tolist()
    assert row.weight_norm is not None
    assert not math.isfinite(row.weight_norm)


@pytest.mark.parametrize("value", [0.0, -2.5, math.nan, 3e38])
def test_histograms_of_equal_or_extreme_values(value: float) -> None:
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(value)
        if value == 3e38:
            layer.weight[0, 0] = -value
    (row,) = LayerWatch(layer, torch.optim.SGD(layer.parameters())).look(histograms=True)
    assert row.weights is not None
    assert sum(row.weights.counts) + row.weights.bad == 3


def test_frozen_and_forgotten_layers_are_told() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    watch = LayerWatch(model, torch.optim.SGD(model[1].parameters()))
    assert [row.frozen for row in watch.look()] == [True, False, True]


def test_a_parameter_that_layers_share_is_counted_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.LSTM(4, 4, 2))
    model[1].weight = model[0].weight
    rows = LayerWatch(model, torch.optim.SGD(model.parameters())).look()
    assert [row.parameters for row in rows] == [20, 4, 320]
    assert [row.shapes for row in rows] == ["4x4", "4 + = 0", "4 of 16x4"]


def test_layers_of_any_make_up_can_be_looked_at() -> None:
    model = nn.ModuleList(
        [
            nn.Linear(2, 3).half(),
            nn.Linear(2, 3, dtype=torch.complex64),
            nn.Embedding(9, 4, sparse=True),
            nn.LazyLinear(3),
        ]
    )
    whole = nn.Parameter(torch.arange(3), requires_grad=False)
    model.register_parameter("whole", whole)
    model.append(nn.ParameterList([torch.empty(0, 2)]))
    model[2](torch.tensor([1, 1, 3])).sum().backward()
    learning = [p for p in model.parameters() if p is not whole]
    watch = LayerWatch(model, torch.optim.SGD(learning))
    watch.before_update()
    watch.after_update()
    rows = named(watch.look(histograms=True, exact=True))
    assert set(rows) == {"model", "0", "1", "2", "4"}
    assert rows["2"].grad_norm == pytest.approx(math.sqrt(4 * (4 + 1)))
    assert rows["model"].weight_norm is None
    assert watch.look(exact=True)[0].editions is not None


def test_the_facts_of_a_nested_batch() -> None:
    at = Progress(features=None)
    assert batch_facts(at).features == ()
    at = Progress(
        features={"image": torch.zeros(4, 1, 8, 8), "more": [torch.zeros(4), "text"]},
        labels=torch.zeros(4, dtype=torch.int64),
        loss=torch.tensor(math.inf, requires_grad=True),
        batches_done=7,
    )
    facts = batch_facts(at)
    assert [(f.path, f.text) for f in facts.features] == [
        ("['image']", "float32 (4, 1, 8, 8)"),
        ("['more'][0]", "float32 (4,)"),
        ("['more'][1]", "str"),
    ]
    assert [f.text for f in facts.labels] == ["int64 (4,)"]
    assert (facts.outputs, facts.loss, facts.batches_done) == ((), math.inf, 7)


def trained(training: Training, *, watched: bool) -> tuple[list[float], dict[str, Tensor]]:
    """Two epochs of the bare loop, everything looked at between any two lines, or nothing."""
    model, optimizer, at = training.model, training.optimizer, Progress()
    torch.manual_seed(5)
    watch, views = LayerWatch(model, optimizer), views_for(training) if watched else ()

    def gate() -> None:
        if not watched:
            return
        watch.look(histograms=True, exact=at.batches_done % 2 == 0)
        watch.watch_activations(at.batches_done % 3 != 0)
        batch_facts(at)
        for view in views:
            view.compute(training)

    losses = []
    for _ in range(2):
        model.train()
        for features, labels in training.batches:
            at.begin_batch(features, labels)
            gate()
            optimizer.zero_grad()
            gate()
            at.outputs = outputs = model(features)
            gate()
            at.loss = loss = training.criterion(outputs, labels)
            gate()
            loss.backward()
            gate()
            if watched:
                watch.before_update()
            optimizer.step()
            if watched:
                watch.after_update()
            gate()
            losses.append(loss.item())
            at.end_batch(updated=True)
    assert len(views) == (1 if watched else 0)
    state = dict(model.state_dict()) | {"rng": torch.get_rng_state()}
    for i, slots in enumerate(optimizer.state.values()):
        state |= {f"{i}.{name}": torch.as_tensor(value) for name, value in slots.items()}
    return losses, state


def test_looking_at_everything_changes_no_bit(make_training: MakeTraining) -> None:
    bare_losses, bare = trained(make_training(), watched=False)
    losses, state = trained(make_training(), watched=True)
    assert losses == bare_losses
    assert state.keys() == bare.keys()
    for name, value in state.items():
        assert torch.equal(value, bare[name]), name


class Saved:
    """What a graph keeps of a tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def test_no_look_keeps_a_graph_alive(make_training: MakeTraining) -> None:
    walk = Walk(make_training())
    walk.watch.watch_activations(True)
    kept = []

    def pack(tensor: Tensor) -> Saved:
        saved = Saved(tensor.detach())  # an output would keep itself alive
        kept.append(weakref.ref(saved))
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved.tensor):
        outputs = walk.training.model(walk.features)
    walk.watch.look(histograms=True, exact=True)
    assert any(ref() is not None for ref in kept)
    del outputs
    gc.collect()
    assert all(ref() is None for ref in kept)
