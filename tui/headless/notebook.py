"""A notebook's cell that shows what `fivestep.watch` sees, drawn over as it changes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ..render.notebook import StepShare, notebook_picture


class Cell:
    """One display in the output of the cell that is running.

    Args:
        display: IPython's function of this name.
    """

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None
        self.lines: list[str] = []
        """What was said so far, the heading first."""

    def show(self, now: str, losses: Sequence[float], steps: Sequence[StepShare]) -> None:
        """Draw it, the first time below what the cell has printed; see `notebook_picture`."""
        picture = notebook_picture(self.lines, now, losses, steps)
        if self._handle is None:
            self._handle = self._display(picture, raw=True, display_id=True)
        else:
            self._handle.update(picture, raw=True)


def open_cell() -> Cell | None:
    """The cell of a notebook that runs this; None elsewhere, in IPython on a terminal, say."""
    ipython = sys.modules.get("IPython")  # where it runs it is there
    shell = ipython.get_ipython() if ipython is not None else None
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display

    return Cell(display)
