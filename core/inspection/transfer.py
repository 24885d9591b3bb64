"""Many small numbers brought from the device to Python in one go."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Transfer:
    """Gathers numbers on their device; `read` copies them all at once, which is the one wait."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.wide = torch.float32 if device.type == "mps" else torch.float64
        """What they travel in: double where the device has it (MPS does not)."""
        self._parts: list[Tensor] = []
        self._count = 0

    def add(self, groups: Sequence[Sequence[Tensor]]) -> list[slice]:
        """Take groups of tensors of real numbers; the place of each group in what `read` gives."""
        flat = [t.detach().reshape(-1).to(self._device) for group in groups for t in group]
        if flat:
            self._parts.append(torch.cat(flat).to(self.wide))
        slices = []
        for group in groups:
            end = self._count + sum(t.numel() for t in group)
            slices.append(slice(self._count, end))
            self._count = end
        return slices

    def read(self) -> list[float]:
        """All of them, in the order in which they were added."""
        numbers: list[float] = torch.cat(self._parts).tolist() if self._parts else []
        return numbers
