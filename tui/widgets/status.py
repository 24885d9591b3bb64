"""The top line: what spans, and how it is doing, in a word."""

from __future__ import annotations

from ...core.protocol.snapshot import Outcome, RunInfo, Snapshot
from ...core.protocol.steps import State, Step
from ..render.bars import track
from ..render.format import NOTHING, clean, clock, count, fit, learned, percent, rate
from ..render.spans import Line, Span, line, line_width, sized, spread
from .panel import RunPanel

ICONS = {
    State.LOADING: "◐",
    State.RUNNING: "●",
    State.PAUSED: "❚❚",
    State.VALIDATING: "◆",
    State.FINISHED: "✔",
    State.STOPPED: "■",
    State.FAILED: "✗",
}
STYLE = {State.FINISHED: "good", State.FAILED: "bad", State.PAUSED: "now", State.LOADING: "dim"}


class Header(RunPanel):
    """Brand, preset, data, model, optimizer, device; the state at the right edge."""

    DEFAULT_CSS = "Header { height: 1; background: $panel; }"
    outcome: Outcome | None = None
    running: Step | None = None
    """The phase that runs at this moment; None while none does, or if that is not known."""

    def lines(self, width: int, height: int) -> list[Line]:
        state, words = describe(self.snapshot, self.outcome, self.info, self.running)
        style = STYLE.get(state, "bold")
        if self.outcome is None and self.snapshot is not None and self.snapshot.trouble is not None:
            style = "bad"
        right = line((f"  {ICONS[state]} {words} ", style))
        return [spread(self._facts(width - line_width(right)), right, width)]

    def _facts(self, room: int) -> Line:
        """As many facts as fit, the most telling ones first; the name may be cut."""
        info = self.info
        brand: Span = (" fivestep ", "brand")
        name: Span = (f"  {clean(info.name)}", "bold")
        if line_width((brand, name)) > room:
            return sized(line(name), room)
        facts = [
            clean(info.data),
            f"{clean(info.model)}, {learned(info.parameters)}" if info.model else "",
            clean(info.optimizer) + (f" + {clean(info.scheduler)}" if info.scheduler else ""),
            clean(info.device),
        ]
        # In this order they are given up when the window is narrow.
        for drop in (None, 3, 2, 0, 1):
            if drop is not None:
                facts[drop] = ""
            spans = line(brand, name, *((f"   {fact}", "dim") for fact in facts if fact))
            if line_width(spans) <= room:
                return spans
        return line(brand, name)


def describe(
    snapshot: Snapshot | None,
    outcome: Outcome | None,
    info: RunInfo,
    running: Step | None = None,
) -> tuple[State, str]:
    """The state in a word or a few: "PAUSED before backward, batch 31".

    Args:
        running: the phase that runs at this moment, which the snapshot may be too old to know.
    """
    if outcome is not None:
        return outcome.state, outcome.state.upper()
    if snapshot is None:
        return State.LOADING, "LOADING"
    state = snapshot.state
    if state in (State.RUNNING, State.VALIDATING) and running is not None:
        state = State.VALIDATING if running is Step.VALIDATE else State.RUNNING
    words = state.upper()
    if snapshot.trouble is not None:
        return state, f"PAUSED: {clean(snapshot.trouble.reason).partition(',')[0]}"
    if state is State.PAUSED:
        words = f"PAUSED {place(snapshot, info)}"
    elif state is State.VALIDATING:
        total = f"/{count(info.validation_batches)}" if info.validation_batches else ""
        words += f" {fit(count(snapshot.val_batch), len(total) - 1, right=True)}{total}"
    elif snapshot.speed is not None:
        steps = "step" if snapshot.speed == 1 else "steps"
        words += f" {rate(snapshot.speed).removesuffix('.00')} {steps}/s"
    if snapshot.stopping:
        words = f"STOPPING after this {snapshot.stopping}"
    return state, words


