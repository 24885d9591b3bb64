"""torch's fused optimizers without what torch wraps around their kernels.

Around a fused update of a small model torch spends several times what the kernel takes: on
profiling, hooks, sorting tensors by device, guards for its compiler. That compiler, a second of
importing, is loaded by the first optimizer that is made. The classes here are torch's own, with
their options, their state and its names; they call the same kernels with the same arguments, so
every bit is the same. What is out of the ordinary (a closure, hooks, an accelerator, a scaled
loss) is left to torch, and everything is from the first time on that a kernel is missing or fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim import optimizer as torchs

from .spread import own_part

ParamGroup = dict[str, Any]


def _bare(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method without the decorator that loads torch's compiler."""
    found: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return found


_add_param_group: Final = _bare(Optimizer.add_param_group)
_state_dict: Final = _bare(Optimizer.state_dict)
_load_state_dict: Final = _bare(Optimizer.load_state_dict)
_global_pre_hooks: Final[Mapping[int, Any]] = getattr(torchs, "_global_optimizer_pre_hooks", {})
_global_post_hooks: Final[Mapping[int, Any]] = getattr(torchs, "_global_optimizer_post_hooks", {})


class _Fused(Optimizer):
    """What the fused optimizers have in common: everything but the kernel."""

    lean = True
    """The switch: False leaves everything to torch."""
    _spread = False
    """Whether other ranks have parts of the parameters."""
    _ordinary: bool | None = None
    """Whether one call of the kernel takes all of a group; None before that is found out."""
    found_inf: Tensor | None = None
    """Set by what scales the loss, or holds an update back. `grad_scale` is only there while it is
    set: torch's GradScaler multiplies by what is there."""

    def add_param_group(self, param_group: ParamGroup) -> None:
        _add_param_group(self, param_group)
        self._ordinary = None

    def state_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = _state_dict(self)
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _load_state_dict(self, state_dict)
        self._ordinary = None  # the options came with it

    def register_step_pre_hook(self, hook: Any) -> Any:
        self.lean = False
        return super().register_step_pre_hook(hook)

    def register_step_post_hook(self, hook: Any) -> Any:
        self.lean = False
        return super().register_step_post_hook(hook)

    def zero_grad(self, set_to_none: bool = True) -> None:
        if not set_to_none:
            super().zero_grad(set_to_none=False)
            return
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self, closure: Any = None) -> Any:
        if self._ordinary is None:
            groups = self.param_groups
            self._ordinary = all(_ordinary(group) for group in groups)
            self._spread = any(own_part(p) is not p for g in groups for p in g["params"])
        if (
            closure is not None
            or not self.lean
            or not self._ordinary
            or _global_pre_hooks
            or _global_post_hooks
            or self.found_inf is not None
            or getattr(self, "grad_scale", None) is not None
        ):
            return _torchs_step(type(self))(self, closure)
        updated = False
        for group in self.param_groups:
            params, grads = [], []
            for p in group["params"]:
                grad = p.grad
                if grad is not None:
                    params.append(p)
                    grads.append(grad)
            if not params:
                continue
            try:
                self._update(group, params, grads)
            except (AttributeError, TypeError, NotImplementedError, RuntimeError):
                if updated:
                    raise
                self.lean = False
                return _torchs_step(type(self))(self, None)
            updated = True
        return None

    step.hooked = True  # type: ignore[attr-defined]  # or torch wraps it all the same

    def _update(self, group: ParamGroup, params: list[Tensor], grads: list[Tensor]) -> None:
        """Call the kernel; where that fails, the state is as it was."""
        raise NotImplementedError

    def _here(self, *lists: list[Tensor]) -> tuple[list[Tensor], ...]:
        """What of them is in this process: an update looks at each number alone."""
        if not self._spread:
            return lists
        with torch.no_grad():
            return tuple([own_part(tensor) for tensor in tensors] for tensors in lists)


def _ordinary(group: ParamGroup) -> bool:
    params = group["params"]
    return (
        bool(group["fused"])
        and len({(p.device, p.dtype) for p in params}) == 1
        and params[0].device.type == "cpu"
        and params[0].is_floating_point()
    )


def _torchs_step(kind: type[Optimizer]) -> Callable[..., Any]:
    """`step` as torch has it, hooks and all."""
    torchs_class: Any = kind.__mro__[kind.__mro__.index(_Fused) + 1]
    step = torchs_class.step
    return step if hasattr(step, "hooked") else Optimizer.profile_hook_step(step)


class SGD(_Fused, torch.optim.SGD):
    """`torch.optim.SGD`."""

    def _update(self, group: ParamGroup, params: list[Tensor], grads: list[Tensor]) -> None:
        buffers: list[Tensor] = []
        first = False
        if group["momentum"]:
            states = [self.state[p] for p in params]
            fresh = [state.get("momentum_buffer") is None for state in states]
            first = all(fresh)
            if any(fresh) and not first:  # a gradient that came later than the others
                for part in (True, False):
                    some = [i for i, new in enumerate(fresh) if new is part]
                    self._update(group, [params[i] for i in some], [grads[i] for i in some])
                return
            if first:
                for state, grad in zip(states, grads, strict=True):
                    state["momentum_buffer"] = torch.empty_like(grad)
            buffers = [state["momentum_buffer"] for state in states]
        try:
            torch._fused_sgd_(
                *self._here(params, grads, buffers),
                weight_decay=group["weight_decay"],
                momentum=group["momentum"],
                lr=group["lr"],
                dampening=group["dampening"],
                nesterov=group["nesterov"],
                maximize=group["maximize"],
                is_first_step=first,
            )
        except Exception:
            if first:
                for p in params:
                    del self.state[p]["momentum_buffer"]
            raise


class _Moments(_Fused):
    """Adam and AdamW."""

    def _update(self, group: ParamGroup, params: list[Tensor], grads: list[Tensor]) -> None:
        steps, means, squares, largest = [], [], [], []
        amsgrad = group["amsgrad"]
        for p in params:
            state = self.state[p]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
                state["exp_avg"] = torch.zeros_like(p)
                state["exp_avg_sq"] = torch.zeros_like(p)
                if amsgrad:
                    state["max_exp_avg_sq"] = torch.zeros_like(p)
            steps.append(state["step"])
            means.append(state["exp_avg"])
            squares.append(state["exp_avg_sq"])
            if amsgrad:
                largest.append(state["max_exp_avg_sq"])
        kernel: Any = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
        beta1, beta2 = group["betas"]
        for step in steps:
            step.add_(1)
        try:
            kernel(
                *self._here(params, grads, means, squares, largest),
                steps,
                amsgrad=amsgrad,
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=group["maximize"],
            )
        except Exception:
            for step in steps:
                step.sub_(1)
            raise


class Adam(_Moments, torch.optim.Adam):
    """`torch.optim.Adam`."""


class AdamW(_Moments, torch.optim.AdamW):
    """`torch.optim.AdamW`."""


OPTIMIZERS: Final[dict[str, type[Optimizer]]] = {"Adam": Adam, "AdamW": AdamW, "SGD": SGD}
"""By torch's names."""
