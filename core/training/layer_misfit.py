"""A layer that got what it can't take: how many features it expects, how many came, from where."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from .graph import leaves_behind
from .own_code import is_own, line_in_words

_FEATURES: Final = {"in_features": -1, "input_size": -1, "num_features": 1, "num_channels": 1}
"""What a layer of torch calls the number it expects, and the dimension of its input that is it."""
_made: Final[WeakKeyDictionary[nn.Module, str]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class LayerMisfit:
    """A layer, and an input that does not fit it."""

    text: str
    """"layer 2 (Linear) expects 10 features, got 5 from layer 1"."""
    advice: str
    line: str
    """The line of a person's own code that has made the layer; "" if that is not known."""


@contextmanager
def noting_lines() -> Iterator[None]:
    """Note of each layer with parameters that is made in here which own line makes it."""

    def note(module: nn.Module, *_: Any) -> None:
        frame = inspect.currentframe()
        while frame is not None and not is_own(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is not None:
            with suppress(TypeError):  # a module that compares by its own rule
                code = frame.f_code
                _made.setdefault(
                    module, line_in_words(code.co_filename, frame.f_lineno, code.co_name)
                )

    hook = register_module_parameter_registration_hook(note)
    try:
        yield
    finally:
        hook.remove()


def layer_misfit(model: nn.Module, trace: TracebackType | None, batch: Any) -> LayerMisfit | None:
    """What did not fit where an error came from; None if it was something else.

    Args:
        model: the model.
        trace: of the error.
        batch: the features of its batch, (B, ...).
    """
    names = {id(module): name for name, module in model.named_modules()}
    layer, got = None, None
    while trace is not None:
        values = trace.tb_frame.f_locals
        owner = values.get("self")
        if isinstance(owner, nn.Module) and id(owner) in names:
            layer, got = owner, values.get("input")
        trace = trace.tb_next
    if layer is None or not isinstance(got, Tensor) or not is_of_torch(layer):
        return None
    name, kind = names[id(layer)], type(layer).__name__
    called = f"layer {name} ({kind})" if name else f"the model ({kind})"
    for attribute, expected, found, what in _sizes(layer, got):
        if expected != found:
            source = _source(model, got, batch)
            what = what.removesuffix("s") if expected == 1 else what
            text = f"{called} expects {expected} {what}".rstrip() + f", got {found}"
            text += (f" from {source}" if source else "") + f": an input of {tuple(got.shape)}"
            enough = found + 1 if attribute == "num_embeddings" else found
            advice = f"try {attribute}={enough}" if attribute else ""
            return LayerMisfit(text, advice, _made.get(layer, ""))
    return None


def is_of_torch(module: nn.Module) -> bool:
    """Whether a module's class is one of torch's own."""
    return type(module).__module__.startswith("torch.nn.")


def _sizes(layer: nn.Module, got: Tensor) -> Iterator[tuple[str, Any, Any, str]]:
    """What a layer expects of its input, and what that has: an attribute of the layer, both
    figures, and what they count.
    """
    shape = tuple(got.shape)
    space = getattr(layer, "kernel_size", None)
    channels = getattr(layer, "in_channels", None)
    if isinstance(space, tuple) and isinstance(channels, int):
        most = len(space) + 2
        if len(shape) not in (most - 1, most):
            yield "", f"{most} dimensions (B, {channels}, ...)", len(shape), ""
        else:
            yield "in_channels", channels, shape[-len(space) - 1], "channels"
        return
    for attribute, dimension in _FEATURES.items():
        expected = getattr(layer, attribute, None)
        if isinstance(expected, int) and -len(shape) <= dimension < len(shape):
            what = "channels" if attribute == "num_channels" else "features"
            yield attribute, expected, shape[dimension], what
    last = getattr(layer, "normalized_shape", None)
    if isinstance(last, tuple):
        yield "normalized_shape", last, shape[-len(last) :], "as the last dimensions"
    rows = getattr(layer, "num_embeddings", None)
    if isinstance(rows, int) and got.numel() and not got.is_floating_point():
        highest = int(got.max())
        if highest >= rows:
            yield "num_embeddings", f"numbers below {rows}", highest, ""


def _source(model: nn.Module, got: Tensor, batch: Any) -> str:
    """Where an input has come from: the last layer with parameters on its way; "" if unknown."""
    if isinstance(batch, Tensor) and got.data_ptr() == batch.data_ptr():
        return "the data"
    layers = {id(p): name.rpartition(".")[0] for name, p in model.named_parameters()}
    layer = next(filter(None, (layers.get(id(leaf)) for leaf in leaves_behind((got,)))), "")
    return f"layer {layer}" if layer else ""
