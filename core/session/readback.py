"""Scalars brought from the device to Python, without making an accelerator wait."""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
SLOTS: Final = 64
"""Scalars gathered on an accelerator before they travel together."""


class Readback(Generic[T]):
    """Takes scalar tensors with a tag and gives them back as floats, in the order they came.

    On the CPU that is `item()`, at once. On CUDA the values gather in a device buffer, travel to
    pinned memory in one asynchronous copy, and are read when its event says that they arrived;
    only `drain` waits. Elsewhere they gather the same way and are read by one blocking copy.
    """

    def __init__(self, device: torch.device) -> None:
        self.immediate = device.type == "cpu"
        self._device = device
        self._slots: Tensor | None = None
        self._tags: list[T] = []
        self._flying: deque[tuple[list[T], Tensor, torch.cuda.Event | None]] = deque()

    def push(self, tag: T, scalar: Tensor) -> None:
        """Take the value of `scalar` (shape ()) as it is at this point of the device's queue."""
        if self._slots is None:
            self._slots = torch.empty(SLOTS, device=self._device)
        self._slots[len(self._tags)].copy_(scalar.detach(), non_blocking=True)
        self._tags.append(tag)
        if len(self._tags) == SLOTS:
            self.flush()

    def flush(self) -> None:
        """Send what has gathered on its way."""
        if self._slots is None or not self._tags:
            return
        if self._device.type == "cuda":
            host = torch.empty(SLOTS, pin_memory=True)
            host.copy_(self._slots, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            self._flying.append((self._tags, host, event))
        else:
            self._flying.append((self._tags, self._slots.to("cpu", copy=True), None))
        self._tags = []

    def poll(self) -> list[tuple[T, float]]:
        """What has arrived since the last call."""
        arrived: list[tuple[T, float]] = []
        while self._flying and (self._flying[0][2] is None or self._flying[0][2].query()):
            tags, host, _ = self._flying.popleft()
            arrived += zip(tags, host.tolist(), strict=False)
        return arrived

    def drain(self) -> list[tuple[T, float]]:
        """Everything pushed so far. The one place that waits for the device: once an epoch."""
        self.flush()
        if self._flying and self._flying[-1][2] is not None:
            self._flying[-1][2].synchronize()
        return self.poll()
