"""A small residual network for images, after K. He et al., "Deep Residual Learning", 2016."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import headed


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
