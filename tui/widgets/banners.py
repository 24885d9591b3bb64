"""Panels that appear when there is something to say: outcome, faults and breakpoints, verdicts."""

from __future__ import annotations

from typing import ClassVar, Final

from ...core.protocol.diagnosis import Severity, Verdict
from ...core.protocol.faults import Fault
from ...core.protocol.snapshot import Outcome, RunInfo, RunLocation, Snapshot
from ...core.protocol.steps import State
from ..render.faults import in_short, what_was_broken
from ..render.format import clean, clock, count, counted, metric, number, wrap
from ..render.keymap import keyed
from ..render.spans import Line, Span, line, line_width, restyled, sized
from .ink import TEXT_STYLES, Ink
from .panel import Panel, RunPanel
from .status import ICONS, STYLE


class OutcomePanel(RunPanel):
    """Hidden until the run has ended or is in trouble; then what, why, where, and the keys."""

    DEFAULT_CSS = "OutcomePanel { display: none; height: auto; max-height: 10; }"
    BORDER_TITLE = "outcome"
    outcome: Outcome | None = None
    attached = False
    """Another process trains the run: it is not this one's to start again."""
    alone = True
    """It is trained by one process; several end together."""

    def __init__(
        self,
        info: RunInfo,
        location: RunLocation | None = None,
        *,
        id: str | None = None,
        ascii: bool = False,
    ) -> None:
        super().__init__(info, id=id, ascii=ascii)
        self.location = location or RunLocation()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self.lines(width, 10))

    def lines(self, width: int, height: int) -> list[Line]:
        outcome = self.outcome
        trouble = self.snapshot.trouble if self.snapshot is not None else None
        if outcome is None and trouble is not None:
            return self._trouble(trouble, width)
        if outcome is None or width < 1:
            return []
        self.set_title("outcome")
        head = f"{ICONS[outcome.state]} {outcome.state.upper()}"
        style = STYLE.get(outcome.state, "bold")
        first, *more = wrap(f"{head}  {clean(outcome.reason)}", width)
        rows = [line((first[: len(head)], style), (first[len(head) :], "bold"))]
        rows += [line((text, "bold")) for text in more[:2]]
        if outcome.state is State.FAILED:
            rows += _labelled("where", outcome.place, width)
            rows += _labelled("try", outcome.advice.removeprefix("try "), width)
        facts = self._facts()
        if facts:
            rows += [line((text, "")) for text in wrap(facts, width)]
        if self.snapshot is not None and (broken := what_was_broken(self.snapshot)):
            rows += [line((text, "warn")) for text in wrap(f"✗ broken on purpose: {broken}", width)]
        rows += _labelled("kept in", self.location.place, width)
        if outcome.state is not State.FINISHED:
            rows += _labelled("to resume:", self.location.resume_command, width)
        rows.append(self._keys(outcome))
        return rows

    def _trouble(self, trouble: Outcome, width: int) -> list[Line]:
        """What holds the run, and the answers that it waits for."""
        self.set_title("trouble")
        head = f"{ICONS[State.PAUSED]} PAUSED"
        first, *more = wrap(f"{head}  {clean(trouble.reason)}", width)
        rows = [line((first[: len(head)], "bad"), (first[len(head) :], "bold"))]
        rows += [line((text, "bold")) for text in more[:2]]
        rows += _labelled("where", trouble.place, width)
        rows += _labelled("try", trouble.advice.removeprefix("try "), width)
        saved = self.snapshot.saved if self.snapshot is not None else None
        place = "the last checkpoint" if saved is None else f"batch {count(saved.batches_done)}"
        if self.snapshot is not None and self.snapshot.undo:
            rows.append(line(("u", "key"), " undo what was broken on purpose, and go on"))
        rows.append(line(("g", "key"), f" go back to {place}, with half the learning rate"))
        rows.append(
            line(
                ("q", "key"),
                f" {'leave' if self.attached else 'stop'}   ",
                ("T", "key"),
                (" traceback", ""),
            )
        )
        return rows

    def _facts(self) -> str:
        s = self.snapshot
        if s is None:
            return ""
        facts = []
        own = self.info.metric_name
        if s.best_metric is not None:
            value = metric(own, s.best_metric.value)
            facts.append(f"best {clean(own)} {value} in epoch {s.best_metric.epoch}")
        if s.best_val_loss is not None:
            best = s.best_val_loss
            facts.append(f"best val loss {number(best.value)} in epoch {best.epoch}")
        facts.append(f"{counted(s.batches_done, 'batch')} in {clock(s.active)}")
        return " · ".join(facts)

    def _keys(self, outcome: Outcome) -> Line:
        keys = (
            [] if self.attached or not self.alone else [("r", "run again"), ("n", "another preset")]
        )
        if outcome.traceback:
            keys.insert(0, ("T", "traceback"))
        spans: list[Span] = []
        for key, label in (*keys, ("q", "quit")):
            spans += [(key, "key"), (f" {label}   ", "dim")]
        return line(*spans)


def _labelled(label: str, text: str, width: int) -> list[Line]:
    """A dim label before wrapped text; nothing if there is no text."""
    if not text:
        return []
    first, *more = wrap(f"{label} {clean(text)}", width)
    start = min(len(label), len(first))
    return [line((first[:start], "dim"), first[start:]), *(line(row) for row in more[:2])]


