"""`fivestep.watch`: a loop of a person's own, told in lines while it runs."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TextIO

from ...core.protocol.parameter_groups import lr_text
from ...core.protocol.snapshot import Certainty
from ...core.protocol.steps import State, Step
from ...core.session.external_loop import Watched
from ...core.verdicts.verdicts import RULES
from ..render.format import clean, counted, learned, number, percent, rate, short_time
from ..terminal.giving_way import giving_way

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from torch import nn
    from torch.optim import Optimizer

    from ...core.protocol.snapshot import Change, EpochSummary

LIVE: Final = 0.2
"""Seconds between two drawings of the live line."""
SIGN_OF_LIFE: Final = 30.0
"""Seconds after which something is said where there is no live line."""


def watch(
    model: nn.Module, optimizer: Optimizer, criterion: Callable[..., Any] | None = None
) -> Watched:
    """Watch a training loop of one's own: two lines more than the bare loop.

        with fivestep.watch(model, optimizer, criterion) as watched:
            for epoch in range(3):
                for features, labels in watched(loader):
                    ...

    Prints a line an epoch, and where the time went at the end; on a terminal there is one live
    line besides, elsewhere a line every half minute. Of several processes under torchrun the first
    prints. No number changes, and at the end every hook is gone. What can't be seen in a loop that
    is not ours is said to be inferred (~) or left out: see `session.external_loop`.

    Args:
        model: what is trained.
        optimizer: what trains it.
        criterion: the loss as a module, so that the time it takes is exact.

    Raises:
        TypeError: the optimizer is none, or there are several.
    """
    return WatchedInLines(model, optimizer, criterion)


class WatchedInLines(Watched):
    """Prints what it sees, in the loop's own thread."""

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, criterion: Callable[..., Any] | None
    ) -> None:
        super().__init__(model, optimizer, criterion, self, self._draw)
        self._out: TextIO | None = sys.stdout if os.environ.get("RANK", "0") == "0" else None
        self._live = self._out is not None and self._out.isatty()
        self._guard = ExitStack()
        self._drawn, self._in_a_line = False, False
        self._due = 0.0
        self._judged = False
        """Whether what the first batch has shown was told."""

    def __enter__(self) -> Self:
        super().__enter__()
        if self._live:
            self._guard.enter_context(giving_way(self._give_way))
        info, picture = self.info, self.latest()
        lr = clean(lr_text(picture.lr, picture.lrs, number))
        self._say(
            f"watching {info.model}, {learned(info.parameters)}, "
            f"{info.optimizer} lr {lr}; {info.device}, {counted(info.threads, 'thread')}"
        )
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._guard.close()
        outcome, at = self.outcome, self.progress
        assert outcome is not None
        done = f"{counted(at.epoch, 'epoch')}, {counted(at.batches_done, 'batch')}"
        why = f" in {outcome.where}: {outcome.reason}" if outcome.state is State.FAILED else ""
        took = short_time(self.latest().elapsed)
        self._say(f"{outcome.state}{why} after {done} in {took}")
        self._say(f"time: {self._times()}")
        if outcome.advice:
            self._say(outcome.advice)

    def batch(
        self,
        epoch: int,
        batch: int,
        batches_done: int,
        loss: float,
        lr: float,
        lrs: tuple[float, ...] = (),
    ) -> None:
        """A batch whose loss is known."""

    def epoch(self, summary: EpochSummary) -> None:
        parts = [f"epoch {summary.epoch}", counted(summary.batches, "batch")]
        if self.info.loss is not Certainty.UNKNOWN:
            parts.append(f"train loss {number(summary.train_loss)}")
        parts.append(f"{rate(summary.batches_per_second)} batches/s")
        self._say("  ".join(parts))

    def change(self, change: Change) -> None:
        """Nobody changes anything here."""

    def _times(self) -> str:
        """Where the time went; "~" before what is inferred."""
        parts = []
        for step, share, sure in zip(Step, self.shares, self.info.phases, strict=True):
            if sure is not Certainty.UNKNOWN:
                mark = "~" if sure is Certainty.INFERRED else ""
                parts.append(f"{step.info.name} {mark}{percent(share)}")
        return ", ".join(parts)

    def _draw(self) -> None:
        """The live line, or a sign of life where there is none."""
        if self.facts is not None and not self._judged:
            self._judged = True
            verdict = RULES["labels stretched"](self.info, self.latest(), self.facts)
            if verdict is not None:
                self._say(verdict.line)
        now = perf_counter()
        if self._out is None or now < self._due or self._in_a_line:
            return
        picture, info = self.latest(), self.info
        seen = picture.last.batches if picture.last is not None else info.batches_per_epoch
        total = f"/{info.batches_per_epoch}" if info.batches_per_epoch else ""
        if seen != info.batches_per_epoch:  # what the last epoch had
            total = f"/~{seen}"
        parts = [f"epoch {picture.epoch}  batch {picture.batch}{total}"]
        parts.append(f"{rate(picture.batches_per_second)}/s")
        if info.loss is not Certainty.UNKNOWN:
            parts.append(f"loss {number(picture.loss)}")
        line = "  ".join(parts)
        if not self._live:
            self._say(line)
            return
        self._due, self._drawn = now + LIVE, True
        self._write(f"\r{line[: max(1, self._width() - 1)]}\x1b[K")

    def _width(self) -> int:
        """Columns of the terminal as it is now."""
        with suppress(OSError, ValueError, AttributeError):
            assert self._out is not None
            return os.get_terminal_size(self._out.fileno()).columns or 80
        return 80

    def _say(self, line: str) -> None:
        """A whole line, in place of the live one."""
        self._give_way("")
        self._write(clean(line) + "\n")
        self._due = perf_counter() + (LIVE if self._live else SIGN_OF_LIFE)

    def _give_way(self, coming: str) -> None:
        """Take the live line away; it comes back once the script has ended its own line."""
        if self._drawn:
            self._drawn = False
            self._write("\r\x1b[K")
        if coming:
            self._in_a_line = not coming.endswith("\n")

    def _write(self, written: str) -> None:
        if self._out is not None:
            print(written, end="", file=self._out, flush=True)
