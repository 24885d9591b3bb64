"""Lines for people: one live line on a terminal, sparse whole lines elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, RLock, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Final

from ...core.protocol.parameter_groups import lr_text
from ...core.protocol.snapshot import Change
from ...core.protocol.steps import State
from ..render.faults import break_report, what_to_expect, what_was_broken, why_it_happened
from ..render.format import (
    clean,
    clock,
    counted,
    fit,
    learned,
    metric,
    number,
    percent,
    rate,
    short_time,
    wrap,
)
from ..render.ranks import slowest_rank
from ..terminal.live_line import giving_way
from ..terminal.output import Output
from .reporter import Ending, Reporter, VerdictWatch, waits_for

if TYPE_CHECKING:
    from ...core.protocol.diagnosis import Verdict
    from ...core.protocol.faults import Fault
    from ...core.protocol.snapshot import EpochSummary, Outcome, RunInfo, Snapshot
    from ...core.session.breakpoints import BreakReport
    from ...core.session.session import Session
    from ..setup.builder import RunBuilder

FEW: Final = 30
"""Runs of at most so many epochs get a line for each, however fast they are."""
SPACING: Final = 3.0
"""Seconds between two epochs' lines of a longer run that is written to a file or pipe."""
LIVE_SPACING: Final = 0.2
"""The same on a terminal."""
SHOWN_CHANGES: Final = (
    "compile", "model", "replay", "resumed", "rewind", "schedule", "suspended", "warning"
)  # fmt: skip
"""Kinds of changes that deserve a line; so does whatever another process asks for."""
SIGN_OF_LIFE: Final = 30.0
"""Seconds after which a line is written in the middle of an epoch, where there is no live one."""


