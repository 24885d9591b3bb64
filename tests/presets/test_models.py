"""The models: shapes, options that do what they say, and a transformer that can't look ahead."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

from fivestep.presets import models
from fivestep.presets.catalogue import MODELS
from fivestep.presets.models import Residual, embedding

POINTS, IMAGES, TOKENS = torch.Size([2]), torch.Size([1, 8, 8]), torch.Size([16])


def make(name: str, inputs: torch.Size, outputs: int = 5, **changes: Any) -> nn.Module:
    defaults = {key: option.default for key, option in MODELS[name].options.items()}
    model: nn.Module = getattr(models, name)(inputs, outputs, **defaults | changes)
    return model


def kinds(model: nn.Module) -> set[str]:
    return {type(module).__name__ for module in model.modules()}


@pytest.mark.parametrize("name", MODELS)
def test_an_entrys_options_are_its_functions(name: str) -> None:
    parameters = inspect.signature(getattr(models, name)).parameters
    assert list(parameters)[2:] == list(MODELS[name].options)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("linear", POINTS),
        ("linear", IMAGES),
        ("mlp", POINTS),
        ("mlp", IMAGES),
        ("cnn", IMAGES),
        ("resnet", IMAGES),
    ],
)
def test_one_row_of_outputs_for_each_sample(name: str, inputs: torch.Size) -> None:
    assert make(name, inputs)(torch.randn(3, *inputs)).shape == (3, 5)


@pytest.mark.parametrize("activation", models.ACTIVATIONS)
@pytest.mark.parametrize(
    ("norm", "module"), [("none", None), ("batch", "BatchNorm1d"), ("layer", "LayerNorm")]
)
def test_an_mlp_has_what_was_asked_for(activation: str, norm: str, module: str | None) -> None:
    model = make("mlp", POINTS, widths=(7, 9), activation=activation, norm=norm, dropout=0.5)
    assert models.ACTIVATIONS[activation]().__class__.__name__ in kinds(model)
    assert "Dropout" in kinds(model)
    assert (module in kinds(model)) if module else not {"BatchNorm1d", "LayerNorm"} & kinds(model)
    shapes = [tuple(p.shape) for p in model.parameters() if p.dim() == 2]
    assert shapes == [(7, 2), (9, 7), (5, 9)]


def test_a_cnn_has_what_was_asked_for() -> None:
    plain = make("cnn", IMAGES, channels=(3,), norm="none", dropout=0.0)
    assert not {"BatchNorm2d", "Dropout"} & kinds(plain)
    assert {"BatchNorm2d", "Dropout"} <= kinds(make("cnn", IMAGES, dropout=0.1))


@pytest.mark.parametrize("name", ["cnn", "resnet"])
@pytest.mark.parametrize("side", [(1, 1), (2, 2), (3, 5), (8, 8), (28, 28)])
def test_any_image_and_depth_will_do(name: str, side: tuple[int, int]) -> None:
    model = make(name, torch.Size([3, *side]), channels=(4, 4, 4, 4, 4, 4))
    assert model(torch.randn(2, 3, *side)).shape == (2, 5)


def test_a_resnet_has_what_was_asked_for() -> None:
    model = make("resnet", IMAGES, channels=(4, 6, 8), blocks=2, dropout=0.1)
    assert sum(type(m).__name__ == "Residual" for m in model.modules()) == 6
    assert "Dropout" in kinds(model)
    assert "Dropout" not in kinds(make("resnet", IMAGES))
    sizes: list[tuple[int, ...]] = []
    for module in model.modules():
        if type(module).__name__ == "Residual":
            module.register_forward_hook(lambda _, __, y: sizes.append(tuple(y.shape[1:])))
    model(torch.randn(2, 1, 28, 28))
    assert sizes == [(4, 28, 28)] * 2 + [(6, 14, 14)] * 2 + [(8, 7, 7)] * 2


def test_a_residual_block_adds_to_its_input() -> None:
    block = Residual(3, 3, 1).eval()
    nn.init.zeros_(block.conv_2.weight)
    x = torch.rand(2, 3, 4, 4)
    assert torch.equal(block(x), x), "where it has nothing to add"


@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_text_models_give_logits_with_the_classes_second(name: str) -> None:
    model = make(name, TOKENS, 11)
    tokens = torch.randint(11, (3, 16))
    assert model(tokens).shape == (3, 11, 16)
    assert nn.CrossEntropyLoss()(model(tokens), tokens).isfinite()
    assert model(tokens[:, :5]).shape == (3, 11, 5), "a shorter text fits too"


@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_text_models_never_look_ahead(name: str) -> None:
    model = make(name, TOKENS, 11).eval()
    tokens = torch.randint(11, (1, 16))
    changed = tokens.clone()
    changed[0, 9] = (changed[0, 9] + 1) % 11
    before, after = model(tokens), model(changed)
    assert torch.equal(before[..., :9], after[..., :9])
    assert not torch.allclose(before[..., 9:], after[..., 9:])


@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_text_models_start_knowing_nothing_much(name: str) -> None:
    """The first loss is near that of a fair guess among the vocabulary."""
    torch.manual_seed(0)
    model = make(name, TOKENS, 50)
    tokens = torch.randint(50, (8, 16))
    loss = nn.CrossEntropyLoss()(model(tokens), torch.randint(50, (8, 16)))
    assert loss < 1.5 * torch.tensor(50.0).log()


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet", "gpt", "lstm"])
def test_dropout_acts_in_train_mode_only(name: str) -> None:
    text = "tokens" in MODELS[name].takes
    inputs = TOKENS if text else IMAGES
    model = make(name, inputs, dropout=0.5)
    batch = torch.randint(5, (2, *inputs)) if text else torch.randn(2, *inputs)
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))


def test_an_embedding_is_drawn_as_torchs_own() -> None:
    torch.manual_seed(0)
    own = nn.Embedding(7, 3)
    torch.manual_seed(0)
    assert torch.equal(embedding(7, 3).weight, own.weight)
    assert embedding(7, 3).weight.requires_grad
