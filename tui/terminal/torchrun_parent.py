"""A process of torchrun's has a session of its own: no terminal sends it signals, and nothing ends
it when torchrun is killed. A thread of its own sees to both.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

from ...core.protocol.rank import this_rank
from .output import complain
from .terminal import is_gone

GLANCE: Final = 0.25
"""Seconds between two looks."""
PATIENCE: Final = 30.0
"""Seconds that an orphan has for the end of its batch and its checkpoint."""


def mind_parent() -> None:
    """From now on send this process SIGWINCH and SIGHUP when its terminal changes its size or goes
    away; and SIGTERM when its parent dies, then once more, which ends it at once.
    """
    threading.Thread(
        target=_mind, args=(os.getppid(),), name="fivestep-parent", daemon=True
    ).start()


def _mind(parent: int) -> None:
    process, terminal, size = os.getpid(), not is_gone(), _size()
    while os.getppid() == parent:
        time.sleep(GLANCE)
        if terminal and is_gone():
            terminal = False
            os.kill(process, signal.SIGHUP)
        elif terminal and (now := _size()) != size:
            size = now
            os.kill(process, signal.SIGWINCH)
    if not this_rank().local:
        complain("torchrun has gone: the run ends after this batch")
    for _ in range(2):
        os.kill(process, signal.SIGTERM)
        time.sleep(PATIENCE)
    os.kill(process, signal.SIGKILL)


def _size() -> os.terminal_size | None:
    try:
        return os.get_terminal_size(0)
    except OSError:
        return None
