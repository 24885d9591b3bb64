"""Models under torch.compile, which keep their own names and can still be run as they are."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import torch
from torch import nn

COMPILING: Final = "compiling the model: the first batches are slow"
COMPILED_ANEW: Final = f"{COMPILING}, and bits may differ from those of a run without a break"
"""The code depends on the batch that it is made for, and a smaller one may come first now."""


def compile_in_place(model: nn.Module) -> None:
    """Have torch.compile make code of the model's forward, at its first call.

    `model.compile()` would do nothing for a model of torch's own classes, such as nn.Sequential:
    up to torch 2.13 the compiler skips their calls, without a word (pytorch/pytorch#150915).
    """
    if not is_compiled(model):
        model.forward = torch.compile(model.forward)


def is_compiled(model: nn.Module) -> bool:
    """Whether any part of the model is compiled, whichever way that was done."""
    return any(
        hasattr(m, "_orig_mod") or m._compiled_call_impl is not None or "forward" in vars(m)
        for m in model.modules()
    )


@contextmanager
def eager(model: nn.Module) -> Generator[nn.Module, None, None]:
    """The model as it was written, for as long as the block goes on.

    Whoever looks at it in another mode, with other sizes or with hooks would have it compiled
    once more for that, which takes seconds.
    """
    original: nn.Module = getattr(model, "_orig_mod", model)
    set_aside = [
        (module, name, vars(module).pop(name))
        for module in original.modules()
        for name in ("forward", "_compiled_call_impl")
        if name in vars(module)
    ]
    try:
        yield original
    finally:
        for module, name, code in set_aside:
            vars(module)[name] = code
