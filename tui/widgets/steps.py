"""The five steps: which one runs now, where the time goes, and why each is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from textual import events
from textual.message import Message

from ...core.protocol.snapshot import RunInfo, Snapshot
from ...core.protocol.steps import FIVE, State, Step
from ..render.bars import bar
from ..render.format import clean, fit, percent, short_time, wrap
from ..render.keymap import keyed
from ..render.spans import Line, line, restyled, sized
from .ink import MARKED_ROW, TEXT_STYLES, Ink
from .panel import RunPanel

MARKER: Final = "▶"
CHOSEN: Final = "•"
FAILED: Final = "✗"
READABLE: Final = 2.0
"""Seconds of a batch from which on, and steps a second up to which, an explanation can be read."""

AT_THE_START: Final = (
    "paused before the first batch: {step} shows one step at a time, {resume} goes on"
)


def at_the_start(s: Snapshot) -> bool:
    """Whether the run is paused, and nothing of it has happened yet."""
    held = s.state is State.PAUSED and s.step is Step.DATA and not s.batches_done
    return held and bool(s.phases)  # a replay has none, and other keys


class StepsPanel(RunPanel):
    """A row for each phase, and the reason for one of them."""

    TEXT_STYLES: ClassVar = {
        **TEXT_STYLES,
        "now": MARKED_ROW,
        "mark": Ink(ground="panel", text="bold"),
    }

    @dataclass
    class Picked(Message):
        """A row was clicked."""

        step: Step

    BORDER_TITLE = "the five steps"
    WEIGHT = "main"
    now: Step | None = None
    """The phase that runs at this moment; while paused, the one that comes next."""
    selected: Step | None = None
    """Chosen by the person; None follows the marker."""
    shows_why = True

    def __init__(self, info: RunInfo, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(info, id=id, ascii=ascii)
        self._places: dict[int, Step] = {}

    @property
    def rows(self) -> tuple[Step, ...]:
        """The phases that this run has, as far as that is known."""
        validation = (Step.VALIDATE,) if self.info.validates else ()
        five = [*FIVE[:-1], *[Step.CLIP] * self.info.clips, FIVE[-1]]
        return (Step.DATA, *five, *validation, Step.OTHER)

    @property
    def explained(self) -> Step | None:
        """The step that was chosen, else the marked one; None where it changes too fast to read."""
        if self.selected is not None:
            return self.selected
        if self._pace():
            return None
        s = self.snapshot
        if s is not None and s.state is State.PAUSED and self.now is Step.OTHER:
            return Step.UPDATE  # the last of the five that was taken
        return self.now

    def _pace(self) -> str:
        """How fast the marker moves, in words; "" while a person can follow it."""
        s = self.snapshot
        if s is None or not s.phases or s.state not in (State.RUNNING, State.VALIDATING):
            return ""
        if s.speed is not None:
            return f"{s.speed:g} steps a second" if s.speed > READABLE else ""
        took = sum(p.seconds or 0.0 for p in s.phases if p.step is not Step.VALIDATE)
        return f"a batch takes {short_time(took)}" if 0 < took < READABLE else ""

    def _failed(self) -> Step | None:
        """The step that has failed, or that trouble holds."""
        s = self.snapshot
        wrong = s is not None and (s.state is State.FAILED or s.trouble is not None)
        return s.step if s is not None and wrong else None

    def select(self, offset: int) -> None:
        at = self.rows.index(self.explained) if self.explained in self.rows else 0
        self.selected = self.rows[(at + offset) % len(self.rows)]

    def lines(self, width: int, height: int) -> list[Line]:
        times = {p.step: p for p in self.snapshot.phases} if self.snapshot else {}
        if Step.UPDATE in times and not times[Step.UPDATE].share:
            times = {}  # before the first batch is done, shares say nothing about the loop
        code_width = 33 if width >= 54 else max(12, width - 24)
        bar_width = max(0, min(60, width - 4 - code_width - 16))
        why = self._why(width)
        gap = 1 if height >= 2 * len(self.rows) + len(why) + 1 else 0
        paused = self.snapshot is not None and self.snapshot.state is State.PAUSED
        ended = self.snapshot is not None and self.snapshot.state.ended
        failed = self._failed()
        label = "next" if paused else "now" if self.info.exact_clock else "queued now"
        head = fit("" if ended else f"{MARKER} {label}", 4 + code_width)
        rows = [line((head, "dim"), " " * bar_width, (f"{'share':>6}{'per batch':>10}", "dim"))]
        self._places = {}
        for step in self.rows:
            rows += [()] * gap
            self._places[len(rows)] = step
            phase = times.get(step)
            share = phase.share if phase else 0.0
            here = step is self.now
            mark = MARKER if here else CHOSEN if step is self.selected else " "
            mark = FAILED if step is failed else mark
            runs = line(
                f"{mark}{step.info.number or ' '} ",
                (fit(step.info.code, code_width + 1), "" if step.info.number else "dim"),
                (bar(share, bar_width), "bar"),
                fit(percent(share if phase else None), 6, right=True),
                (fit(short_time(phase.seconds if phase else None), 10, right=True), "dim"),
            )
            if step is failed:
                runs = restyled(sized(runs, width), "bad")
            elif here:
                runs = restyled(sized(runs, width), "now")
            elif step is self.selected:
                runs = restyled(sized(runs, width), "mark")
            rows.append(runs)
        if height > len(rows):
            rows += [()] * min(1, height - len(rows) - len(why)) + why
        return rows

    def _why(self, width: int) -> list[Line]:
        s, first = self.snapshot, list[Line]()
        if self.selected is None and s is not None and at_the_start(s):
            first = [line((text, "bold")) for text in wrap(keyed(AT_THE_START), max(1, width))]
        if not self.shows_why:
            return first
        step = self.explained
        if step is None:
            return self._how_to_follow(width)
        info = step.info
        head = f"{info.name}: "
        why = info.why
        if step is Step.LOSS and self.info.criterion:
            why = f"{clean(self.info.criterion)}. {why}"
        texts = wrap(head + why, max(1, width))
        rows = [line(text) for text in texts]
        if texts and texts[0].startswith(head):
            rows[0] = line((head, "bold"), texts[0].removeprefix(head))
        if self.selected is not None:
            rows[-1] = (*rows[-1], ("  esc follows again", "dim"))
        return first + rows

    def _how_to_follow(self, width: int) -> list[Line]:
        pace = self._pace()
        keys = line(("↑ ↓", "key"), " explain a step")
        if pace:
            keys = line(("<", "key"), " slows down   ", ("space", "key"), " pauses   ", *keys)
        return [line(f"{pace}, too fast to follow"), keys] if pace else [keys]

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        step = self._places.get(place.y) if place is not None else None
        if step is not None:
            self.post_message(self.Picked(step))
