"""`loss.backward()` of a plain loss, without what torch does in Python before its engine starts.

For a small model that takes as long as a fifth of the engine's own work: imports, contexts for
compiled code, shapes of gradients that nobody gave. The engine and what it is handed are the
same, so every bit is. Whatever is not a plain loss on the CPU goes torch's way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd import Variable

_torchs: Final[Callable[..., None]] = Tensor.backward
_run: Final[Any] = getattr(getattr(Variable, "_execution_engine", None), "run_backward", None)
_transforming: Final[Any] = getattr(torch._C, "_are_functorch_transforms_active", None)
_lock: Final = threading.Lock()
_users = 0


def _backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """What `torch.Tensor.backward` does."""
    if (
        gradient is None
        and inputs is None
        and not retain_graph
        and not create_graph
        and type(self) is Tensor
        and not self.dim()
        and self.requires_grad
        and self.is_cpu
        and self.is_floating_point()
        and not _transforming()
    ):
        _run(
            (self,),
            (torch.ones_like(self),),
            False,
            False,
            (),
            allow_unreachable=True,
            accumulate_grad=True,
        )
    else:
        _torchs(self, gradient, retain_graph, create_graph, inputs)


@contextmanager
def lean_backward() -> Generator[None, None, None]:
    """Have every `backward()` of the process take the short way, in whatever thread, until the
    last one who asked for it has left. torch's own stays where it logs each step, and where it
    is built differently.
    """
    global _users  # noqa: PLW0603
    log = logging.getLogger("torch.autograd.graph")
    if _run is None or _transforming is None or log.isEnabledFor(logging.DEBUG):
        yield
        return
    with _lock:
        _users += 1
        if _users == 1 and Tensor.backward is _torchs:
            Tensor.backward = _backward  # type: ignore[method-assign]
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and Tensor.backward is _backward:
                Tensor.backward = _torchs  # type: ignore[method-assign]
