"""A loop that is not ours, told in lines while it runs, and kept if that is asked for."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack, suppress
from math import isnan
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Final, TextIO

from ...core.protocol.listener import Listener
from ...core.protocol.parameter_groups import lr_text
from ...core.protocol.rank import this_rank
from ...core.protocol.snapshot import Certainty
from ...core.protocol.steps import State, Step
from ...core.verdicts.verdicts import find_verdicts
from ..render.format import clean, counted, learned, number, percent, rate, short_time
from ..render.notebook import StepShare
from ..setup.loop_run import keep_loop, loop_ended, loop_name
from ..setup.notify import Notifier, ending
from ..setup.options import runs_folder
from ..setup.preferences import preference
from ..terminal.alerts import Alerts
from ..terminal.live_line import giving_way

if TYPE_CHECKING:
    from ...core.foreign.loop import ForeignLoop
    from ...core.protocol.snapshot import EpochSummary
    from ...core.storage.kept_log import KeptLog
    from .notebook import Cell

LIVE: Final = 0.2
"""Seconds between two drawings of the live line."""
CELL: Final = 0.5
"""The same of a notebook's cell."""
SIGN_OF_LIFE: Final = 30.0
"""Seconds after which something is said where there is no live line."""
JUDGED: Final = 2.0
"""Seconds from one look at what may be wrong to the next: each takes some milliseconds."""