class NoticeBar(Panel):
    """A row for each notice under the top line; none where there is nothing to say."""

    DEFAULT_CSS = """
    NoticeBar { display: none; height: auto; max-height: 2; }
    """
    TEXT_STYLES: ClassVar = {
        **TEXT_STYLES,
        "bad": Ink("background", 1.0, "error", 1.0, "bold"),
        "now": Ink("background", 1.0, "accent", 1.0, "bold"),
    }
    snapshot: Snapshot | None = None
    wanted: frozenset[Fault] = frozenset()
    """The faults as asked for: others are still to come, or to be mended."""
    ended = False
    """Whether nothing can be done about it any more."""
    held = ""
    """The breakpoint that holds the run, and its numbers."""
    files: str = ""
    """Of which age the files are that the run is read from; "" where it is asked."""
    _break: object = None
    _place: tuple[object, ...] = ()

    def take(self, s: Snapshot) -> None:
        self.snapshot = s
        last = next((c for c in reversed(s.changes) if c.kind in ("break", "replay")), None)
        place = (s.state, s.step, s.batches_done, s.val_batch)
        if last is not None and last is not self._break:
            self._break = last
            self._place = place if s.state is State.PAUSED else ()
            self.held = clean(f"by {last.text}" if last.kind == "break" else f"at {last.text}")
        if place != self._place:
            self.held = ""

    def show(self, wanted: frozenset[Fault]) -> None:
        """Draw, with as many rows as there is something to say."""
        self.wanted = wanted
        tall = len(self._notices())
        if tall or self.display:
            self.display = tall > 0
            if tall != self.size.height:
                self.refresh(layout=True)
            self.redraw()

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self._notices())

    def _notices(self) -> list[tuple[str, str, str]]:
        """Text, what can be done, and style of each."""
        rows: list[tuple[str, str, str]] = []
        s = self.snapshot
        if s is not None and s.faults:
            way = keyed("{undo} undoes" if s.undo else "{undo} mends it")
            way = way if self.wanted else "undone before the next batch"
            way = "" if self.ended else way
            rows.append((f"BROKEN ON PURPOSE: {in_short(s.faults)}", way, "bad"))
        elif self.wanted and not self.ended:
            coming = in_short(tuple(sorted(self.wanted)))
            what = f"BROKEN ON PURPOSE from the next batch on: {coming}"
            rows.append((what, keyed("{undo} takes it back"), "bad"))
        if self.held and not self.ended and not self.files:
            rows.append(
                (f"PAUSED {self.held}", keyed("{resume} goes on, {breakpoints} edits"), "now")
            )
        if self.files:
            rows.append((self.files, "", "bold"))
        return rows

    def lines(self, width: int, height: int) -> list[Line]:
        rows = []
        for text, way, style in self._notices():
            answer = f"  —  {way} " if way else ""
            icon = {"bad": "✗ ", "now": "❚❚ "}.get(style, "")
            full = line(f" {icon}{text}", answer)
            if way and line_width(full) > width:
                keep = max(0, width - len(way) - 3)
                full = (*sized(line(f" {text}"), keep), (f"  {way} ", ""))
            rows.append(restyled(sized(full, width), style))
        return rows


SEVERITY_STYLE: Final[dict[Severity, str]] = {"danger": "bad", "warning": "warn", "note": "bold"}
SEVERITY_ICON: Final[dict[Severity, str]] = {"danger": "✗", "warning": "!", "note": "i"}
FINE: Final = "✔ nothing wrong any more, as far as can be seen"
ALL_FINE: Final = "Nothing is wrong, as far as can be seen."


class VerdictBar(Panel):
    """The most severe verdict in a row or two; hidden until there has been one."""

    DEFAULT_CSS = "VerdictBar { display: none; height: 2; padding: 0 1; background: $panel; }"
    verdicts: tuple[Verdict, ...] = ()

    def show(self, verdicts: tuple[Verdict, ...]) -> None:
        """Draw these, the most severe first. Once displayed the bar stays: nothing jumps."""
        self.verdicts = verdicts
        if verdicts:
            self.display = True
        self.redraw()

    def lines(self, width: int, height: int) -> list[Line]:
        if not self.verdicts:
            return [line((FINE, "good"))]
        verdict, *others = self.verdicts
        style = SEVERITY_STYLE[verdict.severity]
        head = line((f"{SEVERITY_ICON[verdict.severity]} {clean(verdict.what)}", style))
        more = f"  +{len(others)} more · y why" if others else "  y why"
        keys = line((more, "dim"))
        room = width - line_width(keys)
        if height < 2:
            full = (*head, *line(("  try: ", "dim"), clean(verdict.next)))
            return [(*sized(full, room), *keys)]
        why = (*head, *line((": ", "dim"), clean(verdict.why)))
        return [
            sized(why, width),
            (*sized(line(("  try: ", "dim"), clean(verdict.next)), room), *keys),
        ]


def in_full(verdicts: tuple[Verdict, ...], width: int) -> list[Line]:
    """All of them, in full: what is wrong, why, and what to try."""
    width = max(12, width)
    if not verdicts:
        return [line((ALL_FINE, "good"))]
    rows: list[Line] = []
    for verdict in verdicts:
        style = SEVERITY_STYLE[verdict.severity]
        head = f"{SEVERITY_ICON[verdict.severity]} {verdict.severity}: {clean(verdict.what)}"
        rows += [(), *(line((text, style)) for text in wrap(head, width))]
        for label, text in (("why", verdict.why), ("try", verdict.next)):
            for i, part in enumerate(wrap(clean(text), width - 6)):
                rows.append(line((f"  {'' if i else label:<4}", "dim"), part))
    return rows[1:]
