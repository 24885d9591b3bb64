"""Dead units: those of a ReLU that give 0 whatever they are shown, and so never learn again."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final

import torch
from torch import Tensor, nn

from ..training.compile import is_compiled

RELUS: Final = (nn.ReLU, nn.ReLU6)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class DeadUnits:
    """Counts, by forward hooks that are there only while asked for, in training passes only.

    A unit is a channel where the model has convolutions, else an entry of the last dimension. It
    is dead if it gave 0 for every sample of the batch, at every position. A ReLU that is used
    several times in a pass counts its units each time.

    Left out are compiled models, which hooks would make compile again, and activations inside an
    `nn.TransformerEncoderLayer`, whose faster kernel for eval mode turns itself off at the sight
    of a hook, and rounds differently.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._channels_first = any(isinstance(m, _CONVOLUTIONS) for m in model.modules())
        self._hooks: ExitStack | None = None
        self._found: dict[nn.Module, tuple[Tensor, int]] = {}

    @property
    def found(self) -> dict[nn.Module, tuple[Tensor, int]]:
        """By activation: dead units of the last training pass, shape (), and units in all."""
        return self._found

    def watch(self, on: bool) -> None:
        """Add the hooks, or remove them and forget what they counted."""
        if on == (self._hooks is not None):
            return
        if self._hooks is not None:
            self._hooks.close()
            self._hooks, self._found = None, {}
            return
        with ExitStack() as hooks:
            watched = [] if is_compiled(self._model) else self._activations()
            if watched:
                hooks.callback(self._model.register_forward_pre_hook(self._begin).remove)
            for module in watched:
                hooks.callback(module.register_forward_hook(self._count).remove)
            self._hooks = hooks.pop_all()

    def _activations(self) -> list[nn.Module]:
        layers = [m for m in self._model.modules() if isinstance(m, nn.TransformerEncoderLayer)]
        left_out = {inner for layer in layers for inner in layer.modules()}
        return [m for m in self._model.modules() if isinstance(m, RELUS) and m not in left_out]

    def _begin(self, *_: Any) -> None:
        if torch.is_grad_enabled():
            self._found = {}

    def _count(self, module: nn.Module, _: Any, output: Any) -> None:
        if (
            not torch.is_grad_enabled()  # validation, or a view
            or not isinstance(output, Tensor)
            or output.layout is not torch.strided
            or output.dim() < 2
            or not output.numel()
        ):
            return
        with torch.no_grad():
            alive = (output.detach() != 0).any(0)  # (C, H, W), (T, E) or (E,)
            if alive.dim() > 1:
                alive = alive.flatten(1).any(1) if self._channels_first else _last(alive)
            dead, units = alive.logical_not().sum(), len(alive)
        before = self._found.get(module)
        if before is not None:
            dead, units = dead + before[0], units + before[1]
        self._found[module] = dead, units


def _last(alive: Tensor) -> Tensor:
    return alive.flatten(0, -2).any(0)
