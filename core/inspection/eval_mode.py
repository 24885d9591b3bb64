"""Running a model in eval mode so that the run it belongs to never notices."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..training.carried_state import Carried
from ..training.compile import eager
from ..training.rng import everything_untouched
from ..training.training import Training


@contextmanager
def eval_without_trace(training: Training) -> Generator[nn.Module, None, None]:
    """The model in eval mode and without gradients, for as long as the block goes on.

    Afterwards, also when the block fails, every module has its mode back, every buffer its
    content, and so has whatever else it carries from batch to batch; the generators of torch, NumPy
    and Python have their states. `no_grad` rather than `inference_mode`: what a module may cache on
    the way has to be fit for training.
    A compiled model is looked at as it was written; see `training.compile.eager`.
    """
    modes = [(module, module.training) for module in training.model.modules()]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in training.model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if not is_lazy(buffer)
    ]
    carried = Carried(training)
    with eager(training.model) as model, everything_untouched(training.device):
        try:
            model.eval()
            with torch.no_grad():
                yield model
        finally:
            carried.put({})
            for module, name, buffer, content in buffers:
                setattr(module, name, buffer)
                if not _same(buffer, content):  # a backward pass to come may need it untouched
                    buffer.detach().copy_(content)
            for module, mode in modes:
                module.training = mode


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether all numbers are the same; NaN is NaN."""
    if torch.equal(one, other):
        return True
    floats = one.is_floating_point() or one.is_complex()
    return floats and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
