"""Mixed precision: forward and loss in half the bits, and a loss scaled where that needs it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal

import torch
from torch import Tensor

Amp = Literal["bf16", "fp16"]
TYPES: Final[dict[Amp, torch.dtype]] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(amp: Amp | None, device: torch.device) -> AbstractContextManager[Any]:
    """What forward and loss are computed in; may be entered again and again, never twice at once.

    Raises:
        RuntimeError: the device can't compute in this type.
    """
    return nullcontext() if amp is None else torch.autocast(device.type, TYPES[amp])


class Scaler(torch.amp.GradScaler):
    """torch's GradScaler, counting the updates that it leaves out.

    Small gradients vanish in fp16, so the loss is multiplied by a large scale, and the gradients
    are divided by it before the update. Where the scale was too large they are infinite: that
    update is left out, and the scale halved. Without `enabled` all of it is left away.
    """

    def __init__(self, device: torch.device, *, enabled: bool) -> None:
        super().__init__(device.type, enabled=enabled)
        where = device if enabled else torch.device("cpu")
        self._one = torch.ones((), device=where)
        self.skipped = torch.zeros((), device=where)
        """() how many updates were left out; on the device, so that counting waits for nothing."""

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the scale behind an update, and count the update if it was left out."""
        if not self.is_enabled():
            return
        before = self.scale(self._one)
        super().update(new_scale)
        self.skipped += self.scale(self._one) < before

    def state_dict(self) -> dict[str, Any]:
        """The scale, what it depends on, and the count."""
        return {**super().state_dict(), "skipped": self.skipped.item()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        super().load_state_dict(state_dict)
        self.skipped.fill_(state_dict["skipped"])