class TextReporter(Reporter):
    """What runs, each epoch in a line, how it ended."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._live = output.is_terminal
        self._drawn = self._announced = ""
        self._spacing = LIVE_SPACING if self._live else SPACING
        self._news: deque[EpochSummary | Change] = deque()
        self._last_epoch = -self._spacing
        self._said = perf_counter()
        self._info: RunInfo | None = None
        self._own: frozenset[str] = frozenset()
        """Metrics of the person's own."""
        self._faults: tuple[Fault, ...] = ()
        self._verdicts = VerdictWatch()
        self._stopping = False
        """The run is to end, and it was not said yet what that waits for."""
        self._guard = ExitStack()
        self._drawing = RLock()
        """Held by a thread that writes: prints of the run come from another one."""
        self._in_a_line = False
        """Somebody else has begun a line and not ended it yet."""

    # In the training thread: only choose what gets a line.

    def epoch(self, summary: EpochSummary) -> None:
        assert self._info is not None
        now = perf_counter()
        total = self._info.epochs
        if total <= FEW or summary.epoch in (1, total) or now - self._last_epoch >= self._spacing:
            self._last_epoch = now
            self._news.append(summary)

    def change(self, change: Change) -> None:
        if change.kind in SHOWN_CHANGES or change.by is not None:
            self._news.append(change)

    # In the thread that waits.

    def announce(self, builder: RunBuilder) -> None:
        super().announce(builder)
        where = () if builder.replay is None else (builder.replay.headline,)
        for line in (builder.plan.headline, *where, *builder.plan.notes):
            self._say(line)
        self._faults = builder.options.faults

    @contextmanager
    def loading(self, builder: RunBuilder) -> Iterator[None]:
        """Say on a terminal what is being done, and for how long."""
        if not self._live:
            yield
            return
        begun, over = perf_counter(), Event()

        def tell() -> None:
            while not over.wait(self.interval):
                self._rewrite(f"{builder.doing} ... {short_time(perf_counter() - begun)}")

        thread = Thread(target=tell, name="fivestep-loading", daemon=True)
        with giving_way(self._give_way):
            thread.start()
            try:
                yield
            finally:
                over.set()
                thread.join()
                self._give_way("")

    def begin(self, session: Session) -> None:
        self._info = info = session.info
        self._own = frozenset(session.training.metrics)
        self._announced = self.place
        if self.place:
            self._say(f"kept in {self.place}")
        self._say(f"{info.data}; {learned(info.parameters)}; {_machine(info)}")
        picture = session.latest()
        if picture is not None and picture.lrs:
            self._say(f"parameter groups: lr {lr_text(picture.lr, picture.lrs)}")
        on = () if picture is None else picture.faults
        if not session.training.scaler.is_enabled():  # what scales its loss can't be broken
            on = (*on, *(fault for fault in self._faults if fault not in on))
        for line in what_to_expect(on):
            self._say(line)
        if self._live:
            self._guard.enter_context(giving_way(self._give_way))
        self._draw(session)

    def tick(self, session: Session) -> None:
        picture, verdicts = self._verdicts.look(session)
        self._say_news(picture)
        self._say_verdicts(verdicts)
        if self._live:
            self._draw(session)
        elif picture is not None and perf_counter() - self._said >= SIGN_OF_LIFE:
            self._say(_joined(self._progress(session, picture), None))
        if self._stopping and (waits := waits_for(session)):
            self._stopping = False
            self._say(waits)
        super().tick(session)

    def held_up(self, text: str) -> None:
        self._say(text)

    def stopping(self) -> None:
        self._say("stopping after this batch; the same again ends at once")
        self._stopping = True

    def broke(self, report: BreakReport) -> None:
        self._say_news(None)
        for line in break_report(report, self._room()):
            self._say(line)

    def end(self, session: Session, ending: Ending) -> None:
        self._guard.close()
        self._say_news(None)
        self._say_verdicts(self._verdicts.new(session.info, ending.last))
        self._say(closing(session.info, ending))
        for line in why_it_happened(ending.last.faults_so_far):
            self._say(line)
        if self.place and self.place != self._announced:
            self._say(f"kept in {self.place}")
        if self.place and stopped_early(session.info, ending.last, ending.outcome):
            self._say(best_weights(ending.last, self.place))
        if self.resume_command and ending.outcome.state is not State.FINISHED:
            self._say(resume_hint(self.resume_command, ending.last))

    def leave(self) -> None:
        if self._live:
            self.output.leave(b"\r\x1b[K")

    def _say_news(self, picture: Snapshot | None) -> None:
        laps = False
        while self._news:
            new = self._news.popleft()
            laps = laps or not isinstance(new, Change)
            if isinstance(new, Change):
                self._say(new.line)
            else:
                parts = _epoch_parts(new, self._info, self._own, picture)
                self._say(_joined(parts, self._room()))
        if laps and (text := slowest_rank(self.ranks.lap())):
            self._say(text)

    def _say_verdicts(self, verdicts: tuple[Verdict, ...]) -> None:
        self.alerts.judged(verdicts)
        for verdict in verdicts:
            self._say(verdict.line)

    def _say(self, line: str) -> None:
        """A whole line, in place of the live one."""
        line, room = clean(line), self._room()
        lines = [line] if room is None else wrap(line, room)
        with self._drawing:
            self.output.write("\r\x1b[K" if self._drawn else "")
            self.output.write("".join(f"{row}\n" for row in lines))
            self.output.flush()
            self._drawn, self._said = "", perf_counter()

    def _draw(self, session: Session) -> None:
        """The live line, rewritten where it stands."""
        picture = session.latest()
        if not self._live or picture is None:
            return
        self._rewrite(_joined(self._progress(session, picture), self._room()))

    def _rewrite(self, line: str) -> None:
        line, room = clean(line), self._room()
        line = fit(line, room or len(line)).rstrip()
        with self._drawing:
            if line != self._drawn and not self._in_a_line:
                self.output.write(f"\r{line}\x1b[K")
                self.output.flush()
                self._drawn = line

    def _give_way(self, coming: str) -> None:
        """Take the live line away before the run itself prints something."""
        with self._drawing:
            if self._drawn:
                self.output.write("\r\x1b[K")
                self.output.flush()
                self._drawn = ""
            if coming:
                self._in_a_line = not coming.endswith("\n")

    def _room(self) -> int | None:
        """Cells of a row; None where there is no end to it."""
        # A full row would wrap, and could not be rewritten.
        return max(1, self.output.columns - 1) if self._live else None

    def _progress(self, session: Session, now: Snapshot) -> list[str]:
        info, step = session.info, session.now()[0].info.name
        seen, total = now.batches_per_epoch, info.batches_per_epoch
        batch = f"batch {now.batch}"
        if seen:
            batch += f"/~{seen} {percent(min(1.0, now.batch / seen)):>5}"
        elif total:
            share = percent(now.batch / total)
            batch = f"batch {now.batch:>{len(str(total))}}/{total} {share:>5}"
        if now.val_batch and info.validation_batches:
            step = f"validation {now.val_batch}/{info.validation_batches}"
        return [
            _epoch_number(now.epoch, info),
            f"{batch} {rate(now.batches_per_second):>5}/s",
            f"loss {number(now.loss):>6}",
            f"ETA {clock(now.eta):>4}",
            step,
        ]


