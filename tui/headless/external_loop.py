"""`fivestep.watch`: a loop of a person's own, told in lines while it runs."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, suppress
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Final, TextIO

from ...core.protocol.listener import Listener
from ...core.protocol.parameter_groups import lr_text
from ...core.protocol.snapshot import Certainty
from ...core.protocol.steps import State, Step
from ...core.session.external_loop import Watched
from ...core.storage.run_directory import checked_name
from ...core.verdicts.verdicts import find_verdicts
from ..render.format import clean, counted, learned, number, percent, rate, short_time
from ..render.notebook import StepShare
from ..setup.loop_run import keep_loop, loop_ended
from ..setup.options import runs_folder
from ..terminal.giving_way import bare_stream, giving_way
from .notebook import open_cell

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from torch import nn
    from torch.optim import Optimizer

    from ...core.protocol.snapshot import EpochSummary
    from ...core.storage.kept_log import KeptLog

LIVE: Final = 0.2
"""Seconds between two drawings of the live line."""
CELL: Final = 0.5
"""The same of a notebook's cell."""
SIGN_OF_LIFE: Final = 30.0
"""Seconds after which something is said where there is no live line."""
JUDGED: Final = 2.0
"""Seconds from one look at what may be wrong to the next: each takes some milliseconds."""
ANY_LOSS: Final = frozenset(("non-finite", "data-bound", "labels stretched"))
"""Rules that hold where the loss need not fall: in a GAN, or where no data are given."""


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
    one display of all of it, with the newest losses. Of several
    processes under torchrun the first prints, and keeps. No number changes, and at the end every
    hook is gone. What can't be seen in a loop that is not ours is said to be inferred (~) or left
    out: see `session.external_loop`.

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


