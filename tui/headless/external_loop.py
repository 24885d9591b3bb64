"""`fivestep.watch`: a loop of a person's own, told in lines while it runs."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from ...core.foreign.watched import Watched
from ...core.storage.run_directory import checked_name
from ..setup.loop_run import serve_loop
from ..terminal.live_line import bare_stream
from .loop_lines import LoopLines
from .notebook import open_cell

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from torch import nn
    from torch.optim import Optimizer


def watch(
    model: nn.Module,
    optimizer: Optimizer,
    criterion: Callable[..., Any] | None = None,
    *,
    save: bool | str = False,
    runs_dir: str | os.PathLike[str] | None = None,
) -> Watched:
    """Watch a training loop of one's own: two lines more than the bare loop.

        with fivestep.watch(model, optimizer, criterion) as watched:
            for epoch in range(3):
                for features, labels in watched(loader):
                    ...

    Prints a line an epoch, what is wrong with the run, and where the time went at the end; on a
    terminal there is one live line besides, elsewhere a line every half minute, and in a notebook
    one display of all of it, with the newest losses. Of several processes under torchrun the first
    prints, and keeps. No number changes, and at the end every hook is gone. What can't be seen in
    a loop that is not ours is said to be inferred (~) or left out: see `foreign.loop`.

    Args:
        model: what is trained.
        optimizer: what trains it.
        criterion: the loss as a module, so that the time it takes is exact.
        save: keep batches, epochs, warnings and the outcome in a run directory, under this name or
            one made from the time and the script. Checkpoints are the loop's own.
        runs_dir: where it is; None is where fivestep keeps its runs.

    Raises:
        TypeError: the optimizer is none, or there are several.
        RunError: the name is not fit for a run; when the loop begins, it is taken.
    """
    if isinstance(save, str):
        checked_name(save)
    return WatchedInLines(model, optimizer, criterion, save, runs_dir)


class WatchedInLines(Watched):
    """Prints what it sees, in the loop's own thread."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: Callable[..., Any] | None,
        save: bool | str = False,
        runs_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        first = os.environ.get("RANK", "0") == "0"
        out = bare_stream(sys.stdout) if first else None
        live = False
        with suppress(Exception):  # whatever a notebook or a test puts in its place
            live = out is not None and out.isatty()
        save = save if first else False
        cell = open_cell() if first else None
        self.lines = LoopLines(out, live=live, cell=cell, save=save, runs_dir=runs_dir)
        super().__init__(model, optimizer, criterion, self.lines, self.lines.draw)

    @property
    def run_name(self) -> str:
        """Of the run that is kept, or to be; "" if none is."""
        return self.lines.run_name

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            super().__enter__()
            undo.push(self)  # whatever comes now, even Ctrl+C
            self.lines.begin(self)
            self.lines.introduce()
            serve_loop(self, self.lines.kept)
            undo.pop_all()
        return self

    def _over(self) -> None:
        if self.lines.under_way:
            self.lines.end()

    def _fail(self, mistake: Exception) -> None:
        super()._fail(mistake)
        with suppress(Exception):
            what = f"{type(mistake).__name__}: {mistake}"
            self.lines.say(
                f"fivestep could not go on watching ({what}); the loop goes on without it"
            )
