"""NaN and infinity: noticed before they reach the weights, traced to where they began."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .compile import eager
from .lazy import made_buffers, made_parameters
from .progress import tensors_in
from .rng import everything_untouched
from .spread import is_spread, own_part
from .training import Training


class NonFiniteError(ArithmeticError):
    """Something is NaN or infinite; raised before any parameter has met it.

    `place` says in which layer, or in what, it is first seen; "" if that could not be found.
    """

    def __init__(self, text: str, place: str = "") -> None:
        super().__init__(text)
        self.place = place


class NonFiniteLossError(NonFiniteError):
    """The loss is NaN or infinite; raised before backward."""


class NonFiniteGradientError(NonFiniteError):
    """A gradient is NaN or infinite; raised before the update."""


class GradientCheck:
    """One fused look at every gradient: about 2 µs for those of a small model, where a norm costs
    15.

    On an accelerator the answer stays there, in `found`: an update with fused kernels leaves the
    weights alone where it is 1, and it is read later.
    """

    def __init__(self, optimizer: Optimizer, device: torch.device, *, waits: bool = False) -> None:
        self.found = torch.zeros((), device=device)
        """() 1 if a number was NaN or infinite, else 0."""
        self._one = torch.ones((), device=device)
        self._optimizer = optimizer
        self._at_once = waits or device.type == "cpu"
        self.holds_back = not self._at_once and all(
            group.get("fused") for group in optimizer.param_groups
        )
        """Whether the update itself is skipped on the device."""
        if self.holds_back:
            optimizer.found_inf = self.found  # type: ignore[attr-defined]

    def look(self) -> bool:
        """Look at the gradients as they are now.

        Returns:
            Whether one is NaN or infinite; on an accelerator that is not waited for always
            False: `found` knows.
        """
        gradients: list[Tensor] = []
        for group in self._optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    gradients.append(p.grad)  # noqa: PERF401 - a call less than a comprehension
        found = self.found
        if not self._at_once:
            found.zero_()
        if not gradients:
            return False
        try:
            # Multiplies by 1, which changes no bit of a finite number.
            torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, self._one)
        except (RuntimeError, NotImplementedError, AttributeError):  # sparse, or mixed types
            for grad in gradients:
                values = grad.coalesce().values() if grad.is_sparse else grad
                found.logical_or_(values.isfinite().all().logical_not())
        if not self._at_once or not found.item():
            return False
        found.zero_()
        return True


def name_bad_gradient(model: nn.Module, features: Any) -> str:
    """Where NaN or infinity came from: the features, if a layer has hidden theirs from the loss;
    else the layer where backward, which goes from the last to the first, met it first.
    """
    if not _finite(features):
        return "the features"
    for name, p in reversed(list(model.named_parameters())):
        if p.grad is not None and not _finite(p.grad):
            return f"the gradient of {name}"
    return ""


def own_gradient_is_bad(training: Training, features: Any, labels: Any) -> bool:
    """Whether this batch gives a gradient that is NaN or infinite when it is run once more, with
    what that draws and averages put back.
    """
    model = training.model
    if is_spread(model):
        return False
    learned = [p for p in model.parameters() if p.requires_grad]
    try:
        with _run_again(training):
            loss = training.criterion(model(features), labels)
        return not _finite(torch.autograd.grad(loss, learned, allow_unused=True))
    except Exception:  # as for `name_bad_value`
        return False


def name_bad_value(training: Training, features: Any, labels: Any, outputs: Any) -> str:
    """Where NaN or infinity first appears on the way to the loss; "" if that can't be found.

    Runs the batch once more, with what that draws and averages put back; not where it would take
    all ranks to do so.
    """
    if not _finite(features):
        return "the features"
    if not _finite(labels):
        return "the labels"
    model = training.model
    for name, p in made_parameters(model):
        if not _finite(p):
            return f"the weights of {name}"
    if is_spread(model):
        return ""
    try:
        found = _first_bad_output(training, features)
    except Exception:  # a model that can't be run again tells nothing, and must not hide the first
        return ""
    if not found and not _finite(outputs):
        return "the model's output, though not when it is run again"
    return f"layer {found}" if found else "the loss itself"


@contextmanager
def _run_again(training: Training) -> Generator[None]:
    """In here the model may be run: what that draws and averages is put back."""
    buffers = {name: buffer.clone() for name, buffer in made_buffers(training.model)}
    with (
        everything_untouched(training.device),
        eager(training.model),
        training.autocast(),
    ):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, buffer in made_buffers(training.model):
                    buffer.copy_(buffers[name])


def _first_bad_output(training: Training, features: Any) -> str:
    model = training.model
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            if not found and not _finite(output):
                found.append(f"{name} ({type(module).__name__})")

        return hook

    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(_run_again(training))
        for name, module in model.named_modules():
            if name and not any(True for _ in module.children()):
                stack.callback(module.register_forward_hook(look(name)).remove)
        model(features)
    return found[0] if found else ""


def bad_saved_weights(model: nn.Module, saved: Mapping[str, Any]) -> str:
    """The first parameter, or running average of a norm, that is NaN or infinite in a `state_dict`
    of the model; "" if none.
    """
    for name, _ in _learned(model):
        if not _finite(saved.get(name)):
            return name
    return ""


def _learned(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from made_parameters(model)
    for name, buffer in made_buffers(model):
        if name.rpartition(".")[2] in ("running_mean", "running_var"):
            yield name, buffer


def _finite(part: Any) -> bool:
    real = (t for t in tensors_in(part) if t.is_floating_point() and not t.is_sparse)
    return all(bool(own_part(t).isfinite().all()) for t in real)
