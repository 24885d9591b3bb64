"""Layers that the models share."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


def embedding(rows: int, width: int) -> nn.Embedding:
    """An embedding table (rows, width), drawn as `nn.Embedding` draws its own.

    On the meta device, where a model is only counted, nothing is drawn: to draw normal numbers
    there loads 800 modules of torch, which takes a second.
    """
    weight = torch.empty(rows, width)
    if not weight.is_meta:
        nn.init.normal_(weight)
    return nn.Embedding(rows, width, _weight=weight)


def headed(layers: list[nn.Module], head: nn.Module) -> nn.Module:
    """One after the other, under the names that `freeze` patterns are written with."""
    return nn.Sequential(OrderedDict(features=nn.Sequential(*layers), head=head))
