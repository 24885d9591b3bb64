"""Importing what is large, without the garbage collector going over all of it again and again.

What an import makes stays, yet the collector looks through everything there is whenever there is
a quarter more of it. Left to itself it takes a quarter of the time until torch is there, and a
quarter of a second in the middle of some batch later on.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Iterator
from typing import Final

_lock: Final = threading.Lock()
_count: Final = threading.Lock()
_ours = _beginning = False
_holding = _known = 0
_was_on = True


def claim_process() -> None:
    """This process runs nothing but fivestep: hold garbage collection until `under_way`."""
    global _ours, _beginning  # noqa: PLW0603
    if not _ours:
        _ours = _beginning = True
        _hold()


def under_way() -> None:
    """Start-up is over: turn garbage collection on again."""
    global _beginning  # noqa: PLW0603
    if _beginning:
        _beginning = False
        _let_go()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Hold garbage collection; after `claim_process` it never looks at what was imported.

    Where everything is there already nothing is held back from it: what runs leave behind must go.
    """
    _hold()
    try:
        yield
    finally:
        _let_go()


def _hold() -> None:
    global _holding, _known, _was_on  # noqa: PLW0603
    with _count:
        if not _holding:
            _known, _was_on = len(sys.modules), gc.isenabled()
        _holding += 1
        gc.disable()


def _let_go() -> None:
    global _holding  # noqa: PLW0603
    with _count:
        _holding -= 1
        if _ours and len(sys.modules) > _known:
            gc.freeze()
        if not _holding and _was_on:
            gc.enable()


def load_torch() -> None:
    """Import torch and what trains with it.

    Raises:
        ImportError: whatever is wrong with the torch that is installed.
    """
    with _lock:
        if "torch" not in sys.modules:
            with importing():
                from ...core.session import session  # noqa: F401
                from ...presets import build  # noqa: F401


def load_compiler() -> None:
    """Import what torch imports by itself, a second long, when it makes an optimizer of its own."""
    with _lock:
        if "torch._dynamo" not in sys.modules:
            with importing():
                import torch

                torch.optim.SGD([torch.zeros(1)])
