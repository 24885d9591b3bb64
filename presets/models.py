"""The models: each function is named by an entry of the catalogue and takes its options.

`inputs` is the shape of one sample, `outputs` how many values or logits it gets. A shape is
noted on every line that makes a tensor: B batch, D features, C channels, H and W pixels,
T tokens, E the transformer's width, V outputs.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def linear(inputs: torch.Size, outputs: int) -> nn.Module:
    """One linear layer on flattened features."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs.numel(), outputs))  # (B, V)


def mlp(
    inputs: torch.Size,
    outputs: int,
    *,
    widths: Sequence[int],
    activation: str,
    norm: str,
    dropout: float,
) -> nn.Module:
    """Fully connected layers on flattened features, `widths` units in each hidden one."""
    layers: list[nn.Module] = [nn.Flatten()]  # (B, D)
    before = inputs.numel()
    for width in widths:
        layers.append(nn.Linear(before, width))  # (B, width)
        if norm != "none":
            layers.append(nn.BatchNorm1d(width) if norm == "batch" else nn.LayerNorm(width))
        layers.append(ACTIVATIONS[activation]())
        if dropout:
            layers.append(nn.Dropout(dropout))
        before = width
    return headed(layers, nn.Linear(before, outputs))  # (B, V)


def cnn(
    inputs: torch.Size,
    outputs: int,
    *,
    channels: Sequence[int],
    activation: str,
    norm: str,
    dropout: float,
) -> nn.Module:
    """3x3 convolutions, each followed by pooling 2x2 while the image is larger than one pixel."""
    before, height, width = inputs
    layers: list[nn.Module] = []
    for after in channels:
        layers.append(nn.Conv2d(before, after, 3, padding=1))  # (B, C, H, W)
        if norm == "batch":
            layers.append(nn.BatchNorm2d(after))
        layers.append(ACTIVATIONS[activation]())
        if min(height, width) > 1:
            layers.append(nn.MaxPool2d(2))  # (B, C, H / 2, W / 2)
            height, width = height // 2, width // 2
        before = after
    layers.append(nn.Flatten())  # (B, C * H * W)
    if dropout:
        layers.append(nn.Dropout(dropout))
    return headed(layers, nn.Linear(before * height * width, outputs))  # (B, V)


def resnet(
    inputs: torch.Size, outputs: int, *, channels: Sequence[int], blocks: int, dropout: float
) -> nn.Module:
    """`blocks` residual blocks for each number of channels; each but the first halves the image."""
    before = channels[0]
    stem: list[nn.Module] = [
        nn.Conv2d(inputs[0], before, 3, padding=1, bias=False),  # (B, C, H, W)
        nn.BatchNorm2d(before),
        nn.ReLU(),
    ]
    stages: list[nn.Module] = []
    for stage, after in enumerate(channels):
        for block in range(blocks):
            stages.append(Residual(before, after, 2 if stage and not block else 1))
            before = after  # (B, C, H / 2, W / 2) from the second stage on
    pooled: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]  # (B, C)
    if dropout:
        pooled.append(nn.Dropout(dropout))
    return headed([*stem, *stages, *pooled], nn.Linear(before, outputs))  # (B, V)


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to their input; `stride` 2 halves the image."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm_1 = nn.BatchNorm2d(after)
        self.conv_2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm_2 = nn.BatchNorm2d(after)
        same = before == after and stride == 1
        self.shortcut: nn.Module = (
            nn.Identity() if same else nn.Conv2d(before, after, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride)."""
        y = F.relu(self.norm_1(self.conv_1(x)))  # (B, C', H / stride, W / stride)
        y = self.norm_2(self.conv_2(y))  # (B, C', H / stride, W / stride)
        return F.relu(y + self.shortcut(x))  # (B, C', H / stride, W / stride)


def headed(layers: list[nn.Module], head: nn.Module) -> nn.Module:
    """One after the other, under the names that `freeze` patterns are written with."""
    return nn.Sequential(OrderedDict(features=nn.Sequential(*layers), head=head))


def gpt(
    inputs: torch.Size, outputs: int, *, layers: int, heads: int, width: int, dropout: float
) -> nn.Module:
    """A decoder-only transformer after GPT-2, reading as many tokens as a sample has.

    Raises:
        ValueError: the heads can't share the width evenly.
    """
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, but {width} is none of {heads}")
    (context,) = inputs
    return GPT(outputs, context, layers, heads, width, dropout)


class GPT(nn.Module):
    """Tokens (B, T) to logits (B, V, T): classes second, as torch's CrossEntropyLoss wants them.

    The embedding and the last layer share their weights.
    """

    def __init__(
        self, vocabulary: int, context: int, layers: int, heads: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.context = context
        self.token = embedding(vocabulary, width)
        self.position = embedding(context, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.Sequential(
            *(TransformerBlock(heads, width, dropout) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width)
        for name, weight in self.named_parameters():
            if (
                weight.dim() > 1 and not weight.is_meta
            ):  # what adds to the residual stream starts smaller, as in GPT-2
                scale = 1 / math.sqrt(2 * layers) if name.endswith("out.weight") else 1.0
                nn.init.normal_(weight, 0, scale / math.sqrt(weight.shape[1]))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) with T up to `context`, to logits (B, V, T)."""
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]  # (B, T, E)
        x = self.norm(self.blocks(self.drop(x)))  # (B, T, E)
        head = self.token.weight.expand(len(x), -1, -1)  # (B, V, E), a view
        return torch.bmm(head, x.transpose(1, 2))  # (B, V, T), laid out as the loss reads it


