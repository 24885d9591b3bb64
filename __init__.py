"""fivestep: watch, steer and trust the five steps of a PyTorch training loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.protocol.steps import Task as Task
    from .core.training.training import About as About
    from .core.training.training import Training as Training
    from .tui.headless.external_loop import watch as watch

__version__ = "0.1.0"

_PLACES = {
    "About": ".core.training.training",
    "Task": ".core.protocol.steps",
    "Training": ".core.training.training",
    "watch": ".tui.headless.external_loop",
}


def __getattr__(name: str) -> Any:
    """What a person's own code needs, once it asks: most of it needs torch, an import does not."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