class WatchedInLines(Watched, Listener):
    """Prints what it sees, in the loop's own thread."""

    _watching: ClassVar[list[WatchedInLines]] = []
    """Those under way: of several each line says whose it is, and the first has the live line."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        criterion: Callable[..., Any] | None,
        save: bool | str = False,
        runs_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(model, optimizer, criterion, self, self._draw)
        first = os.environ.get("RANK", "0") == "0"
        self._out: TextIO | None = bare_stream(sys.stdout) if first else None
        self._cell = open_cell() if first else None
        """Shows one live display in a notebook, instead of lines."""
        self._live = self._out is not None and _is_terminal(self._out)
        self._save, self._runs_dir = save if first else False, runs_dir
        self._kept: KeptLog | None = None
        self.run_name = save if isinstance(save, str) else ""
        """Of the run that is kept, or to be; "" if none is."""
        self._judged = 0.0
        """When what may be wrong was looked at last; 0 before the first batch, which may tell."""
        self._rules: set[str] = set()
        """Those whose verdicts have been given."""
        self._accompanied = False
        """Whether another was ever under way at the same time."""
        self._guard = ExitStack()
        self._drawn, self._in_a_line = False, False
        self._due = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            super().__enter__()
            undo.push(self)  # whatever comes now, even Ctrl+C
            self._watching.append(self)
            for one in self._watching:
                one._accompanied = len(self._watching) > 1 or one._accompanied
            if self._live:
                self._guard.enter_context(giving_way(self._give_way))
            info, picture = self.info, self.latest()
            lr = lr_text(picture.lr, picture.lrs, number)
            self._say(
                f"watching {info.model}, {learned(info.parameters)}, "
                f"{info.optimizer} lr {lr}; {info.device}, {counted(info.threads, 'thread')}"
            )
            if self._save:
                self._keep()
            undo.pop_all()
        return self

    def _keep(self) -> None:
        """Keep the run from now on; where the disk refuses it, say so and go on without."""
        folder = runs_folder(None if self._runs_dir is None else str(self._runs_dir))
        try:
            self._kept = keep_loop(self, folder, self.run_name or None)
        except OSError as error:
            self._say(f"nothing is kept: {folder}: {error.strerror}")
            return
        self.run_name = self._kept.directory.name
        self._say(f"kept in {folder / self.run_name}")

    def __exit__(self, *error: Any) -> None:
        if self not in self._watching:
            return
        super().__exit__(*error)
        try:
            self._safely(self._tell_the_end)
        finally:
            self._guard.close()
            self._watching.remove(self)

    def _tell_the_end(self) -> None:
        outcome, at = self.outcome, self.progress
        assert outcome is not None
        self._judge()
        done = f"{counted(at.epoch, 'epoch')}, {counted(at.batches_done, 'batch')}"
        why = ""
        if outcome.state is State.FAILED:
            why = f" in {outcome.place}: {outcome.reason},"
        took = short_time(self.latest().elapsed)
        self._say(f"{outcome.state}{why} after {done} in {took}")
        times = [f"{one.name} {one.mark}{percent(one.share)}" for one in self._times()]
        self._say(f"time: {', '.join(times)}")
        if outcome.advice:
            self._say(outcome.advice)
        if at.updates and not at.batches_done:
            self._say("no batch was seen: put watched(loader) in the place of the loader")
        if self._kept is not None:
            self._notice()
            loop_ended(self, self._kept)

    def _fail(self, mistake: Exception) -> None:
        super()._fail(mistake)
        with suppress(Exception):
            what = f"{type(mistake).__name__}: {mistake}"
            self._say(f"fivestep could not go on watching ({what}); the loop goes on without it")

    def epoch(self, summary: EpochSummary) -> None:
        parts = [f"epoch {summary.epoch}", counted(summary.batches, "batch")]
        if self.knows_loss:
            parts.append(f"train loss {number(summary.train_loss)}")
        parts.append(f"{rate(summary.batches_per_second)} batches/s")
        self._say("  ".join(parts))
        self._notice()
        if perf_counter() - self._judged > JUDGED:
            self._judge()

    def _judge(self) -> None:
        """Say what is wrong by now, and was not before."""
        picture = self.latest(curves=True)
        assert picture.facts is not None
        learns_from_data = self.should_fall and self.progress.samples_done > 0
        for verdict in find_verdicts(self.info, picture, picture.facts):
            known = verdict.rule in self._rules
            if not known and (learns_from_data or verdict.rule in ANY_LOSS):
                self._rules.add(verdict.rule)
                self._warn(verdict.line)
        self._judged = perf_counter()

    def _notice(self) -> None:
        """Say what has become of the log, if that is worth a word."""
        if self._kept is not None and (text := self._kept.log.trouble()):
            self._warn(text)

    def _warn(self, text: str) -> None:
        self._record.change(self.progress, text, "warning")
        self._say(text)

    def _times(self) -> list[StepShare]:
        """Where the time went; "~" before what is inferred."""
        return [
            StepShare(step.info.name, share, "~" if sure is Certainty.INFERRED else "")
            for step, share, sure in zip(Step, self.shares, self.info.phases, strict=True)
            if sure is not Certainty.UNKNOWN
        ]

    def _draw(self) -> None:
        """The live line, or a sign of life where there is none."""
        if not self._judged:
            self._judge()
        now = perf_counter()
        if self._out is None or now < self._due or self._in_a_line:
            return
        if now - self._judged > JUDGED and self.now()[0] is not Step.VALIDATE:
            self._judge()
        picture, total = self.latest(), self.batches_per_epoch
        seen = picture.last.batches if picture.last is not None else total
        of = f"/{total}" if total else ""
        if seen != total:  # what the last epoch had
            of = f"/~{seen}"
        parts = [f"epoch {picture.epoch}  batch {picture.batch}{of}"]
        parts.append(f"{rate(picture.batches_per_second)}/s")
        if self.knows_loss:
            parts.append(f"loss {number(picture.loss)}")
        if picture.val_batch:
            parts.append(f"validation batch {picture.val_batch}")
        line = "  ".join(parts)
        if self._cell is not None:
            self._show(line)
            return
        if not self._live:
            self._say(line)
            return
        self._due = now + LIVE
        if self._watching[0] is self:
            self._drawn = True
            self._write(f"\r{line[: max(1, self._width() - 1)]}\x1b[K")

    def _show(self, now: str = "") -> None:
        """What the notebook's cell shows; where it can't, lines take over."""
        assert self._cell is not None
        self._due = perf_counter() + CELL
        losses = self.latest().recent if self.knows_loss else ()
        try:
            self._cell.show(now, losses, self._times())
        except Exception:
            lines, self._cell = self._cell.lines, None
            self._write("".join(f"{line}\n" for line in lines))

    def _width(self) -> int:
        """Columns of the terminal as it is now."""
        with suppress(OSError, ValueError, AttributeError):
            assert self._out is not None
            return os.get_terminal_size(self._out.fileno()).columns or 80
        return 80

    def _say(self, line: str) -> None:
        """A whole line, in place of the live one."""
        if self._accompanied:
            line = f"{self.run_name or type(self.model).__name__}: {line}"
        if self._cell is not None:
            self._cell.lines.append(clean(line))
            self._show()
            return
        for one in self._watching:
            one._give_way("")
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
        """Write past what guards the streams; where nobody reads any more, say nothing more."""
        if self._out is None:
            return
        try:
            encoding = getattr(self._out, "encoding", None) or "utf-8"
            self._out.write(written.encode(encoding, "replace").decode(encoding))
            self._out.flush()
        except (OSError, ValueError):  # closed, or its reader is gone
            self._out = None


def _is_terminal(stream: TextIO) -> bool:
    with suppress(Exception):  # whatever a notebook or a test puts in its place
        return stream.isatty()
    return False