class TransformerBlock(nn.Module):
    """Attention to what came before, then an MLP on each token; both add to their input."""

    def __init__(self, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, E) to (B, T, E)."""
        x = x + self._drop(self.attention_out(self._attend(self.norm_1(x))))  # (B, T, E)
        hidden = F.gelu(self.mlp_in(self.norm_2(x)))  # (B, T, 4 * E)
        return x + self._drop(self.mlp_out(hidden))  # (B, T, E)

    def _attend(self, x: Tensor) -> Tensor:
        """(B, T, E) to (B, T, E): every token looks at itself and those before it."""
        b, t, e = x.shape
        qkv = self.qkv(x).view(b, t, 3, self.heads, e // self.heads)  # (B, T, 3, heads, E / heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, T, E / heads) each
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return y.transpose(1, 2).reshape(b, t, e)  # (B, T, E)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


def lstm(inputs: torch.Size, outputs: int, *, layers: int, width: int, dropout: float) -> nn.Module:
    """`layers` LSTMs of `width` units, each reading what the one below gives."""
    return LSTM(outputs, layers, width, dropout)


class LSTM(nn.Module):
    """Tokens (B, T) to logits (B, V, T): classes second, as torch's CrossEntropyLoss wants them.

    Every sample starts from a state of zeros. The state after a token depends on those before it
    only, so it can't look ahead.
    """

    def __init__(self, vocabulary: int, layers: int, width: int, dropout: float) -> None:
        super().__init__()
        self.token = embedding(vocabulary, width)
        between = dropout if layers > 1 else 0.0  # torch drops between two layers only
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=between)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) to logits (B, V, T)."""
        states, _ = self.lstm(self.token(tokens))  # (B, T, E)
        logits: Tensor = self.head(self.drop(states))  # (B, T, V)
        return logits.transpose(1, 2)  # (B, V, T)


def embedding(rows: int, width: int) -> nn.Embedding:
    """An embedding table (rows, width), drawn as `nn.Embedding` draws its own.

    On the meta device, where a model is only counted, nothing is drawn: to draw normal numbers
    there loads 800 modules of torch, which takes a second.
    """
    weight = torch.empty(rows, width)
    if not weight.is_meta:
        nn.init.normal_(weight)
    table: nn.Embedding = nn.Embedding.from_pretrained(weight, freeze=False)
    return table
