"""fivestep: watch, steer and trust the five steps of a PyTorch training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .tui.headless.external_loop import watch as watch

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`watch`, once somebody asks for it: it needs torch, `import fivestep` does not."""
    if name == "watch":
        from .tui.headless.external_loop import watch

        return watch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