def _joined(parts: list[str], room: int | None) -> str:
    """Parts of a line; those that the room does not hold are left out."""
    line, *more = parts
    for part in more:
        if room is None or len(line) + len(part) + 2 <= room:
            line += f"  {part}"
    return line


def _epoch_parts(
    summary: EpochSummary, info: RunInfo | None, own: frozenset[str], picture: Snapshot | None
) -> list[str]:
    assert info is not None
    name = info.metric_name
    parts = [_epoch_number(summary.epoch, info), f"train loss {number(summary.train_loss):>6}"]
    if summary.val_loss is not None:
        parts.append(f"val loss {number(summary.val_loss):>6}")
    if summary.val_metric is not None and name != "val_loss":
        parts.append(f"{name} {metric(name, summary.val_metric):>6}")
    parts += [f"{key} {metric(key, value):>6}" for key, value in summary.metrics if key in own]
    parts.append(f"{rate(summary.batches_per_second):>5} batches/s")
    if summary.epoch < info.epochs and picture is not None and picture.eta is not None:
        parts.append(f"ETA {clock(picture.eta)}")
    return parts


def _epoch_number(epoch: int, info: RunInfo) -> str:
    return f"epoch {epoch:>{len(str(info.epochs))}}/{info.epochs}"


def _took(seconds: float) -> str:
    return short_time(seconds) if seconds < 60 else clock(seconds)


def closing(info: RunInfo, ending: Ending) -> str:
    """How a run ended and the best it reached, in a line."""
    last = ending.last
    trained = last.last.epoch if last.last is not None else 0
    done = f"{counted(trained, 'epoch')}, {counted(last.batches_done, 'batch')}"
    parts = [f"{ending.word} after {done} in {_took(last.active)}"]
    if last.elapsed > 1.05 * last.active + 1:
        parts[0] += f" ({_took(last.elapsed)} with pauses)"
    if stopped_early(info, last, ending.outcome):
        parts.append(ending.outcome.reason)
    if last.best_metric is not None and info.metric_name != "val_loss":
        value = metric(info.metric_name, last.best_metric.value)
        share = dict(last.metrics).get("majority_share")
        told = "" if share is None else f", majority class {metric('majority_share', share)}"
        parts.append(f"best {info.metric_name} {value} (epoch {last.best_metric.epoch}){told}")
    elif last.best_val_loss is not None:
        value = number(last.best_val_loss.value)
        parts.append(f"best val loss {value} (epoch {last.best_val_loss.epoch})")
    parts.append(_machine(info))
    if last.skipped:
        parts.append(f"{counted(last.skipped, 'update')} skipped by fp16's GradScaler")
    if broken := what_was_broken(last):
        parts.append(f"broken on purpose: {broken}")
    return "; ".join(parts)


def stopped_early(info: RunInfo, last: Snapshot, outcome: Outcome) -> bool:
    """Whether a run has finished before its last epoch, because it got no better."""
    trained = last.last.epoch if last.last is not None else 0
    return outcome.state is State.FINISHED and trained < info.epochs


def best_weights(last: Snapshot, place: str) -> str:
    """Where the weights of the best epoch are."""
    best = last.best_metric or last.best_val_loss
    return f"weights of epoch {best.epoch}: {place}/checkpoints/best.pt" if best else ""


def resume_hint(command: str, last: Snapshot) -> str:
    """The command that resumes a run, and from where."""
    if last.saved is None:
        return f"no checkpoint was saved; to start over: {command}"
    return f"saved at batch {last.saved.batches_done:,}; to resume: {command}"


def _machine(info: RunInfo) -> str:
    how = [info.amp or "", "compiled" if info.compile else ""]
    return ", ".join([info.device, counted(info.threads, "thread"), *filter(None, how)])
