"""Lines for people: one live line on a terminal, sparse whole lines elsewhere."""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Final

from . import text
from .face import Ending, Face
from .output import Output

if TYPE_CHECKING:
    from ..core.session import Session
    from ..core.snapshot import EpochSummary, RunInfo, Snapshot
    from ..presets.recipe import Recipe

FEW: Final = 30
"""Runs of at most so many epochs get a line for each, however fast they are."""
SPACING: Final = 3.0
"""Seconds between two epochs' lines of a longer run that is written to a file or pipe."""
LIVE_SPACING: Final = 0.2
"""The same on a terminal."""
SIGN_OF_LIFE: Final = 30.0
"""Seconds after which a line is written in the middle of an epoch, where there is no live one."""


class People(Face):
    """What runs, each epoch in a line, how it ended."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._live = output.is_terminal
        self._drawn = ""
        self._spacing = LIVE_SPACING if self._live else SPACING
        self._epochs: deque[EpochSummary] = deque()
        self._told_epoch = -self._spacing
        self._said = perf_counter()
        self._info: RunInfo | None = None

    # In the training thread: nothing but sorting out what deserves a line.

    def epoch(self, summary: EpochSummary) -> None:
        assert self._info is not None
        now = perf_counter()
        total = self._info.epochs
        if total <= FEW or summary.epoch in (1, total) or now - self._told_epoch >= self._spacing:
            self._told_epoch = now
            self._epochs.append(summary)

    # In the thread that waits.

    def announce(self, recipe: Recipe) -> None:
        lr = recipe.optimizer.options["lr"]
        self._say(
            f"{recipe.name}: {recipe.model.name} on {recipe.dataset.name}, "
            f"{_count(recipe.epochs, 'epoch')}, batch size {recipe.batch_size}, "
            f"{recipe.optimizer.name} lr {lr:g}, seed {recipe.seed}"
        )

    def begin(self, session: Session) -> None:
        self._info = info = session.info
        self._say(f"{info.data}; {_count(info.parameters, 'parameter')}; {_machine(info)}")
        self._draw(session)

    def tick(self, session: Session) -> None:
        picture = session.latest()
        self._tell_epochs(picture)
        if self._live:
            self._draw(session)
        elif picture is not None and perf_counter() - self._said >= SIGN_OF_LIFE:
            self._say(self._progress(session, picture))

    def stopping(self) -> None:
        self._say("stopping after this batch; the same again ends at once")

    def end(self, session: Session, ending: Ending) -> None:
        self._tell_epochs(None)
        self._say(_closing(session.info, ending))

    def leave(self) -> None:
        if self._live:
            self.output.leave(b"\r\x1b[K")

    def _tell_epochs(self, picture: Snapshot | None) -> None:
        while self._epochs:
            self._say(_epoch_line(self._epochs.popleft(), self._info, picture))

    def _say(self, line: str) -> None:
        """A whole line, in place of the live one."""
        self.output.write("\r\x1b[K" if self._drawn else "")
        self.output.write(text.clean(line) + "\n")
        self.output.flush()
        self._drawn, self._said = "", perf_counter()

    def _draw(self, session: Session) -> None:
        """The live line, rewritten where it stands."""
        picture = session.latest()
        if not self._live or picture is None:
            return
        line = text.clean(self._progress(session, picture))
        room = self.output.columns - 1  # a full row would wrap, and could not be rewritten
        line = text.fit(line, room).rstrip()
        if line != self._drawn:
            self.output.write(f"\r{line}\x1b[K")
            self.output.flush()
            self._drawn = line

    def _progress(self, session: Session, now: Snapshot) -> str:
        info = session.info
        total = info.batches_per_epoch
        parts = [_epoch_number(now.epoch, info)]
        if total:
            width = len(str(total))
            share = text.percent(now.batch / total)
            parts.append(f"batch {now.batch:>{width}}/{total} {share:>5}")
        else:
            parts.append(f"batch {now.batch}")
        parts.append(f"loss {text.number(now.loss):>7}")
        parts.append(f"{text.rate(now.batches_per_second):>6} batches/s")
        parts.append(f"ETA {text.clock(now.eta)}")
        step = session.now()[0].info.name
        if now.val_batch and info.validation_batches:
            step = f"validation {now.val_batch}/{info.validation_batches}"
        return "  ".join([*parts, step])


def _epoch_line(summary: EpochSummary, info: RunInfo | None, picture: Snapshot | None) -> str:
    assert info is not None
    parts = [
        _epoch_number(summary.epoch, info),
        f"train loss {text.number(summary.train_loss):>7}",
    ]
    if summary.val_loss is not None:
        parts.append(f"val loss {text.number(summary.val_loss):>7}")
    if summary.val_metric is not None and info.metric_name != "val_loss":
        parts.append(f"{info.metric_name} {text.metric(info.metric_name, summary.val_metric):>7}")
    parts.append(f"{text.rate(summary.batches_per_second):>6} batches/s")
    if summary.epoch < info.epochs and picture is not None and picture.eta is not None:
        parts.append(f"ETA {text.clock(picture.eta)}")
    return "  ".join(parts)


def _epoch_number(epoch: int, info: RunInfo) -> str:
    return f"epoch {epoch:>{len(str(info.epochs))}}/{info.epochs}"


def _closing(info: RunInfo, ending: Ending) -> str:
    last = ending.last
    trained = last.last.epoch if last.last is not None else 0
    took = text.short_time(last.elapsed) if last.elapsed < 60 else text.clock(last.elapsed)
    done = f"{_count(trained, 'epoch')}, {_count(last.batches_done, 'batch')}"
    parts = [f"{ending.word} after {done} in {took}"]
    if last.best_metric is not None and info.metric_name != "val_loss":
        value = text.metric(info.metric_name, last.best_metric.value)
        parts.append(f"best {info.metric_name} {value} (epoch {last.best_metric.epoch})")
    elif last.best_val_loss is not None:
        value = text.number(last.best_val_loss.value)
        parts.append(f"best val loss {value} (epoch {last.best_val_loss.epoch})")
    return "; ".join([*parts, _machine(info)])


def _machine(info: RunInfo) -> str:
    return f"{info.device}, {_count(info.threads, 'thread')}"


def _count(number: int, what: str) -> str:
    plural = "es" if what.endswith("ch") and what != "epoch" else "s"
    return f"{number:,} {what}" + ("" if number == 1 else plural)
