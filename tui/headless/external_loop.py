"""`fivestep.watch`: a loop of a person's own, told in lines while it runs."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING, Final

from ...core.protocol.snapshot import Certainty
from ...core.protocol.steps import State, Step
from ...core.session.external_loop import Watched
from ..render import format as text

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from torch import nn
    from torch.optim import Optimizer

    from ...core.protocol.snapshot import Change, EpochSummary

LIVE: Final = 0.2
"""Seconds between two drawings of the live line."""


def watch(
    model: nn.Module,
    optimizer: Optimizer,
    criterion: nn.Module | None = None,
) -> Watched:
    """Watch a training loop of one's own: two lines more than the bare loop.

        with fivestep.watch(model, optimizer, criterion) as watched:
            for epoch in range(3):
                for features, labels in watched(loader):
                    ...

    Prints a line an epoch, and where the time went at the end; on a terminal there is one live
    line besides. No number changes, and at the end every hook is gone. What can't be seen in a
    loop that is not ours is said to be inferred (~) or left out: see `session.external_loop`.

    Args:
        model: what is trained.
        optimizer: what trains it.
        criterion: the loss as a module; without it the loss is not known.
    """
    return _Told(model, optimizer, criterion)


class _Told(Watched):
    """Prints what it sees, in the loop's own thread."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, criterion: nn.Module | None) -> None:
        super().__init__(model, optimizer, criterion, self, self._draw)
        self._drawn, self._due = "", 0.0
        self._live = sys.stdout is not None and sys.stdout.isatty()

    def __enter__(self) -> Self:
        super().__enter__()
        info = self.info
        self._say(
            f"watching {info.model}, {text.counted(info.parameters, 'parameter')}, "
            f"{info.optimizer} lr {text.number(self.latest().lr)}; {info.device}, "
            f"{text.counted(info.threads, 'thread')}"
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        outcome, at = self.outcome, self.progress
        assert outcome is not None
        done = f"{text.counted(at.epoch, 'epoch')}, {text.counted(at.batches_done, 'batch')}"
        why = f" in {outcome.where}: {outcome.reason}" if outcome.state is State.FAILED else ""
        took = text.short_time(self.latest().elapsed)
        self._say(f"{outcome.state}{why} after {done} in {took}")
        self._say(f"time: {self._times()}")

    def batch(self, epoch: int, batch: int, batches_done: int, loss: float, lr: float) -> None:
        """A batch whose loss is known."""

    def epoch(self, summary: EpochSummary) -> None:
        """Tell of an epoch."""
        parts = [f"epoch {summary.epoch}", text.counted(summary.batches, "batch")]
        if self.info.loss is not Certainty.UNKNOWN:
            parts.append(f"train loss {text.number(summary.train_loss)}")
        parts.append(f"{text.rate(summary.batches_per_second)} batches/s")
        self._say("  ".join(parts))

    def change(self, change: Change) -> None:
        """Nobody changes anything here."""

    def _times(self) -> str:
        """Where the time went; "~" before what is inferred."""
        parts = []
        for step, share, sure in zip(Step, self.shares, self.info.phases, strict=True):
            if sure is not Certainty.UNKNOWN:
                mark = "~" if sure is Certainty.INFERRED else ""
                parts.append(f"{step.info.name} {mark}{text.percent(share)}")
        return ", ".join(parts)

    def _draw(self) -> None:
        """The live line, now and then."""
        now = perf_counter()
        if not self._live or now < self._due:
            return
        self._due = now + LIVE
        picture, info = self.latest(), self.info
        total = f"/{info.batches_per_epoch}" if info.batches_per_epoch else ""
        parts = [f"epoch {picture.epoch}  batch {picture.batch}{total}"]
        parts.append(f"{text.rate(picture.batches_per_second)}/s")
        if info.loss is not Certainty.UNKNOWN:
            parts.append(f"loss {text.number(picture.loss)}")
        self._drawn = "  ".join(parts)
        print(f"\r{self._drawn}\x1b[K", end="", flush=True)

    def _say(self, line: str) -> None:
        """A whole line, in place of the live one."""
        print("\r\x1b[K" * bool(self._drawn) + text.clean(line), flush=True)
        self._drawn = ""