def place(s: Snapshot, info: RunInfo) -> str:
    """Where a paused run is, by the steps around it: "before backward, batch 31"."""
    batch = s.batch + 1
    if s.val_batch or s.step is Step.VALIDATE:
        return f"in validation, batch {s.val_batch + 1}"
    if s.step is Step.DATA:
        return f"before batch {batch}" if s.batches_done else "before the first batch"
    if s.step is not Step.OTHER:
        return f"before {s.step.info.name}, batch {batch}"
    length = s.batches_per_epoch or info.batches_per_epoch
    if s.batch == length:
        return f"after batch {s.batch}, the last of epoch {s.epoch}"
    updated = not batch % info.accumulate or batch == length
    return f"after {(Step.UPDATE if updated else Step.BACKWARD).info.code}, batch {batch}"


class ProgressBars(RunPanel):
    """Two bars with counts and shares; time trained without pauses, ETA, throughput beside them."""

    DEFAULT_CSS = "ProgressBars { height: 2; padding: 0 1; }"
    _trained = 0.0

    def lines(self, width: int, height: int) -> list[Line]:
        s, info = self.snapshot, self.info
        seen = s.batches_per_epoch if s is not None else None
        batches = seen or info.batches_per_epoch
        if s is None:
            epoch = batch = 0
            per_epoch = 0.0
        else:
            epoch, batch = s.epoch, s.batch
            per_epoch = min(1.0, batch / batches) if batches else 0.0
            self._trained = s.active  # a pause stands still, on the screen too
        # A script may leave in the midst of an epoch, and before the last one.
        done = s is not None and s.state is State.FINISHED and not s.batch
        epochs = info.epochs or None  # only the loop itself knows
        epochs_done = max(0.0, epoch - 1 + per_epoch) / (epochs or 1)
        if s is not None and done:
            if s.last is not None:
                epoch = s.last.epoch  # where it stopped early the next one never began
            batch, per_epoch = batches or batch, 1.0
            epochs_done = epoch / epochs if epochs else 1.0
        finished = batch if done or batches is None else min(batch + 1, batches)
        rows = (
            ("epoch", epoch, epochs, epochs_done if epochs or done else 0.0),
            ("batch", finished if s else 0, batches, per_epoch),
        )
        counts = [_of(epoch, epochs), _of(rows[1][1], batches, "~" if seen else "")]
        places = max(map(len, counts))
        eta = s.eta if s is not None and not s.state.ended else None
        pace = (rate(s.batches_per_second), rate(s.samples_per_second)) if s else (NOTHING,) * 2
        over = done or (s is not None and s.state.ended)
        times = (("trained", clock(self._trained)), ("", "") if over else ("ETA", clock(eta)))
        units = ("batches/s", "samples/s")
        if s is not None and s.speed is not None and not s.state.ended:
            # A mean of before, at full speed, would say nothing of now.
            pace, units = (rate(s.speed), NOTHING), ("steps/s", "samples/s")
        figures = [
            line(
                (fit(f"   {word}", 11), "dim"),
                fit(span, 8, right=True),
                fit(speed, 10, right=True),
                (f" {unit}", "dim"),
            )
            for (word, span), speed, unit in zip(times, pace, units, strict=True)
        ]
        room = width - 6 - places - 8
        if room - 40 < 12:
            figures = [
                line((f"  {fit(word, 7)} ", "dim"), fit(span, 7, right=True))
                for word, span in times
            ]
        room -= sum(len(text) for text, _ in figures[0])
        length = max(0, room)
        return [
            spread(
                line(
                    (f"{word} ", "dim"),
                    (fit(counted, places, right=True), "bold"),
                    "  ",
                    *track(share, length),
                    fit(percent(share) if total else NOTHING, 6, right=True),
                ),
                right,
                width,
            )
            for (word, _, total, share), counted, right in zip(rows, counts, figures, strict=True)
        ]


def _of(at: int, total: int | None, about: str = "") -> str:
    return f"{count(at)}/{about}{count(total)}" if total else count(at)
