"""How many threads torch gets: a fixed rule on model and batch size.

Small operations lose more to waking threads than they gain from them, badly so when another
process is busy; and some models give other bits with another number of threads. So the number
must not depend on the moment: the same model and batch size always get the same answer on the
same machine, and the run records it.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn

from .device import usable_cores

WORTH_SHARING: Final = 200e6
"""Multiply-adds of a forward pass from which more threads pay even when a core is busy elsewhere.

Measured on 2 cores: at 80e6 a second thread gains 1.4 on a quiet machine and loses 3 and more on
a busy one, and a screen alone keeps a machine of 2 cores from being quiet.
"""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def auto_threads(model: nn.Module, features: Tensor) -> int:
    """One thread for small work, every usable core for large.

    Args:
        model: not run, only looked at.
        features: one batch, (B, ...).
    """
    return 1 if estimate_work(model, features) < WORTH_SHARING else usable_cores()


def estimate_work(model: nn.Module, features: Tensor) -> float:
    """Rough multiply-adds of a forward pass: each weight once a sample, or once a position.

    Convolutions meet every position of an image (B, C, H, W) or signal (B, C, L), all layers
    every token of a sequence of integers (B, T).
    """
    batch = features.shape[0]
    places = features[0, 0].numel() if features.dim() > 2 else 1  # H x W
    tokens = features.shape[1] if not features.is_floating_point() and features.dim() == 2 else 1
    work = 0
    for module in model.modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        work += own * (places if isinstance(module, _CONVOLUTIONS) else 1)
    return float(work * batch * tokens)