class LoopLines(Listener):
    """Prints what is seen of a loop, in the loop's own thread.

    Args:
        out: where; None prints nothing.
        live: the last line may be drawn again and again.
        cell: shows one live display in a notebook, instead of lines.
        mark: stands before each line.
        save: keep the run in a run directory: False, True, or the name that it is to have.
        runs_dir: where that is; None is where fivestep keeps its runs.
        command: that has started it, if that is not the script's own.
    """

    _watching: ClassVar[list[LoopLines]] = []
    """Those under way: of several each line says whose it is, and the first has the live line."""

    def __init__(
        self,
        out: TextIO | None,
        *,
        live: bool = False,
        cell: Cell | None = None,
        mark: str = "",
        save: bool | str = False,
        runs_dir: str | os.PathLike[str] | None = None,
        command: str | None = None,
    ) -> None:
        self._command = command
        self._out, self._live, self._mark, self._cell = out, live, mark, cell
        self._save = save
        self._folder = runs_folder(None if runs_dir is None else str(runs_dir))
        self.kept: KeptLog | None = None
        self.run_name = save if isinstance(save, str) else ""
        """Of the run that is kept, or to be; "" if none is."""
        self.loop: ForeignLoop
        """Given to `begin`."""
        self._judged = 0.0
        """When what may be wrong was looked at last; 0 before the first batch, which may tell."""
        self._rules: set[str] = set()
        """Those whose verdicts have been given."""
        self._accompanied = False
        """Whether another was ever under way at the same time."""
        self._alerts, self._notifier = Alerts(""), Notifier("")
        self._guard = ExitStack()
        self._drawn, self._in_a_line = False, False
        self._unended = False
        """Whether somebody else has not ended a line where lines are printed."""
        self._due = 0.0

    @property
    def under_way(self) -> bool:
        """Whether the loop has begun, and has not ended."""
        return self in self._watching

    def begin(self, loop: ForeignLoop) -> None:
        """A loop begins. Raises RunError: a run is kept under that name already."""
        self.loop = loop
        self._watching.append(self)
        for one in self._watching:
            one._accompanied = len(self._watching) > 1 or one._accompanied
        if not this_rank().number:
            self._alerts = Alerts(loop_name(), (self._out,) if preference("bell") else ())
            self._notifier = Notifier(preference("notify"))
            atexit.register(self._notifier.wait)
        if self._live:
            self._guard.enter_context(giving_way(self._give_way))
        if self._save:
            self._keep()

    def introduce(self) -> None:
        """Say what is watched, and where it is kept."""
        info, picture = self.loop.info, self.loop.latest()
        lr = lr_text(picture.lr, picture.lrs, number)
        rate = "" if isnan(picture.lr) else f" lr {lr}"  # of updates by hand
        self.say(
            f"watching {info.model or 'no module'}, {learned(info.parameters)}, "
            f"{info.optimizer}{rate}; {info.device}, {counted(info.threads, 'thread')}"
        )
        if self.kept is not None:
            self.say(f"kept in {self._folder / self.run_name}")

    def _keep(self) -> None:
        """Keep the run from now on; where the disk refuses it, say so and go on without."""
        folder = self._folder
        try:
            self.kept = keep_loop(self.loop, folder, self.run_name or None, self._command)
        except OSError as error:
            self.say(f"nothing is kept: {folder}: {error.strerror}")
            return
        self.run_name = self.kept.directory.name

    def end(self) -> None:
        """The loop is over: say how it ended, and write that down. Raises OSError."""
        try:
            self._tell_the_end()
        finally:
            self._guard.close()
            self._watching.remove(self)

    def _tell_the_end(self) -> None:
        outcome, at = self.loop.outcome, self.loop.progress
        assert outcome is not None
        self._judge()
        done = f"{counted(at.epoch, 'epoch')}, {counted(at.batches_done, 'batch')}"
        why = ""
        if outcome.state is State.FAILED:
            why = f" in {outcome.place}: {outcome.reason},"
        elif outcome.reason.startswith("left "):
            why = f", {outcome.reason},"
        took = short_time(self.loop.latest().elapsed)
        self.say(f"{outcome.state}{why} after {done} in {took}")
        times = [f"{one.name} {one.mark}{percent(one.share)}" for one in self._times()]
        self.say(f"time: {', '.join(times)}")
        if outcome.advice:
            self.say(outcome.advice)
        if at.updates and not at.batches_done:
            self.say("no batch was seen: put watched(loader) in the place of the loader")
        if self.kept is not None:
            self._notice()
            loop_ended(self.loop, self.kept)
        self._alerts.ended(outcome)
        directory = None if self.kept is None else self.kept.directory
        self._notifier.tell(ending(loop_name(), directory, self.loop.info, self.loop.latest()))

    def epoch(self, summary: EpochSummary) -> None:
        parts = [f"epoch {summary.epoch}", counted(summary.batches, "batch")]
        if self.loop.knows_loss:
            parts.append(f"train loss {number(summary.train_loss)}")
            parts += self._last_losses()
        if summary.val_loss is not None:
            parts.append(f"validation loss ~{number(summary.val_loss)}")
        parts.append(f"{rate(summary.batches_per_second)} batches/s")
        self.say("  ".join(parts))
        self._notice()
        if perf_counter() - self._judged > JUDGED:
            self._judge()

    def _last_losses(self) -> list[str]:
        """Of each optimizer, where there are several: of a GAN no one loss tells enough."""
        learners = self.loop.latest().learners
        known = [f"{one.name} {number(one.loss)}" for one in learners if one.loss is not None]
        return [f"last loss of {', of '.join(known)}"] if known else []

    def _judge(self) -> None:
        """Say what is wrong by now, and was not before."""
        picture = self.loop.latest(curves=True)
        assert picture.facts is not None
        for verdict in find_verdicts(self.loop.info, picture, picture.facts):
            if verdict.rule not in self._rules:
                self._rules.add(verdict.rule)
                self._alerts.judged((verdict,))
                self._warn(verdict.line)
        self._judged = perf_counter()

    def _notice(self) -> None:
        """Say what has become of the log, if that is worth a word."""
        if self.kept is not None and (text := self.kept.log.trouble()):
            self._warn(text)

    def _warn(self, text: str) -> None:
        self.loop.warn(text)
        self.say(text)

    def _times(self) -> list[StepShare]:
        """Where the time went; "~" before what is inferred."""
        loop = self.loop
        return [
            StepShare(step.info.name, share, "~" if sure is Certainty.INFERRED else "")
            for step, share, sure in zip(Step, loop.shares, loop.info.phases, strict=True)
            if sure is not Certainty.UNKNOWN
        ]

    def draw(self) -> None:
        """The live line, or a sign of life where there is none."""
        if not self._judged:
            self._judge()
        now = perf_counter()
        if self._out is None or now < self._due or self._in_a_line:
            return
        if now - self._judged > JUDGED and self.loop.now()[0] is not Step.VALIDATE:
            self._judge()
        picture, total = self.loop.latest(), self.loop.batches_per_epoch
        seen = picture.last.batches if picture.last is not None else total
        of = f"/{total}" if total else ""
        if seen != total:  # what the last epoch had
            of = f"/~{seen}"
        parts = [f"epoch {picture.epoch}  batch {picture.batch}{of}"]
        parts.append(f"{rate(picture.batches_per_second)}/s")
        if self.loop.knows_loss:
            parts += self._last_losses() or [f"loss {number(picture.loss)}"]
        if picture.val_batch:
            parts.append(f"validation batch {picture.val_batch}")
        line = "  ".join(parts)
        if self._cell is not None:
            self._show(line)
            return
        if not self._live:
            self.say(line)
            return
        self._due = now + LIVE
        if self._watching[0] is self:
            self._drawn = True
            self._write(f"\r{line[: max(1, self._width() - 1)]}\x1b[K")

    def _show(self, now: str = "") -> None:
        """What the notebook's cell shows; where it can't, lines take over."""
        assert self._cell is not None
        self._due = perf_counter() + CELL
        losses = self.loop.latest().recent if self.loop.knows_loss else ()
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

    def say(self, line: str) -> None:
        """A whole line, in place of the live one."""
        if self._accompanied:
            line = f"{self.run_name or self.loop.info.model}: {line}"
        if self._cell is not None:
            self._cell.lines.append(clean(line))
            self._show()
            return
        for one in self._watching:
            one._give_way("")
        self._write("\n" * self._unended + self._mark + clean(line) + "\n")
        self._unended = False
        self._due = perf_counter() + (LIVE if self._live else SIGN_OF_LIFE)

    def hear(self, written: str) -> None:
        """Somebody else has printed this where lines are printed."""
        if written:
            self._unended = not written.endswith("\n")

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
